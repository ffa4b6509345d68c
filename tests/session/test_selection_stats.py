"""What a run records of its selection, class by class, and what it warns of."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

from fewer.recipe.parse import parse_recipe
from fewer.session.fit import fit
from fewer.testing import laws
from fewer.testing.harness import Content, trained

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
    assert len(said) == 1
    assert "of the 10 classes" in said[0]
    assert "select.guards.class_floor" in said[0]
    guarded = {"method": "dbpd", "cost": 0.6, "guards": {"noise_cap": 0.0}}
    epochs, said, _ = told(tmp_path / "guarded", {**DIGITS, "data": data, "select": guarded})
    assert all(min(row["series"]["kept_share_per_class"]) > 0 for row in epochs if "series" in row)
    assert not said


def test_what_auto_picks_is_told_with_its_reason(tmp_path: Path) -> None:
    told(tmp_path / "run", {**DIGITS, "select": {"method": "auto"}})
    said = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "auto picks " in line]
    assert len(said) == 2, "after one epoch of four, and after two"
    assert all("left to learn" in line or "most images teach little" in line for line in said)


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
        "train": {"epochs": 12, "batch_size": 64, "lr": 0.05, "precision": "fp32", "seed": 0},
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
