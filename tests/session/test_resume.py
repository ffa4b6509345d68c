"""Resuming through the public functions: longer runs, stages, tars, and what stays as it was."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewer.core.errors import CheckpointError, FewerError, RecipeError, Stopped
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session.build import make_plan
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row
from photos import write_photos

STAGES = [{"epochs": 1, "side_px": 16}, {"epochs": 1, "side_px": 20, "batch_size": 40}]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def content(**sections: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits", "test": "30%", "val": "60%", "cache": "no"},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"batch_size": 60, "lr": 0.05, "precision": "fp32"},
        "stages": STAGES,
        "out": {"checkpoint_every": "3step"},
        **sections,
    }


class Stopping(Silent):
    """A display that asks the run to stop behind some batch, as a signal does."""

    def __init__(self, behind: int) -> None:
        self.left = behind

    def row(self, row: Row, session: Any) -> None:
        self.left -= 1
        if self.left == 0:
            session.run.stop_requested = True


def test_a_staged_run_stops_and_resumes_to_the_same_state(tmp_path: Path) -> None:
    whole = fit(parse_recipe(content()), tmp_path / "whole")
    for number, behind in enumerate((1, 9)):
        out = tmp_path / f"stopped{number}"
        with pytest.raises(Stopped):
            fit(parse_recipe(content()), out, display=Stopping(behind))
        again = resume(out)
        assert again["state"] == whole["state"]
        assert again["metrics"] == whole["metrics"]
        assert (out / "metrics.csv").read_text().count("\n") == 3


def test_the_plan_of_a_resumed_run_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe(content()), tmp_path / "run", display=Stopping(1))
    made: list[Any] = []

    def counting(*given: Any) -> Any:
        made.append(make_plan(*given))
        return made[-1]

    for module in ("fit", "build"):
        monkeypatch.setattr(f"fewer.session.{module}.make_plan", counting)
    resume(tmp_path / "run")
    assert len(made) == 1


def test_a_resolved_recipe_is_the_recipe(tmp_path: Path) -> None:
    recipe = parse_recipe(content(select={"method": "dbpd", "revision": "1ep"}))
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe
    assert recipe.train.epochs == 2, "the stages' sum"


def test_a_finished_staged_run_can_be_trained_longer(tmp_path: Path) -> None:
    fit(parse_recipe(content()), tmp_path / "run")
    longer = resume(tmp_path / "run", ["train.epochs=4"])
    assert longer["epochs"] == 4
    assert longer["ledger"]["effective_epochs"] == 4.0
    stages = json.loads((tmp_path / "run" / "plan.json").read_text())["stages"]
    assert [stage["epochs"] for stage in stages] == [1, 3]
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    assert [row["new"] for row in rows if row["kind"] == "amendment"] == [4]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [0, 1, 2, 3]


def test_a_run_folder_with_a_methods_first_name_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe(content()), tmp_path / "run", display=Stopping(2))
    for name in ("recipe.resolved.toml", "plan.json"):
        text = (tmp_path / "run" / name).read_text()
        assert text.count('"full"') == 1
        (tmp_path / "run" / name).write_text(text.replace('"full"', '"everything"'))
    assert resume(tmp_path / "run")["epochs"] == 2


@pytest.mark.parametrize("override", ["train.epochs=1", "stages.0.epochs=2", "stages.1.side_px=24", "train.lr=1.0"])
def test_what_may_not_change_is_refused_and_changes_nothing(tmp_path: Path, override: str) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe(content()), tmp_path / "run", display=Stopping(2))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.toml")}
    with pytest.raises(RecipeError):
        resume(tmp_path / "run", [override])
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.toml")}


def test_a_run_on_a_tar_resumes(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=30)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "photos", "photos")
    data = {"source": f"tar:{tmp_path / 'photos.tar'}", "val": "20%"}
    recipe = parse_recipe(content(data=data, train={"batch_size": 8, "lr": 0.05, "epochs": 2}, stages=[], out={}))
    whole = fit(recipe, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "stopped", display=Stopping(3))
    assert resume(tmp_path / "stopped")["state"] == whole["state"]


def test_the_epoch_that_a_run_stands_in_cannot_be_cut_off(tmp_path: Path) -> None:
    recipe = parse_recipe(content(stages=[], train={"batch_size": 60, "lr": 0.05, "epochs": 3}))
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "run", display=Stopping(12))  # in the middle of an epoch
    where = json.loads((tmp_path / "run" / "status.json").read_text())
    assert where["batch"] > 0
    with pytest.raises(RecipeError, match="ask for more"):
        resume(tmp_path / "run", [f"train.epochs={where['epoch']}"])


def test_a_run_without_evaluations_so_far_is_evaluated_when_it_is_cut_short(tmp_path: Path) -> None:
    out = {"evaluate_every": 0}
    recipe = parse_recipe(content(stages=[], out=out, train={"batch_size": 60, "lr": 0.05, "epochs": 4}))
    batches = -(-parse_and_count(recipe) // 60)
    with pytest.raises(Stopped):
        fit(recipe, tmp_path / "run", display=Stopping(2 * batches - 1))  # seen a batch later
    result = resume(tmp_path / "run", ["train.epochs=2"])
    assert result["epochs"] == 2
    assert result["best"]["epoch"] == 1


def parse_and_count(recipe: Any) -> int:
    from fewer.session.build import open_data

    return len(open_data(recipe).train)


def test_best_is_the_model_that_the_result_names(tmp_path: Path) -> None:
    result = fit(parse_recipe(content()), tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    assert (checkpoints / "best").resolve().name == result["best"]["model"]
    about = json.loads((checkpoints / "best" / "model.json").read_text())
    assert about["metrics"]["top1"] == result["best"]["value"] == result["metrics"]["val/top1"]
    assert about["epochs"] == result["best"]["epoch"] + 1


def test_quarantined_images_are_in_no_metric(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=20, green=False)  # a constant channel divides nothing by zero
    for name in ("cat", "dog"):
        for number in range(0, 20, 3):
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(b"")
    data = {"source": f"folder:{tmp_path / 'photos'}", "test": "50%", "val": "30%", "damaged": "quarantine"}
    train = {"batch_size": 4, "epochs": 1, "lr": 0.01}
    result = fit(parse_recipe(content(data=data, stages=[], train=train, out={})), tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert result["quarantined"] == 14
    assert plan["train_images"] + plan["val_images"] + plan["test_images"] == 26
    assert sum(map(sum, result["tables"]["test/confusion"])) == plan["test_images"]
    assert sum(map(sum, result["tables"]["val/confusion"])) == plan["val_images"]


@pytest.mark.parametrize("mine", [{"report.html": "mine"}, {"report.html": "mine", ".mine.tmp": "a draft"}])
def test_a_failed_start_takes_nothing_of_the_users_with_it(tmp_path: Path, mine: dict[str, str]) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "dog").mkdir()
    for name in ("cat", "dog"):
        for number in range(5):
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(b"no image")
    out = tmp_path / "run"
    out.mkdir()
    for name, text in mine.items():
        (out / name).write_text(text)
    data = {"source": f"folder:{tmp_path / 'photos'}", "val": "none"}
    with pytest.raises(FewerError):
        fit(parse_recipe(content(data=data, stages=[], train={"batch_size": 4, "epochs": 1})), out)
    assert {entry.name: entry.read_text() for entry in out.iterdir()} == mine


def _two_epochs(comm: Any, out: str) -> None:
    fit(parse_recipe(content(stages=[], train={"batch_size": 60, "epochs": 1})), out, comm=comm)


def test_ranks_that_resume_go_on_with_their_own_counts(tmp_path: Path) -> None:
    on_ranks(2, _two_epochs, str(tmp_path / "run"))
    before = json.loads((tmp_path / "run" / "result.json").read_text())["ledger"]
    after = resume(tmp_path / "run", ["train.epochs=2"])["ledger"]  # one process takes over from two
    assert after["samples_loaded"] == 2 * before["samples_loaded"]
    assert after["samples_backpropagated"] == 2 * before["samples_backpropagated"]


def _stopped_local_run(comm: Any, asked: dict[str, Any], out: str) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe(asked), out, comm=comm, display=Stopping(4))


def test_one_process_simulates_the_ranks_of_a_local_method(tmp_path: Path) -> None:
    asked = content(sync={"method": "local_sgd", "every_steps": 3})
    on_ranks(2, _stopped_local_run, asked, str(tmp_path / "run"))
    resolved = (tmp_path / "run" / "recipe.resolved.toml").read_text()
    assert resolved.count("\nworkers = 2\n") == 1
    older = Path(shutil.copytree(tmp_path / "run", tmp_path / "older", symlinks=True))
    (older / "recipe.resolved.toml").write_text(resolved.replace("\nworkers = 2\n", "\n"))
    whole = fit(parse_recipe(content(sync={**asked["sync"], "workers": 2})), tmp_path / "whole")
    assert resume(tmp_path / "run")["state"] == whole["state"]
    # Before the number was kept, nothing but the checkpoint knew it.
    with pytest.raises(
        CheckpointError, match=r"holds 2 workers .* resume with --devices 2, .*sync\.workers=2"
    ) as error:
        resume(older)
    assert "remove" not in str(error.value)
    with pytest.raises(CheckpointError, match="holds 2 workers"):
        resume(older, ["sync.workers=4"])
    assert resume(older, ["sync.workers=2"])["state"] == whole["state"]
    with pytest.raises(RecipeError, match=r"keeps its sync\.workers"):
        resume(older, ["sync.workers=4"])
