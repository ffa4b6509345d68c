"""Accuracy by training images of a class: groups, metrics, and a run on a long tail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from echo import Echo
from fewer import report
from fewer.core.types import Batch
from fewer.report.load import load
from fewer.report.sections.tasks.classify.shots import by_shots
from fewer.sync.comm import SingleProcess
from fewer.tasks.classify import shots
from fewer.tasks.classify.task import Classify
from fewer.testing.harness import session_of
from server import Server


def test_groups_are_the_published_ones() -> None:
    assert shots.groups([500, 101, 100, 20, 19, 1]) == {"many": [0, 1], "medium": [2, 3], "few": [4, 5]}
    assert shots.groups([30, 40]) == {"medium": [0, 1]}
    assert [shots.is_imbalanced(each) for each in ([], [5, 5], [10, 5], [11, 5], [3, 0])] == [False] * 3 + [True] * 2


def evaluated(images_C: list[int], labels: list[int], said: list[int]) -> dict[str, float]:
    logits = torch.nn.functional.one_hot(torch.tensor(said), len(images_C)).double()
    batch = Batch(torch.arange(len(labels)), logits, torch.tensor(labels))
    return Classify(len(images_C), images_C=images_C).evaluate(Echo(), [batch], SingleProcess()).scalars


def test_accuracy_by_group_by_hand() -> None:
    """Classes of 200, 150, 50, 10, 5 training images; recalls 1, 1/2, 0, 1, none: the last is not in the set."""
    labels, said = [0, 0, 1, 1, 2, 2, 2, 3], [0, 0, 1, 0, 0, 1, 3, 3]
    scalars = evaluated([200, 150, 50, 10, 5], labels, said)
    assert scalars["many_shot"] == pytest.approx(0.75)
    assert scalars["medium_shot"] == 0.0
    assert scalars["few_shot"] == 1.0
    assert scalars["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    absent = evaluated([200, 150, 50, 10, 5], [0, 1], [0, 1])
    assert absent.keys() & {"medium_shot", "few_shot"} == set(), "groups without test images are left out"
    even = evaluated([200, 150, 120, 100, 100], labels, said)
    assert not even.keys() & {"many_shot", "medium_shot", "balanced_accuracy"}


def test_balanced_accuracy_is_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score

    generator = torch.Generator().manual_seed(0)
    labels, said = (torch.randint(0, 5, (300,), generator=generator).tolist() for _ in range(2))
    scalars = evaluated([900, 90, 9, 2, 1], labels, said)
    assert scalars["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, said))


RECIPE = """[data]
source = "digits"
val = "10%"
long_tail = {factor = 60}

[model]
name = "lenet5"
width = 0.1
head = "normalized"

[task]
loss = "ldam"
class_weights = "effective_number"
reweight_from = "50%"

[train]
epochs = 2
batch_size = 32
lr = 0.03
"""


@pytest.fixture(scope="module")
def run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a long tail, with margins and a normalised head."""
    folder = tmp_path_factory.mktemp("tail")
    (folder / "tail.toml").write_text(RECIPE)
    ended = server.run("train", "tail.toml", "--out", "run", cwd=folder)
    assert ended.code == 0, ended.stderr
    assert "long tail (exp, factor 60): 10 classes from " in ended.stderr
    return folder / "run"


@pytest.mark.parametrize("split", ["test", "val"])
def test_evaluating_again_gives_the_runs_own_numbers(server: Server, run: Path, split: str) -> None:
    """Groups, a head of its own and scaled logits come back from what was published, to the last bit."""
    before = json.loads((run / "result.json").read_text())["metrics"]
    found = server.run("eval", "run", "--split", split, "--json", cwd=run.parent).json["metrics"]
    assert {f"{split}/{name}" for name in ("many_shot", "medium_shot", "few_shot", "balanced_accuracy")} <= set(found)
    assert found == {key: value for key, value in before.items() if key in found}
    assert "few-shot" in server.run("eval", "run", cwd=run.parent).stdout


def test_a_finished_run_is_extended(server: Server, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", symlinks=True)
    ended = server.run("resume", "run", "train.epochs=3", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_the_report_tells_accuracy_by_training_images(run: Path, tmp_path: Path) -> None:
    page = report.write(run).read_text()
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    table = page.partition("Accuracy by training images of the class")[2]
    for name, words in (("many", "more than 100"), ("medium", "20 to 100"), ("few", "fewer than 20")):
        row = table.partition(f"{name}: {words}")[2].partition("</tr>")[0]
        assert f"{100 * metrics[f'test/{name}_shot']:.1f}" in row
    (tmp_path / "plan.json").write_text(json.dumps({"train_images_per_class": [500, 3]}))
    html = by_shots(load(tmp_path), [0.5, None], ["<b>", "&"])
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    for damage in ([500], [500, "x"], [500, -3], "ab", None, [5, 5]):
        (tmp_path / "plan.json").write_text(json.dumps({"train_images_per_class": damage}))
        assert by_shots(load(tmp_path), [0.5, None], ["a", "b"]) == ""


def test_what_the_classifier_is_told_is_what_trains() -> None:
    content = {
        "data": {"source": "digits", "test": "80%", "val": "none", "long_tail": {"factor": 20.0}},
        "model": {"name": "lenet5", "width": 0.1},
    }
    session = session_of({**content, "train": {"batch_size": 16}})
    labels = session.splits.train.label_N[session.run.selection.pool_ids]
    assert list(session.task.images_C) == torch.bincount(labels, minlength=10).tolist()  # type: ignore[attr-defined]
