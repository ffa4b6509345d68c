"""One comparison from question to files, and the questions that are refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import fewer
from server import Ended, Server, complains
from small_comparison import ASKED, EVIL, LEAN, RECIPE, results


def test_all_arms_are_trained_with_the_same_seeds(summary: dict[str, Any], home: Path) -> None:
    names = ["plain", f"some {EVIL}", "starving", "plain, 1 epoch", "random, cost 0.5"]
    assert [arm["name"] for arm in summary["arms"]] == names
    assert [arm["kind"] for arm in summary["arms"]] == ["baseline", "variant", "variant", "plain", "random"]
    assert summary["metric"] == "val/top1"
    done = results(home)
    assert len(done) == 8
    assert sorted({result["seed"] for result in done.values()}) == [0, 1]
    for path in done:
        assert {"recipe.resolved.toml", "rows.jsonl", "plan.json", "status.json"} <= {p.name for p in path.iterdir()}


def test_asked_again_nothing_is_trained(server: Server, compared: Ended, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "cmp" / "runs").rglob("*")}
    again = server.run(*ASKED, "--json", cwd=home)
    assert again.code == 0, again.stderr
    assert again.json == json.loads((home / "cmp" / "compare.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in (home / "cmp" / "runs").rglob("*")} == before


def test_after_each_seed_the_page_shows_what_there_is(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    asked = ("compare", "recipe.toml", *LEAN, "train.epochs=1", "--out", "cmp")
    started = server.start(*asked, cwd=tmp_path)
    assert started.until((tmp_path / "cmp" / "compare.html").exists)
    started.kill(signal.SIGKILL)
    started.wait()
    assert json.loads((tmp_path / "cmp" / "compare.json").read_text())["runs"] == {"asked": 4, "there": 2}
    assert '<span class="state running">2 of 4 runs</span>' in (tmp_path / "cmp" / "compare.html").read_text()


def test_interrupted_it_says_that_the_same_command_goes_on(server: Server, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "recipe.toml", tmp_path)
    started = server.start("compare", "recipe.toml", *LEAN, "train.epochs=50", "--out", "cmp", cwd=tmp_path)
    rows = tmp_path / "cmp" / "runs"
    assert started.until(lambda: any(rows.glob("*/*/rows.jsonl")))
    started.kill(signal.SIGINT)
    complains(started.wait(), 130, "interrupted after 0 of 4 runs; the same command continues")


def test_what_passed_is_confirmed_on_fresh_seeds_and_on_test(
    server: Server, compared: Ended, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path, symlinks=True, dirs_exist_ok=True)
    asked = ("--seeds", "3", "--no-curve", "--margin", "100", "--confirm", "2", "--json")  # the last --seeds counts
    ended = server.run(*ASKED, *asked, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    confirmation = ended.json["confirmation"]
    assert (ended.json["metric"], confirmation["metric"]) == ("val/top1", "test/top1")
    assert (ended.json["seeds"], confirmation["seeds"]) == ([0, 1, 2], [3, 4])
    assert [arm["name"] for arm in confirmation["arms"]] == ["plain", f"some {EVIL}"]
    frame = fewer.load_runs(tmp_path / "cmp")
    assert set(frame[frame["data.val"] == "none"]["seed"]) == {3, 4}
    assert (frame["data.val"] == "none").sum() == 4
    text = (tmp_path / "cmp" / "compare.html").read_text()
    assert "On fresh seeds: some &lt;script&gt;" in text
    assert len(set(ids := re.findall(r' id="([^"]+)"', text))) == len(ids)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["--vary", "select.treshold=0.3", "select.method=dbpd"],
            ["--vary select.treshold=0.3", '"select.threshold"?'],
        ),
        (["--vary", "select.foo.bar=1"], ["--vary select.foo.bar=1", 'unknown key "select.foo"']),
        (["--vary", "select.method=dbdp"], ['unknown select.method "dbdp"', '"dbpd"?']),
        (["--vary", "select.method=dbpd,random", "select.treshold=1"], ['unknown key "select.treshold"', "threshold"]),
        (["--vary", "train.epoch=3"], ['unknown key "train.epoch"', '"train.epochs"?']),
        (["--vary", "select.threshold="], ["--vary select.threshold=:", "an axis is a key and its values"]),
        (["--vary", ""], ["an axis is a key and its values"]),
        (["--vary", "train.lr=0.1", "--vary", "train.lr=0.2"], ["train.lr is given twice"]),
        (["--vary", "train.seed=1,2"], ["train.seed cannot be varied", "--seeds"]),
        (["--vary", "data.val=5%,10%"], ["data.val cannot be varied", "same images"]),
        (["--vary", 'data={source="digits",val="30%"}'], ["data.val cannot be varied", "same images"]),
        (["--vary", "train={epochs=2,lr=0.1,seed=7}"], ["train.seed cannot be varied", "--seeds"]),
        (["--vary", "out.keep=1,2"], ["out.keep cannot be varied"]),
        (["--vary", "evaluate.every=1,2"], ["evaluate.every cannot be varied", "once, at the end"]),
        (["--vary", "train.lr=0.05,0.1"], ["--vary train.lr=0.05: changes nothing"]),
        (["--vary", "select.method=everything"], ["changes nothing", "always run as the baseline"]),
        (["--vary", "train.lr=0.1,0.10"], ['the same recipe as variant "lr=0.1"']),
        ([], ["there is nothing to compare it with", "--vary select.method="]),
        (["--vary", "train.lr=0.1", "--seeds", "1"], ["--seeds 1", "2 or more"]),
        (["--vary", "train.lr=0.1", "--margin", "-1"], ["--margin -1"]),
        (["--vary", "train.lr=0.1", "--budgets", "half"], ['"half" is no budget']),
        (["--vary", "train.lr=0.1", "--budgets", "100%"], ["one budget makes no curve"]),
        (["--vary", "train.lr=0.1", "train.warmup=2ep", "--budgets", "50%,100%"], ["--budgets, 1 epochs", "longer"]),
        (["--vary", "train.lr=0.1", "--metric", "top1"], ["--metric top1", "val/top1"]),
        (["--vary", "train.lr=0.1", "--metric", "val/top2"], ["--metric val/top2", 'did you mean "top5"?']),
        (["--vary", "train.lr=0.1", "--metric", "val/few_shot"], ['no metric "few_shot"', "allowed: top1", "macro_f1"]),
        (["--vary", "train.lr=0.1", "--confirm", "2", "data.val=none"], ["--confirm 2", 'data.val = "none"']),
        (["--vary", "train.lr=0.1", "data.val=none", "data.test=none"], ["nothing to compare by"]),
        (["--vary", "train.lr=0.1", "data.val=none", "evaluate.test=false"], ["set evaluate.test = true"]),
        (
            ["--vary", "train.lr=0.1", "data.val=10%", "evaluate.test=false", "--confirm", "2"],
            ["evaluate.test = false"],
        ),
        (["--vary", "data.strata=none"], ["all are judged on the same images"]),
        (["--vary", "train.batch_size=64,5000"], ["train.batch_size=64: changes nothing"]),
        (["--vary", "train.batch_size=5000,6000"], ["batch_size=5000: train.batch_size = 5000", "batch_size=6000"]),
        (["--vary", "select.cost=0.01", "select.method=dbpd"], ["cost=0.01: select.cost = 0.01"]),
        (["--variants", "none.toml"], ["none.toml: cannot read the variants"]),
        (["--variants", "recipe.toml"], ['holds "data"', "[variants."]),
        (["--vary", "train.lr=0.1", "--out", "taken"], ["taken: exists, and holds no comparison"]),
    ],
)
def test_bad_questions_are_refused_before_training(
    server: Server, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "photo.png").touch()
    complains(server.run("compare", "recipe.toml", *arguments, cwd=tmp_path), 2, *parts)
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_another_baseline_is_refused(server: Server, compared: Ended, home: Path) -> None:
    ended = server.run(*ASKED, "train.epochs=3", "model.width=0.3", cwd=home)
    complains(ended, 2, "another baseline", "model.width was 0.2, is 0.3", "train.epochs was 2, is 3", "--out")


def test_every_run_is_evaluated_at_its_end_only(compared: Ended, home: Path) -> None:
    """The best of several epochs, by the images that judge, would favour the arm with more epochs."""
    for folder, result in results(home).items():
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        assert sum(row.get("split") == "val" for row in rows) == 1
        assert result["best"]["epoch"] == result["epochs"] - 1


def test_the_runs_are_announced_with_their_reason_and_their_time(compared: Ended) -> None:
    first, second, *_ = compared.stderr.splitlines()
    assert first.startswith("10 runs: 2 seeds of plain training and 2 variants, and of 2 shorter runs")
    assert "--no-curve leaves out these 4" in first
    assert re.search(r"they take 1[0-9] to 1[0-9] full-epoch equivalents, less than a minute by a probe", second)
    assert "less than a minute left" in next(line for line in compared.stderr.splitlines() if line.startswith("1/10"))


def test_an_unknown_metric_is_told_with_those_that_there_are(server: Server, compared: Ended, home: Path) -> None:
    complains(server.run(*ASKED, "--metric", "val/raw/top1", cwd=home), 2, 'no run has "val/raw/top1"', "val/top1")
