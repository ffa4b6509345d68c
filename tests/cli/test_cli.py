"""The command line seen from outside: exit codes, what goes to stdout and stderr, and what bad input gets.

An error says where, the value, what is allowed and one fix; nothing that a user can do ends in a traceback.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fewer import select
from server import Ended, Server, complains

RECIPE = """[data]
source = "digits"

[model]
name = "lenet5"
width = 0.25

[train]
epochs = 2
batch_size = 64
lr = 0.05

[select]
method = "random"
share = 0.2
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "good.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def trained(server: Server, home: Path) -> Ended:
    """`fewer train --json`, with its report; the run folder is `done`."""
    return server.run("train", "good.toml", "--out", "done", "--json", cwd=home, report=True)


@pytest.fixture
def stopped(run: Callable[..., Ended], tmp_path: Path) -> Path:
    """The run as it was after its first epoch."""
    (tmp_path / "done" / "result.json").unlink()
    shutil.rmtree(tmp_path / "done" / "checkpoints" / "epoch00002-batch0000000")
    return tmp_path / "done"


@pytest.fixture
def run(server: Server, home: Path, tmp_path: Path, trained: Ended) -> Callable[..., Ended]:
    """Runs `fewer ARGUMENTS` in a folder that holds `good.toml` and the finished run `done`."""
    shutil.copy(home / "good.toml", tmp_path)
    shutil.copytree(home / "done", tmp_path / "done", symlinks=True)
    return lambda *arguments: server.run(*arguments, cwd=tmp_path)


def images(root: Path, per_class: int = 12) -> Path:
    """A folder of two classes of tiny images."""
    for label, grey in (("dark", 40), ("light", 200)):
        (root / label).mkdir(parents=True)
        for number in range(per_class):
            Image.new("RGB", (32, 32), (grey, grey + number, grey)).save(root / label / f"{number:02}.png")
    return root


def photos(folder: Path, **sections: str) -> Path:
    """A recipe that trains on `folder:photos` beside it."""
    keys = {"batch_size": "8", "epochs": "1", "damaged": '"error"', **sections}
    path = folder / "photos.toml"
    path.write_text(
        f'[data]\nsource = "folder:photos"\nval = "none"\ndamaged = {keys["damaged"]}\n'
        '[model]\nname = "lenet5"\nwidth = 0.25\n'
        f"[train]\nepochs = {keys['epochs']}\nbatch_size = {keys['batch_size']}\nlr = 0.01\n"
    )
    return path


