"""The command line as a whole: help, verbs and arguments."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import fewer
from fewer.cli import main
from server import Ended, complains


def test_help_methods_and_report_need_no_torch(home: Path, trained: Ended) -> None:
    """Help, names and reports come at once: importing torch takes seconds."""
    code = """
import sys
from fewer import select
from fewer.cli import app
verbs = ("train", "resume", "branch", "ladder", "tune", "eval", "predict", "plan", "report", "runs", "methods",
         "doctor", "launch")
for words in [["--help"], *([verb, "--help"] for verb in verbs),
              ["methods"], ["methods", "dbpd"], ["report", "done"], ["runs", "."], ["train", "missing.toml"]]:
    try:
        app(words, standalone_mode=False)
    except BaseException as error:
        assert "missing.toml" in str(error) or type(error).__name__ in ("Exit", "SystemExit"), error
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--devices" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "nowhere.toml"], ["nowhere.toml", "No such file", "check the path"]),
        (["train", "phtos"], ["phtos: no such file or folder", "check the path", "folder:PATH"]),
        (["train", "digts"], ["digts: no such file or folder", "fix: digits"]),
        (["train", "done"], ["done: a run folder", "`fewer resume done`"]),
        (["train", "good.toml", "train.epochs"], ['argument "train.epochs"', "key.sub=value"]),
        (["plan", "good.toml", 'select={method="dbpd"'], ["no valid TOML", "close all brackets and quotes"]),
        (["train", "good.toml", "train.epochz=3"], ['argument "train.epochz=3"', 'did you mean "train.epochs"?']),
        (["train", "good.toml", "train.lr=inf"], ['argument "train.lr=inf"', "finite"]),
        (["train", "good.toml", "train.lr.x=3"], ['argument "train.lr.x=3"', '"lr" is a value']),
        (["train", "good.toml", "stages.0.side_px=3"], ['argument "stages.0.side_px=3"', "0 [[stages]]"]),
        (["train", "good.toml", "train.betas=[0.9, 0.99]", "train.betas.2=5"], ['"train.betas.2=5": no such entry in']),
        (["train", "good.toml", "train=3"], ['argument "train=3"', "section"]),
        (["train", "good.toml", "train.batch_size=5000"], ["5000", "use at most"]),
        (["train", "good.toml", "--devices", "99"], ["--devices 99", "cores"]),
        (["train", "good.toml", "--devices", "0"], ["--devices"]),
        (["train", "good.toml", "--gpus", "0,2"], ["--gpus 0,2", "no GPU"]),
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


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fewer", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert capsys.readouterr().out == f"fewer {fewer.__version__}\n"


def test_no_arguments_is_help(run: Callable[..., Ended]) -> None:
    ended = run()
    assert "resume" in ended.stdout + ended.stderr
    assert ended.code in (0, 2)


def test_what_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    from fewer.cli import _prepare_terminal

    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "latin-1"))
    with warnings.catch_warnings():
        _prepare_terminal()
        print("na\u00efve \u0436", flush=True)
        # Pillow's, which name no file; tests turn warnings into errors.
        warnings.warn_explicit("Corrupt EXIF data.", UserWarning, "plugin.py", 982, "PIL.TiffImagePlugin")
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn_explicit("ours", UserWarning, "file.py", 1, "fewer.data")
    assert shown.getvalue() == b"na\xefve \\u0436\n"
