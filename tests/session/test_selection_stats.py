"""What a run records of its selection, class by class, and what it warns of."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

from fewer import report
from fewer.recipe.parse import parse_recipe
from fewer.session import selection_stats
from fewer.session.fit import fit
from fewer.session.selection_stats import in_toml
from fewer.testing import laws
from fewer.testing.harness import Content, one_thread, trained

DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "60%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 4, "batch_size": 32, "lr": 0.05},
    "out": {"plots": False, "previews": False},
}


def told(folder: Path, content: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str], list[int]]:
    """A run's epoch rows, its warnings, and the training images of each class."""
    fit(parse_recipe(content), folder)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    said = [line for line in (folder / "log.txt").read_text().splitlines() if "warning: " in line]
    plan = json.loads((folder / "plan.json").read_text())
    return [row for row in rows if row["kind"] == "epoch"], said, plan["train_images_per_class"]


def test_every_class_is_on_record(tmp_path: Path) -> None:
    chosen = {"method": "apd", "alpha": 1.0, "threshold": 0.8, "guards": "off"}
    epochs, said, images_C = told(tmp_path / "run", {**DIGITS, "select": chosen})
    assert not said
    largest_remainders = []
    for row in epochs[1:]:
        series = row["series"]
        kept_C = [share * images for share, images in zip(series["kept_share_per_class"], images_C, strict=True)]
        assert sum(kept_C) == pytest.approx(row["kept_share"] * sum(images_C)), "what was kept, of every class"
        assert kept_C == pytest.approx(series["quota_per_class"])
        assert sum(series["proportion_per_class"]) == pytest.approx(1)
        assert all(0 < difficulty < 1 for difficulty in series["difficulty_per_class"])
        largest_remainders.append(series["quota_per_class"])
    assert largest_remainders[0] != largest_remainders[-1]
    difficulty = [sum(row["series"]["difficulty_per_class"]) for row in epochs[1:]]
    assert difficulty[-1] < difficulty[0], "what is learnt is easier: 1 - score falls"


def test_a_class_that_is_left_out_is_counted_and_told_once(tmp_path: Path) -> None:
    """No guard stands around a random draw: a class of a few images is not in every epoch."""
    data = {**DIGITS["data"], "long_tail": {"kind": "step", "factor": 30}}
    epochs, said, images_C = told(
        tmp_path / "run", {**DIGITS, "data": data, "select": {"method": "random", "share": 0.2}}
    )
    assert min(images_C) == 2
    for row in epochs:
        lost = row["series"]["kept_share_per_class"].count(0.0)
        assert row.get("counts", {}).get("classes_left_out", 0) == lost
    assert any("counts" in row for row in epochs)
    said = [line for line in said if "learnt nothing" not in line]  # in so few steps
    assert len(said) == 1
    assert "of the 10 classes" in said[0]
    assert "select.guards.class_floor" in said[0]
    guarded = {"method": "dbpd", "cost": 0.6, "guards": {"noise_cap": 0.0}}
    epochs, said, _ = told(tmp_path / "guarded", {**DIGITS, "data": data, "select": guarded})
    assert all(min(row["series"]["kept_share_per_class"]) > 0 for row in epochs if "series" in row)
    assert not said


def test_what_auto_picks_is_told_with_its_reason(tmp_path: Path) -> None:
    content = {**DIGITS, "select": {"method": "auto"}}
    told(tmp_path / "run", content)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    became, resolved = result["became"], tmp_path / "run" / "recipe.resolved.toml"
    assert became["epoch"] == 2
    assert became["select"]["method"] in ("full", "infobatch")
    for text in (resolved.read_text(), report.write(tmp_path / "run").read_text()):
        assert became["reason"] in text
        assert "epoch 3 on" in text
    assert f'# method = "{became["select"]["method"]}"' in resolved.read_text()
    before = resolved.read_text().partition("\n# From epoch")[0]
    assert tomllib.loads(resolved.read_text()) == tomllib.loads(before), "a comment changes nothing"
    said = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "auto picks " in line]
    assert len(said) == 2, "after one epoch of four, and after two"
    assert all("left to learn" in line or "most images teach little" in line for line in said)


def test_what_a_method_became_stays_a_comment_whatever_it_says() -> None:
    keys = {"method": "mine", "guards": {"noise_cap": 0.4}, "names": ["a\n[train]"]}
    became = {"epoch": 0, "reason": "two\nlines \x1b[31m", "select": keys}
    text = in_toml(became)
    assert all(line.startswith("# ") or not line for line in text.splitlines())
    assert "\x1b" not in text
    assert "# guards = {noise_cap = 0.4}" in text
    assert in_toml({}) == ""


