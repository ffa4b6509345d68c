"""`fewer train` seen from outside: what goes to stdout and stderr, and what bad recipes and data get.

An error says where, the value, what is allowed and one fix; nothing that a user can do ends in a traceback.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import RECIPE, images, photos, status
from fewer.cli import app
from fewer.core.errors import RecipeError
from fewer.recipe.parse import load_recipe
from fewer.recipe.schema import changed_keys
from server import Ended, Server, complains


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(trained: Ended, home: Path) -> None:
    assert trained.code == 0, trained.stderr
    result = trained.json
    assert result == json.loads((home / "done" / "result.json").read_text())
    assert {"schema", "digest", "epochs", "steps", "metrics", "best", "ledger", "predicted"} <= result.keys()
    assert {"test/top1", "test/top5", "test/macro_f1", "test/loss", "val/top1"} <= result["metrics"].keys()
    seconds = dict(result["ledger"]["seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
    first, *_ = trained.stderr.splitlines()
    assert first == "done: lenet5 on cpu, trained on digits"
    lines = [line for line in trained.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert all("images/s" in line for line in lines), "a line is never wrapped where there is no terminal"
    names = {path.name for path in (home / "done").iterdir()}
    assert names >= {
        "recipe.given.toml",
        "recipe.resolved.toml",
        "plan.json",
        "env.json",
        "status.json",
        "rows.jsonl",
        "metrics.csv",
        "result.json",
        "report.html",
        "checkpoints",
    }
    assert (home / "done" / "recipe.given.toml").read_text() == RECIPE


def test_log_holds_what_was_shown(trained: Ended, home: Path) -> None:
    log = (home / "done" / "log.txt").read_text()
    assert all(line in log for line in trained.stderr.splitlines())


def test_plain_output_is_a_few_lines(run: Callable[..., Ended]) -> None:
    ended = run("train", "good.toml", "train.epochs=1", "out.dir='here'")
    assert ended.code == 0, ended.stderr
    first, cost, last = ended.stdout.splitlines()
    assert "test top-1" in first
    assert " images)" in first, "and how exactly it is known"
    assert "FEE" in cost
    assert last == "here/report.html"


def test_a_second_run_of_a_recipe_has_a_folder_of_its_own(run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "runs" / "good").mkdir(parents=True)
    (tmp_path / "runs" / "good" / "rows.jsonl").touch()
    ended = run("train", "good.toml", "train.epochs=1")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "runs/good-2/report.html"
    assert "`fewer resume runs/good` goes on with that one" in ended.stderr
    assert not (tmp_path / "runs" / "good-3").exists()


@pytest.mark.parametrize(
    ("words", "folder"), [([], "runs/good-2"), (["--name", "mine"], "runs/mine"), (["--out", "there"], "there")]
)
def test_the_folder_is_decided_once_for_all_ranks(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(home / "good.toml", tmp_path)
    (tmp_path / "runs" / "good").mkdir(parents=True)
    (tmp_path / "runs" / "good" / "rows.jsonl").touch()
    launched: list[str] = []
    monkeypatch.setattr("fewer.sync.launch.launch", lambda devices, words: launched.extend(words) or 0)
    assert app(["train", "good.toml", "--devices", "2", *words], standalone_mode=False) == 0
    assert launched == ["train", "good.toml", "--out", folder]


def test_name_and_out_are_two_answers_to_one_question(home: Path) -> None:
    with pytest.raises(RecipeError, match="give one of the two"):
        app(["train", str(home / "good.toml"), "--name", "a", "--out", "b"], standalone_mode=False)


def test_a_folder_of_images_trains_without_a_recipe(server: Server, tmp_path: Path) -> None:
    images(tmp_path / "photos")
    keys = ("model.name=lenet5", "train.epochs=1", "train.batch_size=8", "out.plots=false", "out.previews=false")
    ended = server.run("train", "photos/", *keys, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert [line[:8] for line in ended.stderr.splitlines()[:4]] == ["looking ", "chosen: ", "takes:  ", "change: "]
    given = tmp_path / "runs" / "photos" / "recipe.given.toml"
    resolved = load_recipe(given.with_name("recipe.resolved.toml"))
    changed = changed_keys(load_recipe(given), resolved)
    assert all(before == "auto" for _, before, _ in changed), "the recipe that it leaves gives the same run"


def test_resolved_recipe_trains_the_same(run: Callable[..., Ended], trained: Ended) -> None:
    ended = run("train", "done/recipe.resolved.toml", "--out", "again", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["state"] == trained.json["state"]
    assert ended.json["digest"] == trained.json["digest"]


@pytest.mark.parametrize(
    ("change", "line", "parts"),
    [
        ("epochs = 2->epoch = 2", 9, ['unknown key "train.epoch"', 'did you mean "train.epochs"?']),
        ("[select]->[selct]", 13, ['unknown key "selct"', 'did you mean "select"?']),
        ('"random"->"randon"', 14, ['unknown select.method "randon"', 'did you mean "random"?']),
        ("share = 0.2->shares = 0.2", 15, ['unknown key "select.shares"', 'did you mean "select.share"?']),
        ("share = 0.2->share = 1.2", 15, ["select.share = 1.2", "less than or equal to 1"]),
        ("epochs = 2->epochs = 0", 9, ["train.epochs = 0", "greater than or equal to 1"]),
        ("epochs = 2->epochs = 2.5", 9, ["train.epochs = 2.5", "integer"]),
        ('epochs = 2->epochs = "two"', 9, ["train.epochs = 'two'", "integer"]),
        ("lr = 0.05->lr = inf", 11, ["train.lr = inf", "finite"]),
        ("lr = 0.05->lr = nan", 11, ["train.lr = nan", "finite"]),
        ("lr = 0.05->lr = -1", 11, ["train.lr = -1", "greater than 0"]),
        ("lr = 0.05->warmup = 5", 11, ["train.warmup = 5", '"5%"']),
        ('lr = 0.05->warmup = "5step"', 11, ['train.warmup = "5step"', '"ep" and "%"']),
        ('lr = 0.05->ema = "0ep"', 11, ['train.ema = "0ep"', '"off"']),
        ("lr = 0.05->momentum = 0", 11, ["Nesterov", "train.nesterov = false"]),
        ("lr = 0.05->accumulate = 65", 11, ["train.accumulate = 65", "64"]),
        ('"lenet5"->"lenet"', 5, ['unknown model.name "lenet"', 'did you mean "lenet5"?']),
        ('"digits"->"digit"', 2, ['unknown data.source "digit"', "folder:PATH"]),
        ('"digits"->7', 2, ["data.source = 7", "string"]),
        ('"digits"->"digits"\nval = "50"', 3, ['data.val = "50"', '"5%"']),
        ('"digits"->"digits"\nval = "100%"', 3, ['data.val = "100%"', "between 0% and 100%"]),
        ('[train]->[out]\ncheckpoint_every = "0ep"\n[train]', 9, ['out.checkpoint_every = "0ep"']),
        ("epochs = 2->epochs = = 2", 0, ["not valid TOML", "line 9"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_recipe(server: Server, tmp_path: Path, change: str, line: int, parts: list[str]) -> None:
    """File and line, the key and its value, and what would be right; nothing is made."""
    old, _, new = change.partition("->")
    assert RECIPE.count(old) == 1
    (tmp_path / "bad.toml").write_text(RECIPE.replace(old, new))
    ended = server.run("train", "bad.toml", "--out", "run", cwd=tmp_path)
    complains(ended, 2, f"bad.toml:{line}:" if line else "bad.toml:", *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "no images found"),
        (lambda root: root.write_bytes(b""), "is a file"),
        (lambda root: (root / "cat").mkdir(parents=True), "no images found"),
        (lambda root: (images(root) / "empty").mkdir(), "holds no images"),
    ],
    ids=["missing", "empty", "a file", "no images", "an empty class"],
)
def test_bad_folder(server: Server, tmp_path: Path, make: Callable[[Path], object], part: str) -> None:
    make(tmp_path / "photos")
    ended = server.run("train", photos(tmp_path), "--out", "run", cwd=tmp_path)
    complains(ended, 3, str(tmp_path / "photos"), part, "fix:")
    assert not (tmp_path / "run").exists()


def test_damaged_images_stop_the_run_with_a_list(server: Server, tmp_path: Path, damaged: list[str]) -> None:
    ended = server.run("train", photos(tmp_path), "data.test='none'", "--out", "run", cwd=tmp_path)
    complains(ended, 3, "3 of 24 images cannot be decoded", *damaged, "0 bytes", 'data.damaged = "quarantine"')
    # What never trained is not in the way of the next attempt.
    ended = server.run("train", photos(tmp_path, damaged='"quarantine"'), "--out", "run", cwd=tmp_path)
    assert ended.code == 0, ended.stderr


def test_damaged_images_in_quarantine_are_counted_and_listed(
    server: Server, tmp_path: Path, damaged: list[str]
) -> None:
    recipe = photos(tmp_path, damaged='"quarantine"')
    ended = server.run("train", recipe, "data.test='none'", "--out", "run", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert ended.json["quarantined"] == 3
    listed = json.loads((tmp_path / "run" / "quarantine.json").read_text())
    assert sorted(entry["name"] for entry in listed) == damaged
    assert all(entry["reason"] for entry in listed)
    assert all(name in ended.stderr for name in damaged)
    assert ended.json["ledger"]["samples_backpropagated"] == 21


def test_quarantine_says_which_split(server: Server, tmp_path: Path, damaged: list[str]) -> None:
    recipe = photos(tmp_path, damaged='"quarantine"')
    assert server.run("train", recipe, "data.test='none'", "--out", "run", cwd=tmp_path).code == 0
    listed = json.loads((tmp_path / "run" / "quarantine.json").read_text())
    assert [entry["split"] for entry in listed] == ["train"] * 3


def test_divergence_says_the_step_and_keeps_the_last_good_checkpoint(run: Callable[..., Ended], tmp_path: Path) -> None:
    arguments = ["train.lr=1e30", "train.warmup='0%'", "train.precision='fp32'", "out.checkpoint_every='1step'"]
    ended = run("train", "good.toml", *arguments, "--out", "wild")
    complains(ended, 4, "not finite", "step ", "last good checkpoint is kept", "train.lr", "1e+30")
    assert status(tmp_path / "wild")["state"] == "failed"
    assert status(tmp_path / "wild")["exit_code"] == 4
    assert not (tmp_path / "wild" / "result.json").exists()


def test_selection_that_keeps_nothing(run: Callable[..., Ended]) -> None:
    """A method that drops everything is the recipe's fault, and the message says which number to loosen."""
    ended = run(
        "train", "good.toml", "select={method='dbpd', score='fresh', threshold=1e-9, guards='off'}", "--out", "none"
    )
    complains(ended, 2, 'select.method = "dbpd" keeps 0 of', "threshold = 1e-09", "loosen")


def test_two_writers_on_one_folder(server: Server, home: Path, tmp_path: Path) -> None:
    """The second is told; the first goes on unharmed."""
    shutil.copy(home / "good.toml", tmp_path)
    first = server.start("train", "good.toml", "train.epochs=500", "--out", "run", cwd=tmp_path)
    assert first.until(lambda: bool(list((tmp_path / "run").glob("checkpoints/epoch*"))))
    complains(server.run("resume", "run", cwd=tmp_path), 2, f"training in this folder (process {first.pid} on")
    complains(server.run("train", "good.toml", "--out", "run", cwd=tmp_path), 2, "the run folder exists")
    assert first.running
    first.kill(15)
    assert first.wait().code == 75
