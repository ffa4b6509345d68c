"""Mixup and CutMix against timm's, pairs, draws, and what is credited to whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fewer.core.clock import Duration
from fewer.core.mixing import Mix, MixRule, cut, partners
from fewer.core.observation import Observed
from fewer.core.types import At, Batch, Mixed
from fewer.tasks.classify.class_weights import Reweighting
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.task import Classify

SIDE, SIZE, CLASSES = 15, 12, 5
IMAGES = torch.rand(SIZE, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(SIZE) % CLASSES
FLIPPED = torch.arange(SIZE - 1, -1, -1)  # timm's partners


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_inputs_and_soft_targets_are_timms(kind: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("timm.data.mixup")
    middle = iter([4, 13])
    monkeypatch.setattr(np.random, "beta", lambda *_: share)
    monkeypatch.setattr(np.random, "randint", lambda *_, **__: next(middle))
    alphas = {"mixup_alpha": 0.2, "cutmix_alpha": 0.0} if kind == "mixup" else {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
    mixup = theirs.Mixup(**alphas, label_smoothing=0.1, num_classes=CLASSES)
    images, soft_BC = mixup(IMAGES.clone(), LABELS)

    mix = Mix(share) if kind == "mixup" else cut(share, SIDE, 4, 13)
    batch = Batch(torch.arange(SIZE), IMAGES, LABELS)
    found = mix.batch(batch, FLIPPED) if mix else batch
    assert torch.equal(found.inputs, images)

    logits_BC = torch.randn(SIZE, CLASSES, dtype=torch.float64)
    outcome = Classify(CLASSES, label_smoothing=0.1).outcome(lambda _: logits_BC, found, At(0, 1, 0.0))
    expected = -(soft_BC.double() * logits_BC.log_softmax(1)).sum(1)
    torch.testing.assert_close(outcome.loss_sum_B, expected, rtol=0, atol=1e-6)  # timm's targets are float32


@given(st.floats(0, 1), st.integers(8, 64), st.data())
def test_boxes_are_timms(share: float, side_px: int, data: st.DataObject) -> None:
    theirs = pytest.importorskip("timm.data.mixup")
    place = data.draw(st.tuples(*[st.integers(0, side_px - 1)] * 2))
    middle = iter(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *_, **__: next(middle))
        box, area = theirs.cutmix_bbox_and_lam((3, side_px, side_px), share)
    mix = cut(share, side_px, *place)
    assert (mix.box, mix.share) == (tuple(map(int, box)), area) if mix else area == 1


@given(st.integers(1, 33))
def test_partners_are_neighbours_and_each_others(size: int) -> None:
    whole = partners(torch.arange(size), size)
    assert torch.equal(whole[whole], torch.arange(size))
    assert int((whole == torch.arange(size)).sum()) == size % 2
    half = torch.tensor([2 * pair + one for pair in range(size // 2) if pair % 2 for one in (1, 0)], dtype=torch.int64)
    assert torch.equal(half[partners(half, size)], whole[half])


def test_draws_are_those_asked_for_and_pure() -> None:
    rule = MixRule(0.3, 2.0, 0.8, 0.25)
    drawn = [rule.drawn(1000, 7, epoch, batch, 0) for epoch in range(20) for batch in range(200)]
    assert drawn == [rule.drawn(1000, 7, epoch, batch, 0) for epoch in range(20) for batch in range(200)]
    mixed = [mix for mix in drawn if mix]
    assert 0.78 < len(mixed) / len(drawn) < 0.82
    by_mixup, by_cutmix = ([mix for mix in mixed if (mix.box is None) is one] for one in (True, False))
    assert 0.23 < len(by_cutmix) / len(mixed) < 0.27
    share = torch.tensor([mix.share for mix in by_mixup])
    assert float(share.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(share.var()) == pytest.approx(1 / (4 * (2 * 0.3 + 1)), rel=0.06)  # of Beta(a, a)
    for other in ((8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)):
        assert MixRule(0.3, 0.0, 1.0, 0.5).drawn(9, *other) != MixRule(0.3, 0.0, 1.0, 0.5).drawn(9, 7, 0, 0, 0)


@pytest.mark.parametrize(("rule", "boxes"), [(MixRule(1.0, 0.0, 1.0, 0.5), False), (MixRule(0.0, 1.0, 1.0, 0.5), True)])
def test_one_alpha_alone_is_always_meant(rule: MixRule, boxes: bool) -> None:
    assert all((mix.box is not None) is boxes for n in range(50) if (mix := rule.drawn(32, 0, 0, n, 0)))


def test_credit_goes_to_both_images_by_their_shares() -> None:
    """Images 0 and 1 are partners; 2, the last of an odd batch, is alone."""
    seen = Observed.of(
        torch.tensor([5, 6, 7]),
        torch.tensor([1.0, 2.0, 4.0]),
        torch.tensor([0.5, 0.1, 0.2]),
        torch.tensor([True, False, True]),
        embedding=torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]]),
    )
    partner_B = torch.tensor([1, 0, 2])
    found = Mix(0.75).credited(seen, partner_B)
    assert found.loss_B.tolist() == [1.25, 1.75, 4.0]
    assert found.right_B.tolist() == [True, False, True]
    assert found.columns["embedding"].tolist() == [[0.75, 0.25], [0.25, 0.75], [3.0, 3.0]]
    # Where less than half of an image is left in its own, its partner's shows more of it.
    assert Mix(0.25).credited(seen, partner_B).right_B.tolist() == [False, True, True]
    assert Mix(0.25).credited(seen, partner_B).loss_B.tolist() == [1.75, 1.25, 4.0]


def test_weights_are_shared_and_equal_ones_stay_whole() -> None:
    partner_B = torch.tensor([1, 0, 2])
    ones = torch.ones(3, dtype=torch.float64)
    assert all(torch.equal(Mix(share).shared(ones, partner_B), ones) for share in torch.rand(500).double().tolist())
    weights = torch.tensor([2.0, 0.0, 5.0], dtype=torch.float64)
    assert Mix(0.75).shared(weights, partner_B).tolist() == [1.5, 0.5, 5.0]


def test_class_weights_go_with_the_labels() -> None:
    """As torch has it for soft targets; a prediction that is the target has nothing left to be observed."""
    logits_BC, others = torch.randn(SIZE, CLASSES, dtype=torch.float64), LABELS.flip(0)
    reweighting = Reweighting("inverse", (1, 2, 3, 4, 5), 0.0, Duration(0, "%"))
    share_B = torch.full((SIZE,), 0.3, dtype=torch.float64)
    batch = Batch(torch.arange(SIZE), IMAGES, LABELS, Mixed(others, share_B))
    soft_BC = 0.3 * F.one_hot(LABELS, CLASSES).double() + 0.7 * F.one_hot(others, CLASSES).double()
    outcome = Classify(CLASSES, reweighting=reweighting).outcome(lambda _: logits_BC, batch, At(0, 1, 0.0))
    expected = F.cross_entropy(logits_BC, soft_BC, weight=reweighting.weight_C, reduction="none")
    torch.testing.assert_close(outcome.loss_sum_B, expected)
    perfect = Classify(CLASSES, reweighting=reweighting).outcome(lambda _: soft_BC.log(), batch, At(0, 1, 0.0))
    assert perfect.observed(batch.ids_B).loss_B.abs().max() < 1e-12


def test_the_score_is_one_where_the_prediction_is_the_soft_target() -> None:
    share, labels, others = 0.7, torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0])
    p_BC = torch.tensor([[0.7, 0.3, 1e-12], [1e-12, 1.0, 1e-12], [0.4, 0.2, 0.4]], dtype=torch.float64)
    batch = Mix(share).batch(Batch(torch.arange(3), torch.zeros(3, 3, 1, 1), labels), torch.arange(3))
    batch = Batch(batch.ids_B, batch.inputs, labels, Mixed(others, batch.mixed.share_B))
    outcome = Classify(3).outcome(lambda _: p_BC.log(), batch, At(0, 1, 0.0))
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    assert outcome.score_B.tolist() == pytest.approx([1.0, 1.0, np.exp(entropy) * 0.4], abs=1e-9)
    assert outcome.right_B.tolist() == [True, True, False]  # of two equal logits the first is the prediction
    plain = cross_entropy(p_BC.log(), labels)
    same = Batch(batch.ids_B, batch.inputs, labels, Mixed(others, torch.ones(3, dtype=torch.float64)))
    assert torch.equal(Classify(3).outcome(lambda _: p_BC.log(), same, At(0, 1, 0.0)).score_B, plain.score_B)
