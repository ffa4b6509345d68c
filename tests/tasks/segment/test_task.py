"""Segmentation keeps the promises of tasks, and its numbers are those of an independent count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch import Tensor, nn
from torch.nn import functional as F

from fewer import tasks
from fewer.core.drawing.palette import VOID
from fewer.core.metadata import TaskSetting
from fewer.core.ragged import Ragged, dense
from fewer.core.types import At, Batch
from fewer.sync.comm import SingleProcess
from fewer.tasks.segment.loss import LOSSES, Setting
from fewer.tasks.segment.task import Segment
from fewer.testing import check_task
from fewer.testing.threads import on_ranks
from masks import batch_of, random_ids, training

AT = At(0, 1, 0.0)
FRAME = (32, 64)
SIZES = [(32, 50), (20, 64), (31, 63), (32, 64), (7, 9)]


class Coarse(nn.Module):
    """Logits at half the resolution, and an auxiliary head in training."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.main, self.aux = nn.Conv2d(3, classes, 2, 2), nn.Conv2d(3, classes, 4, 4)

    def forward(self, x: Tensor) -> Any:
        return (self.main(x), self.aux(x)) if self.training else self.main(x)


class Given(nn.Module):
    """Gives logits that were given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[x[:, 0, 0, 0].long()]


def coarse() -> Coarse:
    torch.manual_seed(0)
    return Coarse()


def pictures() -> Batch:
    return batch_of(random_ids(1, SIZES), FRAME)


def loss_of(name: str, **keys: Any) -> Any:
    module = LOSSES.module(name)
    return module.build(module.Params(**keys), Setting())


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"tta": "flip"},
        {"loss": loss_of("dice")},
        {"loss": loss_of("focal")},
        {"loss": loss_of("cross_entropy_dice")},
        {"aspect": 2.0, "pixels_C": (3, 4, 5)},
    ],
    ids=lambda keys: "-".join(keys) or "plain",
)
def test_segmentation_conforms(keys: dict[str, Any]) -> None:
    check_task(lambda: (Segment(3, **keys), coarse()), pictures())


def test_auxiliary_heads_are_part_of_the_loss_and_not_of_what_selection_sees() -> None:
    net, batch = coarse().train(), training(pictures())
    task = Segment(3, aux_weight=0.25)
    found = task.outcome(net, batch, AT)
    masks = dense(batch.targets).long()

    def sums(logits: Tensor) -> Tensor:
        larger = F.interpolate(logits, size=FRAME, mode="bilinear", align_corners=False)
        return F.cross_entropy(larger, masks, ignore_index=VOID, reduction="none").sum((1, 2))

    main, aux = net(dense(batch.inputs))
    assert torch.allclose(found.loss_sum_B, sums(main) + 0.25 * sums(aux), rtol=1e-5)
    (loss_sum, count) = found.loss_sum_B.sum(), found.count_B.sum()
    whole = F.cross_entropy(F.interpolate(main, size=FRAME, mode="bilinear"), masks, ignore_index=VOID)
    of_aux = F.cross_entropy(F.interpolate(aux, size=FRAME, mode="bilinear"), masks, ignore_index=VOID)
    assert torch.allclose(loss_sum / count, whole + 0.25 * of_aux, rtol=1e-5), "as torch's own training loop"
    scored = task.outcome(net.eval(), batch, AT).observed(batch.ids_B)
    assert torch.allclose(found.observed(batch.ids_B).loss_B, scored.loss_B, rtol=1e-5)
    without = Segment(3, aux_weight=0.0).outcome(net.train(), batch, AT)
    assert torch.allclose(without.loss_sum_B, sums(main), rtol=1e-5)


def test_score_and_correctness_are_those_of_valid_pixels() -> None:
    batch = training(pictures())
    found = Segment(3).outcome(coarse().eval(), batch, AT)
    logits = F.interpolate(coarse().eval()(dense(batch.inputs)), size=FRAME, mode="bilinear", align_corners=False)
    for place, mask in enumerate(dense(batch.targets)):
        valid = mask != VOID
        nll = F.cross_entropy(logits[place].permute(1, 2, 0)[valid], mask[valid].long())
        assert float(found.score_B[place]) == pytest.approx(float(torch.exp(-nll.detach())), rel=1e-4)
        share = float((logits[place].argmax(0) == mask)[valid].float().mean())
        assert float(found.metrics["pixel_accuracy"][place]) == pytest.approx(share)
        assert bool(found.right_B[place]) == (share > 0.5)
        assert int(found.count_B[place]) == int(valid.sum())


def test_an_image_that_is_all_void_counts_nothing() -> None:
    ids = random_ids(1, SIZES)
    ids[1] = torch.full_like(ids[1], VOID)
    batch = batch_of(ids, FRAME)
    found = Segment(3).outcome(coarse(), batch, AT)
    entries = [found.loss_sum_B[1], found.count_B[1], found.score_B[1], found.right_B[1]]
    assert [float(each.detach()) for each in entries] == [0, 0, 1, 0]
    whole = Segment(3).evaluate(coarse(), [batch], SingleProcess())
    others = batch.take(torch.tensor([0, 2, 3, 4]))
    assert whole.scalars == Segment(3).evaluate(coarse(), [others], SingleProcess()).scalars
    assert whole.worst[-1].id == 1
    assert whole.worst[-1].detail["miou"] is None


@settings(max_examples=30)
@given(st.integers(0, 2**16), st.integers(2, 9))
def test_miou_is_that_of_all_pixels_at_the_pictures_own_sizes(seed: int, classes: int) -> None:
    """Pictures that are shown as they are, so that scikit-learn can count the same pixels."""
    ids = random_ids(seed, SIZES[:4], classes, block=3)
    batch = batch_of(ids, FRAME)
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, classes, *FRAME, generator=chance)
    batch = replace(batch, inputs=torch.arange(4.0)[:, None, None, None].expand(4, 3, *FRAME))
    found = Segment(classes).evaluate(Given(logits), [batch], SingleProcess())
    assert isinstance(batch.targets, Ragged)
    true, said = [], []
    for logit, target in zip(logits, batch.targets, strict=True):
        assert isinstance(target, dict)
        valid = target["mask"] != VOID
        true.append(target["mask"][valid])
        said.append(logit.argmax(0)[valid])
    y, p = torch.cat(true).numpy(), torch.cat(said).numpy()
    seen = sorted({*y.tolist(), *p.tolist()})
    assert found.scalars["miou"] == pytest.approx(jaccard_score(y, p, labels=seen, average="macro"))
    assert found.scalars["pixel_accuracy"] == pytest.approx(float(np.mean(y == p)))
    assert sum(map(sum, found.tables["confusion"])) == len(y)
    assert found.tables["per_class_pixels"] == np.bincount(y, minlength=classes).tolist()


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_find_the_very_numbers_of_one(ranks: int) -> None:
    batch, net, task = pictures(), coarse(), Segment(3)
    singles = [batch.take(slice(i, i + 1)) for i in range(len(batch))]
    whole = task.evaluate(net, [batch], SingleProcess())
    parts = on_ranks(ranks, lambda comm: task.evaluate(net, iter(singles[comm.rank :: comm.world_size]), comm))
    for part in parts:
        assert part.tables == whole.tables
        assert part.scalars == pytest.approx(whole.scalars, rel=1e-6)
        assert [each.id for each in part.worst] == [each.id for each in whole.worst]


def test_the_mean_of_both_views_is_that_of_mirrored_logits() -> None:
    batch, net = pictures(), coarse().eval()
    image = dense(batch.inputs)
    with torch.no_grad():
        expected = (net(image) + net(image.flip(-1)).flip(-1)) / 2
    assert torch.allclose(Segment(3, tta="flip").predict(net, image), expected)


def test_predictions_need_no_labels_and_have_the_pictures_sizes() -> None:
    batch, net = pictures(), coarse().eval()
    assert isinstance(batch.targets, Ragged)
    places = tuple({key: each[key] for key in ("size", "to_picture")} for each in batch.targets)  # type: ignore[index]
    found = Segment(3).predictions(net, replace(batch, targets=Ragged(places)), 1)  # type: ignore[arg-type]
    assert [each.id_hw.shape for each in found] == SIZES
    with pytest.raises(TypeError, match="strength 0"):
        Segment(3).predictions(net, training(batch), 1)


def test_a_network_that_does_not_give_maps_of_classes_is_refused() -> None:
    task = Segment(4)
    dummy = task.dummy_batch(64, torch.device("meta"), torch.float32)
    with pytest.raises(ValueError, match=r"\(2, 3, 32, 32\) for 2 images of 64 x 64 px and 4 classes"):
        task.dry_run(coarse().eval().to("meta"), dummy)
    with pytest.raises(ValueError, match="256 classes"):
        Segment(256)


def test_a_published_task_is_restored_and_one_of_a_recipe_built() -> None:
    segment = tasks.module("segment")
    setting = TaskSetting(("a", "b"), (3, 4), aspect=2.0, pixels_C=(10, 30))
    params = segment.Params(class_weights="inverse", tta="flip")
    task = segment.build(params, setting)
    assert tuple(dense(task.dummy_batch(64, torch.device("meta"), torch.float32).inputs).shape) == (2, 3, 32, 64)
    again = segment.restored(segment.Metadata.model_validate(task.metadata()), None)
    assert again.metadata() == task.metadata()
    groups, count = segment.groups(torch.tensor([0, 3, -1]), ("a", "b"))
    assert (groups.tolist(), count) == ([0, 0, -1], 1)


@pytest.mark.parametrize(
    "change",
    [
        {"train_pixels_per_class": [1]},
        {"classes": [str(i) for i in range(256)]},
        {"flip_tta": 1},
        {"tta": "flip_and_shift"},
    ],
)
def test_metadata_of_unknown_origin_is_checked(change: dict[str, Any]) -> None:
    segment = tasks.module("segment")
    with pytest.raises(ValueError, match=r"class|tta"):
        segment.Metadata.model_validate({"name": "segment", "classes": ["a", "b"], **change})


def test_masks_of_8_bits_have_room_for_255_classes() -> None:
    assert Segment(255).classes == 255
    with pytest.raises(ValueError, match="256 classes; masks of 8 bits have room for 255"):
        Segment(256)
