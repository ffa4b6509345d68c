"""`fewer launch` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.cli import app
from fewer.core.errors import RecipeError

RECIPE = 'data.source = "digits"\nmodel.name = "lenet5"\n'


def test_an_sbatch_file_is_printed_or_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my digits.toml").write_text(RECIPE)
    words = ["launch", "slurm", "my digits.toml", "train.epochs=3", "--nodes", "2", "--gpus-per-node", "4"]
    assert app([*words, "--print"], standalone_mode=False) == 0
    printed = capsys.readouterr().out
    assert "set -- train 'my digits.toml' train.epochs=3 --out" in printed
    assert "run='runs/my digits'" in printed
    assert not list(tmp_path.glob("*.sbatch"))
    assert app(words, standalone_mode=False) == 0
    assert "`sbatch 'my digits.sbatch'` queues it" in capsys.readouterr().err
    assert Path("my digits.sbatch").read_text() == printed
    with pytest.raises(RecipeError, match=r"my digits\.sbatch: exists; --print"):
        app(words, standalone_mode=False)


def test_a_recipe_that_cannot_train_is_refused_before_it_waits_in_a_queue(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(RECIPE)
    with pytest.raises(RecipeError, match=r'did you mean "train\.epochs"'):
        app(["launch", "slurm", str(tmp_path / "bad.toml"), "train.epoch=3", "--print"], standalone_mode=False)


def finished(folder: str) -> None:
    """What a run that trained to its end left in its folder."""
    Path(folder).mkdir(parents=True)
    for name in ("recipe.resolved.toml", "result.json", "epochs.jsonl"):
        (Path(folder) / name).write_text("{}\n")


def test_a_job_takes_a_folder_that_no_run_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits.toml").write_text(RECIPE)
    words = ["launch", "slurm", "digits.toml", "--print"]
    finished("runs/digits")
    assert app(words, standalone_mode=False) == 0
    printed, said = capsys.readouterr()
    assert "\nrun=runs/digits-2\n" in printed
    assert said.startswith("run folder runs/digits-2: runs/digits exists, so this run has a folder of its own")
    for wish in (["--out", "runs/digits"], ["out.dir=runs/digits"]):
        with pytest.raises(RecipeError, match="runs/digits: the run folder exists"):
            app([*words, *wish], standalone_mode=False)
    Path("runs/digits/result.json").unlink()
    assert app([*words, "--out", "runs/digits"], standalone_mode=False) == 0
    printed, said = capsys.readouterr()
    assert "\nrun=runs/digits\n" in printed
    assert said == "runs/digits exists, and the job goes on with the run in it\n"