def test_auto_finds_wrong_labels_once_right_ones_are_learnt_and_resumes(tmp_path: Path) -> None:
    lots, labels = random.Random(0), [int(label) for label in load_digits().target]
    with (tmp_path / "labels.csv").open("w") as file:
        file.write("file,label\n")
        for row, label in enumerate(labels):
            wrong = lots.random() < 0.4
            file.write(f"{label}/digit-{row:04d}.png,{(label + lots.randrange(1, 10)) % 10 if wrong else label}\n")
    content = {
        "data": {
            "source": "digits",
            "val": "none",
            "test": "40%",
            "labels": {"csv": str(tmp_path / "labels.csv"), "column": "label"},
        },
        "model": {"name": "lenet5", "width": 0.3},
        "train": {"epochs": 12, "batch_size": 64, "lr": 0.05, "precision": "fp32", "seed": 1},
        "select": {"method": "auto"},
    }
    session = trained(content)
    assert session.run.selection.selector.note().startswith("auto picks dbpd: ")
    suspects, splits = session.run.selection.selector.suspected(), session.splits
    true = torch.tensor([int(splits.train.source.names[i].partition("/")[0]) for i in suspects.tolist()])
    found = int((true != splits.train.label_N[suspects]).sum())
    assert found > 0.8 * len(suspects) > 100, "most of what is suspected is wrong: 0.4 would be by chance"
    steps = session.run.ledger.total("optimizer_steps")
    laws.resumed_is_never_stopped(content, session, kills=[steps // 4, steps // 2, steps - 3])


def test_a_run_that_starves_is_told_once_with_what_would_help(tmp_path: Path) -> None:
    """A threshold below most scores of the first epochs leaves the class floor and no more, and so for six epochs."""
    dbpd = {"method": "dbpd", "threshold": 0.05, "guards": {"class_floor": 0.1}}
    train = {**DIGITS["train"], "epochs": 6}
    for folder, keys, cure in (
        ("never", {"refresh_every": 0}, "never looked at again; set select.refresh_every = 4"),
        ("again", {}, "above the threshold; raise select.threshold"),
    ):
        epochs, said, _ = told(tmp_path / folder, {**DIGITS, "train": train, "select": {**dbpd, **keys}})
        assert max(row["kept_share"] for row in epochs[-3:]) < 0.15, "the class floor"
        assert len(said) == 1
        assert cure in said[0]
    _, said, _ = told(tmp_path / "enough", {**DIGITS, "train": train, "select": {**dbpd, "threshold": 0.99}})
    assert not said


SMALL: Content = {
    "data": {"source": "digits", "val": "none", "test": "70%", "cache": "no"},
    "stages": [{"epochs": 3, "side_px": 16}],
    "train": {"batch_size": 64, "lr": 0.05, "precision": "fp32"},
    "out": {"plots": False, "previews": False},
}
LENET: Content = {**SMALL, "model": {"name": "lenet5", "width": 0.2}}


@pytest.fixture
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def warnings_of(folder: Path, chosen: dict[str, Any], **other: Any) -> tuple[list[str], list[dict[str, Any]], float]:
    """What a run, of fresh DBPD by default, says of its scoring, its epochs' rows, and its cost in full epochs."""
    method = {"method": "dbpd", "score": "fresh"} if "method" not in chosen else {}
    result = fit(parse_recipe({**LENET, **other, "select": {**method, **chosen}}), folder)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    said = [line for line in (folder / "log.txt").read_text().splitlines() if "costs more than it saves" in line]
    return said, [row for row in rows if row["kind"] == "epoch"], result["ledger"]["full_epoch_equivalents"]


@pytest.mark.usefixtures("_one_thread")
def test_scoring_that_does_not_pay_is_told_once(tmp_path: Path) -> None:
    """Nearly everything is kept: every epoch costs more than plain training, and one line says so, with both shares."""
    said, epochs, cost = warnings_of(tmp_path / "run", {"threshold": 0.999})
    assert len(said) == 1
    share, limit = epochs[0]["kept_share"], _limit(tmp_path / "run")
    assert share > limit
    assert f"kept share {share:.2f} > {limit:.2f} in epoch 1" in said[0]
    assert 0.5 < limit < 0.7, "a backward is about twice a forward, less for the first layer"
    assert cost > len(epochs), "plain training is cheaper"


@pytest.mark.usefixtures("_one_thread")
def test_scoring_that_pays_is_not_complained_of(tmp_path: Path) -> None:
    said, epochs, cost = warnings_of(tmp_path / "run", {"cost": 0.95})
    assert max(row["kept_share"] for row in epochs) < _limit(tmp_path / "run")
    assert said == []
    assert cost < len(epochs), "cheaper than plain training, if by little"


@pytest.mark.usefixtures("_one_thread")
def test_scoring_for_two_epochs_must_pay_in_both(tmp_path: Path) -> None:
    """A forward of everything, a third of an epoch, serves two: it pays where each leaves out more than a sixth."""
    stages = [{"epochs": 4}]
    said, epochs, cost = warnings_of(tmp_path / "dear", {"method": "alternate", "threshold": 0.999}, stages=stages)
    assert cost > len(epochs)
    assert len(said) == 1
    assert "in epoch 3 to 4" in said[0]
    said, epochs, cost = warnings_of(tmp_path / "cheap", {"method": "alternate", "cost": 0.95}, stages=stages)
    assert epochs[2]["kept_share"] > _limit(tmp_path / "dear", scorings=1), "one epoch alone would not have paid"
    assert cost < len(epochs)
    assert said == []


@pytest.mark.usefixtures("_one_thread")
def test_the_warning_can_be_switched_off(tmp_path: Path) -> None:
    said, epochs, cost = warnings_of(tmp_path / "run", {"threshold": 0.999, "guards": {"break_even": False}})
    assert epochs[0]["kept_share"] > _limit(tmp_path / "run")
    assert cost > len(epochs)
    assert said == []


def _limit(folder: Path, scorings: int = 0) -> float:
    """The kept share at which scoring everything costs what it saves, from the ledger: 1 - forward / whole step."""
    ledger = json.loads((folder / "result.json").read_text())["ledger"]
    plan = json.loads((folder / "plan.json").read_text())
    step = plan["plain_epoch_flops"] / plan["train_images"]
    scored = (scorings or plan["epochs"]) * plan["train_images"]
    forward = (ledger["flops"] - ledger["samples_backpropagated"] * step) / scored
    return 1 - forward / step


def test_numbers_of_groups_are_not_taken_for_numbers_of_classes() -> None:
    found = {"quota_per_class": torch.tensor([3, 4]), "repeats_per_class": torch.tensor([1.0, 2.0, 3.0])}
    assert selection_stats._series(found, classes=3) == {
        "quota_per_group": [3, 4],
        "repeats_per_class": [1.0, 2.0, 3.0],
    }