# --- What goes right -----------------------------------------------------------------------------------------------


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(trained: Ended, home: Path) -> None:
    assert trained.code == 0, trained.stderr
    result = trained.json
    assert result == json.loads((home / "done" / "result.json").read_text())
    assert {"schema", "digest", "epochs", "steps", "metrics", "best", "ledger", "predicted"} <= result.keys()
    assert {"test/top1", "test/top5", "test/macro_f1", "test/loss", "val/top1"} <= result["metrics"].keys()
    seconds = dict(result["ledger"]["seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
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
    first, last = ended.stdout.splitlines()
    assert "test top-1" in first
    assert "FEE" in first
    assert last == "here/report.html"


def test_resolved_recipe_trains_the_same(run: Callable[..., Ended], trained: Ended) -> None:
    ended = run("train", "done/recipe.resolved.toml", "--out", "again", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["state"] == trained.json["state"]
    assert ended.json["digest"] == trained.json["digest"]


def test_plan_trains_nothing(run: Callable[..., Ended], trained: Ended, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    shown, document = run("plan", "good.toml"), run("plan", "good.toml", "train.epochs=3", "--json")
    assert (shown.code, shown.stderr) == (0, "")
    assert "stage" in shown.stdout
    assert "full_epoch_equivalents" in shown.stdout
    assert trained.json["digest"] in shown.stdout
    assert document.json["epochs"] == 3
    assert document.json["predicted"]["low"]["effective_epochs"] == pytest.approx(0.6, abs=0.01)
    assert sorted(tmp_path.rglob("*")) == before


def test_methods(run: Callable[..., Ended]) -> None:
    listed = run("methods")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == select.names()
    one = run("methods", "dbpd")
    assert "2505.22342" in one.stdout
    assert "threshold = 0.3" in one.stdout
    assert run("methods", "dbpd", "--json").json["dbpd"]["parameters"]["threshold"]["default"] == "0.3"
    complains(run("methods", "dpbd"), 2, '"dpbd"', 'did you mean "dbpd"?')


def test_report_is_drawn_anew(server: Server, run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "done" / "report.html").unlink()
    ended = server.run("report", "done", cwd=tmp_path, report=True)
    assert (ended.code, ended.stdout) == (0, "done/report.html\n")
    assert "<html" in (tmp_path / "done" / "report.html").read_text()
    for path in ("nowhere", "."):
        complains(server.run("report", path, cwd=tmp_path, report=True), 2, "run folder")


def test_help_methods_and_report_need_no_torch(home: Path, trained: Ended) -> None:
    """Help, names and reports come at once: importing torch takes seconds."""
    code = """
import sys
from fewer import select
from fewer.cli import app
verbs = ("train", "resume", "eval", "predict", "plan", "report", "methods", "doctor")
for words in [["--help"], *([verb, "--help"] for verb in verbs),
              ["methods"], ["methods", "dbpd"], ["report", "done"], ["train", "missing.toml"]]:
    try:
        app(words, standalone_mode=False)
    except BaseException as error:
        assert "missing.toml" in str(error) or type(error).__name__ in ("Exit", "SystemExit"), error
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--devices" in done.stdout


# --- Recipes and arguments: exit code 2 ---------------------------------------------------------------------------


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


def test_all_errors_come_at_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[model]\nname = "cnm"\n[train]\nepoch = 3\nlr = -1\n[[stages]]\nsides = 3\n')
    ended = server.run("plan", "bad.toml", "train.seed=x", cwd=tmp_path)
    complains(ended, 2, '"data" is missing', "bad.toml:2:", "bad.toml:4:", "bad.toml:5:", "bad.toml:7:")
    complains(ended, 2, 'argument "train.seed=x"', '"stages.0.epochs" is missing', '"stages.0.sides"')
    assert len(ended.stderr.splitlines()) == 7


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "nowhere.toml"], ["nowhere.toml", "No such file", "check the path"]),
        (["train", "."], ["cannot read the recipe"]),
        (["train", "good.toml", "train.epochs"], ['argument "train.epochs"', "key.sub=value"]),
        (["train", "good.toml", "train.epochz=3"], ['argument "train.epochz=3"', 'did you mean "train.epochs"?']),
        (["train", "good.toml", "train.lr=inf"], ['argument "train.lr=inf"', "finite"]),
        (["train", "good.toml", "train.lr.x=3"], ['argument "train.lr.x=3"', '"lr" is a value']),
        (["train", "good.toml", "stages.0.side_px=3"], ['argument "stages.0.side_px=3"', "0 [[stages]]"]),
        (["train", "good.toml", "train.betas=[0.9, 0.99]", "train.betas.2=5"], ['"train.betas.2=5": no such entry in']),
        (["train", "good.toml", "train=3"], ['argument "train=3"', "section"]),
        (["train", "good.toml", "train.batch_size=5000"], ["5000", "use at most"]),
        (["train", "good.toml", "--devices", "99"], ["--devices 99", "cores"]),
        (["train", "good.toml", "--devices", "0"], ["--devices"]),
        (["train", "good.toml", "--depth", "9"], ["--depth"]),
        (["train"], ["Missing argument", "fewer train --help"]),
        (["trian"], ["trian"]),
        (["resume", "nowhere"], ["nowhere: not a run folder"]),
        (["resume", "."], ["not a run folder"]),
        (["train", "good.toml", "--out", "done"], ["done: the run folder exists", "fewer resume done", "--out"]),
        (["train", "good.toml", "--out", "good.toml"], ["good.toml: the run folder exists"]),
    ],
    ids=" ".join,
)
def test_bad_arguments(run: Callable[..., Ended], arguments: list[str], parts: list[str]) -> None:
    complains(run(*arguments), 2, *parts)


def test_no_arguments_is_help(run: Callable[..., Ended]) -> None:
    ended = run()
    assert "resume" in ended.stdout + ended.stderr
    assert ended.code in (0, 2)


# --- Data: exit code 3 ----------------------------------------------------------------------------------------------


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


@pytest.fixture
def damaged(tmp_path: Path) -> list[str]:
    """Photos of which three are damaged; their names."""
    root = images(tmp_path / "photos")
    whole = (root / "dark" / "01.png").read_bytes()
    bad = {"dark/02.png": b"", "dark/05.png": whole[: len(whole) // 2], "light/07.png": b"no image at all"}
    for name, content in bad.items():
        (root / name).write_bytes(content)
    return list(bad)


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


def test_resume_on_other_data_names_the_difference(server: Server, tmp_path: Path) -> None:
    images(tmp_path / "photos")
    recipe = photos(tmp_path)
    assert server.run("train", recipe, "--out", "run", cwd=tmp_path).code == 0
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "photos" / "dark" / "extra.png").write_bytes((tmp_path / "photos" / "dark" / "03.png").read_bytes())
    complains(server.run("resume", "run", cwd=tmp_path), 3, "not the data", "extra.png")
    (tmp_path / "photos" / "dark" / "extra.png").unlink()
    (tmp_path / "photos" / "light" / "04.png").write_bytes((tmp_path / "photos" / "dark" / "03.png").read_bytes())
    complains(server.run("resume", "run", cwd=tmp_path), 3, "not the data", "light/04.png")
    shutil.rmtree(tmp_path / "photos")
    complains(server.run("resume", "run", cwd=tmp_path), 3, "photos does not exist")


# --- While training -------------------------------------------------------------------------------------------------


def status(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "status.json").read_text())
    return content


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
    complains(server.run("resume", "run", cwd=tmp_path), 2, "another process is training in this folder")
    complains(server.run("train", "good.toml", "--out", "run", cwd=tmp_path), 2, "the run folder exists")
    assert first.running
    first.kill(15)
    assert first.wait().code == 75


# --- Resuming -------------------------------------------------------------------------------------------------------


def test_resume_of_a_finished_run_says_so(run: Callable[..., Ended], trained: Ended, tmp_path: Path) -> None:
    rows = (tmp_path / "done" / "rows.jsonl").read_bytes()
    ended = run("resume", "done", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json == trained.json
    assert "finished" in ended.stderr
    assert (tmp_path / "done" / "rows.jsonl").read_bytes() == rows


@pytest.mark.parametrize(
    "change",
    ["out.keep=1", "out.evaluate_every=0", "out.checkpoint_every='1step'", "data.processes=1", "data.cache='no'"],
)
def test_resume_takes_changes_that_do_not_change_the_result(
    run: Callable[..., Ended], trained: Ended, stopped: Path, change: str
) -> None:
    ended = run("resume", stopped.name, change, "--json")
    assert ended.code == 0, ended.stderr
    assert "resumed from epoch00001" in ended.stderr
    assert ended.json["state"] == trained.json["state"]


def test_resume_with_more_epochs_goes_on(run: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run("resume", "done", "train.epochs=3", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["epochs"] == 3
    rows = [json.loads(line) for line in (tmp_path / "done" / "rows.jsonl").read_text().splitlines()]
    (amendment,) = [row for row in rows if row["kind"] == "amendment"]
    assert (amendment["key"], amendment["old"], amendment["new"]) == ("train.epochs", 2, 3)
    complains(run("resume", "done", "train.epochs=1"), 2, "train.epochs = 1", "ask for more")


@pytest.mark.parametrize(
    ("change", "old"),
    [
        ("train.lr=0.1", "0.05"),
        ("train.seed=7", "0"),
        ("model.width=0.5", "0.25"),
        ("select.share=0.3", "0.2"),
        ("data.val='none'", "5%"),
        ("augment.flip='random'", "no"),
    ],
)
def test_resume_refuses_other_changes_with_the_difference(run: Callable[..., Ended], change: str, old: str) -> None:
    key, _, new = change.partition("=")
    complains(run("resume", "done", change), 2, key, old, new.strip("'"), "train.epochs may change", "fewer train")


def test_resume_refuses_stages_that_were_not_there(run: Callable[..., Ended]) -> None:
    """A changed plan is another run; only its length may grow."""
    complains(run("resume", "done", "stages=[{epochs=2, side_px=24}]"), 2, "stages")
