"""Suspected boxes and masks of a run: a table in order, pictures with the place framed, and a bounded look."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dense_data import CLASSES, Knowing, box_data, mask_data
from fewer.core.suspicion import Suspicion
from fewer.plan import shown
from fewer.session import dense_suspects
from fewer.session.dense_suspects import list_dense_suspects, names_suspects, write_suspicions
from fewer.session.previews import PAIR_BYTES


class Doubting(Knowing):
    """Doubts the annotation of every other image, the later the more."""

    def suspicions(self, model: Any, batches: Any) -> list[Suspicion]:
        return [
            Suspicion(id, "doubtful box", id % 2, None if id % 4 else 1, id / 10, (10.0, 10.0, 30.0, 30.0))
            for batch in batches
            for id in batch.ids_B.tolist()
            if id % 2 == 0
        ]


def session_on(data: Any, losses: list[float]) -> Any:
    booked: dict[str, int] = {}
    ledger = SimpleNamespace(phase=lambda name: nullcontext(), book=lambda stage, **counts: booked.update(counts))
    stage = SimpleNamespace(index=0)
    run = SimpleNamespace(
        cursor=SimpleNamespace(epoch=3),
        ledger=ledger,
        plan=SimpleNamespace(stages=[stage]),
        selection=SimpleNamespace(table=SimpleNamespace(loss_N=torch.tensor(losses))),
    )
    plan = SimpleNamespace(evaluation_side_px=96, recipe=SimpleNamespace(out=SimpleNamespace(suspects=True)))
    splits = SimpleNamespace(train=data.split)
    return SimpleNamespace(
        task=Doubting(CLASSES), run=run, plan=plan, splits=splits, train_data=data, booked=booked
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_suspects_are_listed_in_order_with_their_pictures(tmp_path: Path, kind: str) -> None:
    data = (box_data if kind == "boxes" else mask_data)(tmp_path / "data", count=8)
    session = session_on(data, [0.0] * 8)
    folder = SimpleNamespace(path=tmp_path / "run", writes=True)
    folder.path.mkdir()

    def draw(found: Any, model: Any) -> list[str]:
        names = write_suspicions(session, model, folder.path / "previews" / "suspects", found)
        return [f"previews/suspects/{name}" for name in names]

    total, told = list_dense_suspects(session, folder, 2, draw)  # type: ignore[arg-type]
    assert total == 4
    with (folder.path / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["name"]).stem for row in rows] == ["6", "4", "2", "0"]
    assert [row["sure"] for row in rows] == ["0.6", "0.4", "0.2", "0.0"]
    assert rows[1]["predicted"] == CLASSES[1]
    assert rows[0]["predicted"] == ""
    assert (rows[0]["left"], rows[0]["bottom"]) == ("10.0", "30.0")
    assert [row["picture"] for row in rows] == [f"previews/suspects/{place:03d}.jpg" for place in (1, 2, 3, 4)]
    assert [entry["thumbnail"] for entry in told] == [row["picture"] for row in rows]
    assert session.booked == {"samples_evaluated": 8}
    for row in rows:
        path = folder.path / row["picture"]
        assert path.stat().st_size <= PAIR_BYTES
        with Image.open(path) as picture:
            both = np.asarray(picture).astype(int)
        scale = both.shape[0] / 40
        for left in (0, both.shape[1] - round(60 * scale)):  # white beside black, in both halves
            edge = both[round(18 * scale) : round(22 * scale), left + round(10 * scale) - 6 : left + round(10 * scale)]
            assert edge.max() - edge.min() > 120


def test_where_no_pictures_are_wanted_there_is_the_table(tmp_path: Path) -> None:
    session = session_on(box_data(tmp_path / "data"), [0.0] * 6)
    folder = SimpleNamespace(path=tmp_path, writes=True)
    total, told = list_dense_suspects(session, folder, 2, lambda found, model: [])  # type: ignore[arg-type]
    assert (total, told) == (3, [])
    assert (tmp_path / "suspects.csv").read_text().count("doubtful box") == 3
    other = SimpleNamespace(path=tmp_path / "other", writes=False)
    assert list_dense_suspects(session, other, 2, lambda found, model: []) == (0, [])  # type: ignore[arg-type]


def test_of_many_images_those_of_the_highest_losses_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_suspects, "SUSPECTED_IMAGES", 3)
    session = session_on(box_data(tmp_path / "data"), [0.5, 0.1, 3.0, float("nan"), 2.0, 0.2])
    found = list_dense_suspects(session, SimpleNamespace(path=tmp_path, writes=True), 2, lambda *_: [])  # type: ignore[arg-type]
    assert found[0] == 3, "0, 2 and 4"
    assert session.booked == {"samples_evaluated": 3}
    assert shown.SUSPECTED_IMAGES == 2_000


def test_only_tasks_that_can_are_asked_and_only_where_that_is_wanted(tmp_path: Path) -> None:
    session = session_on(box_data(tmp_path / "data"), [0.0] * 6)
    assert names_suspects(session)
    session.task = Knowing(CLASSES)
    assert not names_suspects(session)
    session.task = Doubting(CLASSES)
    session.plan.recipe.out.suspects = False
    assert not names_suspects(session)


def test_names_are_inert_in_spreadsheets(tmp_path: Path) -> None:
    each = Suspicion(0, "missing box", None, 0, 0.9, (0.0, 0.0, 1.0, 1.0))
    row = partial(dense_suspects.row_of, each)(["=cmd.png"], ["+1"])
    assert (row["name"], row["predicted"], row["annotated"]) == ("./=cmd.png", "'+1", "")
