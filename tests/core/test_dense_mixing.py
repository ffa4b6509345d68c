"""Mosaics and copy-paste, held against what stands in their pixels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core.dense_mixing import CopyPaste, DenseMixRule, Mosaic
from fewer.core.observation import Observed
from fewer.core.ragged import Ragged, dense
from fewer.core.types import Batch

HIGH, WIDE = 32, 64


def boxed(count: int) -> Batch:
    """Images of a colour of their own, each with a box of another one, whose place depends on the image."""
    images = torch.zeros(count, 3, HIGH, WIDE)
    samples = []
    for i in range(count):
        images[i, 0] = i + 1
        left, top = 4 * (i % 8), 2 * (i % 8)
        images[i, 1, top : top + 16, left : left + 24] = 1
        box = torch.tensor([[left, top, left + 24, top + 16]]).float()
        samples.append({"boxes": box, "labels": torch.tensor([i])})
    return Batch(torch.arange(count), images, Ragged(tuple(samples)))


def masked(count: int) -> Batch:
    images = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 3, HIGH, WIDE).clone()
    return Batch(
        torch.arange(count), images, torch.arange(count, dtype=torch.uint8).view(-1, 1, 1).repeat(1, HIGH, WIDE)
    )


@given(st.integers(1, 13), st.integers(1, 3))
def test_each_image_is_in_four_mosaics_or_alone(size: int, workers: int) -> None:
    seen = torch.zeros(size, dtype=torch.int64)
    for unit in range(0, size, 4):
        positions = torch.arange(unit, min(size, unit + 4)).flip(0)
        mate_B4 = positions[Mosaic().mates(positions, size)]
        assert torch.equal(mate_B4[:, 0], positions)
        seen += torch.bincount(mate_B4.flatten(), minlength=size)
    assert seen.tolist() == [4] * size


def test_boxes_lie_where_a_mosaic_shows_their_pixels() -> None:
    batch = boxed(5)
    mosaic = Mosaic()
    mates = mosaic.mates(torch.arange(5), 5)
    found = mosaic.batch(batch, mates)
    assert torch.equal(dense(found.inputs)[4], dense(batch.inputs)[4]), "the fifth has no three neighbours"
    for image_CHW, target in zip(dense(found.inputs)[:4], found.targets.samples[:4], strict=True):  # type: ignore[union-attr]
        assert sorted(target["labels"].tolist()) == [0, 1, 2, 3]
        for box, label in zip(target["boxes"].round().long().tolist(), target["labels"].tolist(), strict=True):
            left, top, right, bottom = box
            inside = image_CHW[:, top + 1 : bottom - 1, left + 1 : right - 1]
            assert inside[1].min() > 0.9
            assert torch.allclose(inside[0], torch.tensor(label + 1.0), atol=1e-4)


def test_masks_of_a_mosaic_are_those_of_its_pixels() -> None:
    batch, mosaic = masked(4), Mosaic()
    found = mosaic.batch(batch, mosaic.mates(torch.arange(4), 4))
    assert torch.equal(dense(found.targets).float(), dense(found.inputs)[:, 0].round())
    assert set(dense(found.targets)[2].unique().tolist()) == {0, 1, 2, 3}


def test_credit_of_a_mosaic_goes_to_all_of_its_images() -> None:
    mosaic = Mosaic()
    mates = mosaic.mates(torch.arange(5), 5)
    loss_B = torch.tensor([1.0, 2.0, 3.0, 6.0, 9.0]).double()
    seen = Observed(torch.arange(5), {"loss": loss_B, "right": loss_B > 2})
    found = mosaic.credited(seen, mates)
    assert found.columns["loss"].tolist() == [3.0] * 4 + [9.0]
    assert found.columns["right"].tolist() == (loss_B > 2).tolist()
    assert mosaic.shared(torch.ones(5), mates).tolist() == [1.0] * 5


def test_what_is_pasted_lies_over_what_was_there() -> None:
    batch = boxed(8)
    paste = CopyPaste((7, 0, 0))
    mates = paste.mates(torch.arange(8), 8)
    found = paste.batch(batch, mates)
    for row, (image_CHW, target) in enumerate(zip(dense(found.inputs), found.targets, strict=True)):
        mate = int(mates[row])
        assert mate in target["labels"].tolist()  # type: ignore[index]
        left, top, right, bottom = (int(x) for x in target["boxes"][-1])  # type: ignore[index]
        assert torch.equal(image_CHW[:, top:bottom, left:right], dense(batch.inputs)[mate, :, top:bottom, left:right])
        assert found.mixed is not None
        assert float(found.mixed.share_B[row]) == pytest.approx(1 - 24 * 16 / (HIGH * WIDE))


def test_what_comes_along_with_a_pasted_object_is_annotated() -> None:
    """A face within a person: whichever of both is drawn, both are annotated where both are seen."""
    images = torch.zeros(2, 3, HIGH, WIDE)
    nested = torch.tensor([[0.0, 0.0, 30.0, 30.0], [8.0, 8.0, 20.0, 20.0], [40.0, 2.0, 60.0, 30.0]])
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    batch = Batch(torch.arange(2), images, Ragged((empty, {"boxes": nested, "labels": torch.arange(3)})))
    drawn = set[tuple[int, ...]]()
    for seed in range(40):
        paste = CopyPaste((seed, 0, 0))
        found = paste.batch(batch, paste.mates(torch.arange(2), 2)).targets
        drawn.add(tuple(found.samples[0]["labels"].tolist()))  # type: ignore[union-attr,index,call-overload]
    assert drawn == {(0, 1), (0, 1, 2), (1, 2)}


def test_pasted_classes_take_their_pixels_along() -> None:
    batch, paste = masked(5), CopyPaste((7, 0, 0))
    found = paste.batch(batch, paste.mates(torch.arange(5), 5))
    assert torch.equal(dense(found.targets).float(), dense(found.inputs)[:, 0])
    assert dense(found.targets)[:, 0, 0].tolist() == [1, 0, 3, 2, 4]


def test_void_is_never_pasted() -> None:
    batch, paste = masked(2), CopyPaste((7, 0, 0))
    dense(batch.targets)[1, :, :8] = 255
    found = paste.batch(batch, paste.mates(torch.arange(2), 2))
    assert set(dense(found.targets)[0].unique().tolist()) == {0, 1}
    assert (dense(found.targets)[0, :, :8] == 0).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_credit_of_pasting_goes_by_area(share: list[float]) -> None:
    paste = CopyPaste((0, 0, 0))
    mates = paste.mates(torch.arange(2), 2)
    mixed = paste.batch(masked(2), mates).mixed
    assert mixed is not None
    mixed.share_B.copy_(torch.tensor(share).double() * 0.9 + 0.1)
    seen = Observed(torch.arange(2), {"loss": torch.tensor([2.0, 4.0]).double()})
    (first, second), (own, other) = paste.credited(seen, mates, mixed).columns["loss"], mixed.share_B.tolist()
    assert float(first) == pytest.approx((2 * own + 4 * (1 - other)) / (own + 1 - other))
    assert float(second) == pytest.approx((4 * other + 2 * (1 - own)) / (other + 1 - own))


def test_an_image_that_shows_nowhere_keeps_what_it_had() -> None:
    paste = CopyPaste((0, 0, 0))
    mates = paste.mates(torch.arange(2), 2)
    mixed = paste.batch(masked(2), mates).mixed
    assert mixed is not None
    mixed.share_B.copy_(torch.tensor([0.0, 1.0]))  # covered, and nothing of it pasted
    seen = Observed(torch.arange(2), {"loss": torch.tensor([2.0, 4.0]).double()})
    first, second = paste.credited(seen, mates, mixed).columns["loss"].tolist()
    assert (first, second) == (2.0, 3.0)


def test_what_becomes_of_a_batch_is_a_function_of_its_key() -> None:
    rule = DenseMixRule(0.5, 0.5)
    kinds = [type(rule.drawn(32, 0, 0, batch, 0)).__name__ for batch in range(400)]
    assert kinds == [type(rule.drawn(32, 0, 0, batch, 0)).__name__ for batch in range(400)]
    counts = {kind: kinds.count(kind) / 400 for kind in set(kinds)}
    assert counts == {
        "Mosaic": pytest.approx(0.5, abs=0.1),
        "CopyPaste": pytest.approx(0.25, abs=0.08),
        "NoneType": pytest.approx(0.25, abs=0.08),
    }
    assert (rule.unit, DenseMixRule(0, 1).unit) == (4, 2)
