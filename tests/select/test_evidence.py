"""The evidence that labels are wrong: found where they are, and never where a net has learnt a part of right labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fewer.core.population import Population
from fewer.select.evidence import Evidence, learnt_classes, looks_wrong, two_groups

CLASSES, EACH = 10, 60
LABEL_N = torch.arange(CLASSES * EACH) % CLASSES
IDS = torch.arange(len(LABEL_N))
POPULATION = Population(0, LABEL_N, CLASSES)


def losses(learnt_C: list[bool], wrong: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Losses and correctness of a net that has learnt some classes, where a share of the labels is wrong."""
    stream = torch.Generator().manual_seed(seed)
    learnt_N = torch.tensor(learnt_C)[LABEL_N]
    wrong_N = torch.rand(len(LABEL_N), generator=stream) < wrong
    low_N = 0.5 * torch.rand(len(LABEL_N), generator=stream) ** 2
    high_N = 3.5 + 0.5 * torch.randn(len(LABEL_N), generator=stream)
    return torch.where(learnt_N & ~wrong_N, low_N, high_N), learnt_N & ~wrong_N


def judged(loss_N: Tensor, right_N: Tensor) -> list[int]:
    learnt_C = learnt_classes(IDS, right_N, POPULATION)
    return looks_wrong(IDS, loss_N, right_N, learnt_C, POPULATION)[0].tolist()


@pytest.mark.parametrize("learnt", [0, 1, 3, 5, 8, 10])
def test_classes_that_are_not_learnt_are_no_wrong_labels(learnt: int) -> None:
    """The losses of all samples fall into two groups, learnt classes and others, and every label is right."""
    loss_N, right_N = losses([True] * learnt + [False] * (CLASSES - learnt), wrong=0.0)
    if 0 < learnt < CLASSES:
        assert two_groups(loss_N) is not None, "what was taken for wrong labels once"
    assert judged(loss_N, right_N) == []


@pytest.mark.parametrize("wrong", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("learnt", [6, 10])
def test_wrong_labels_of_learnt_classes_stand_apart(learnt: int, wrong: float) -> None:
    loss_N, right_N = losses([True] * learnt + [False] * (CLASSES - learnt), wrong)
    assert judged(loss_N, right_N) == IDS[~right_N & (learnt > LABEL_N)].tolist()


def test_groups_that_are_no_classes_are_no_evidence() -> None:
    """Background has next to no loss, and images with objects have much: both groups are right."""
    loss_N, right_N = losses([True] * 10, wrong=0.3)
    background = replace(POPULATION, groups_are_classes=False)
    assert learnt_classes(IDS, right_N, POPULATION).all()
    assert not learnt_classes(IDS, right_N, background).any()
    assert not len(Evidence(background).look(IDS, loss_N, right_N))


def test_a_net_that_has_learnt_few_of_its_classes_knows_too_little_to_judge() -> None:
    loss_N, right_N = losses([True] * 4 + [False] * 6, wrong=0.3)
    assert not learnt_classes(IDS, right_N, POPULATION).any()
    assert judged(loss_N, right_N) == []


def test_a_frequent_class_alone_is_not_most_of_the_classes() -> None:
    """As in the first epochs on uneven classes: one of ten holds most of the samples, and is what is predicted."""
    label_N = torch.cat([torch.zeros(400, dtype=torch.int64), torch.arange(1, 10).repeat_interleave(20)])
    population = Population(0, label_N, 10)
    assert not learnt_classes(torch.arange(580), label_N == 0, population).any()


@pytest.mark.parametrize(("right", "is_learnt"), [(0.42, False), (0.5, True)])
def test_a_class_is_learnt_two_fifths_of_the_way_from_chance(right: float, is_learnt: bool) -> None:
    """Of ten classes that is 0.1 + 0.4 * 0.9 = 0.46."""
    right_N = right * EACH > (IDS // CLASSES)
    assert bool(learnt_classes(IDS, right_N, POPULATION).all()) == is_learnt


def test_what_looks_wrong_once_is_no_evidence() -> None:
    evidence = Evidence(POPULATION)
    first, second = (losses([True] * CLASSES, 0.3, seed) for seed in (0, 1))
    assert not len(evidence.look(IDS, *first))
    assert evidence.share == 0
    both = evidence.look(IDS, *second)
    assert both.tolist() == IDS[~first[1] & ~second[1]].tolist()
    assert evidence.share == pytest.approx(len(both) / len(IDS))
    again = Evidence(POPULATION)
    again.load_state_dict(evidence.state_dict())
    assert again.share == evidence.share
    assert again.look(IDS, *second).tolist() == evidence.look(IDS, *second).tolist() == IDS[~second[1]].tolist()


def test_unknown_losses_are_no_evidence() -> None:
    loss_N, right_N = losses([True] * CLASSES, 0.2)
    loss_N[::2] = torch.nan
    assert judged(loss_N, right_N) == IDS[~right_N & (IDS % 2 == 1)].tolist()
    assert judged(torch.full_like(loss_N, torch.nan), right_N) == []


def test_groups_are_told_apart_by_a_valley() -> None:
    """Two groups of losses, 30 % of them high, are told apart; one group is not cut in two."""
    stream = torch.Generator().manual_seed(0)
    clean = torch.rand(700, generator=stream) * 0.4
    wrong = 3 + torch.randn(300, generator=stream) * 0.5
    groups = two_groups(torch.cat([clean, wrong]))
    assert groups is not None
    assert groups.upper_share == pytest.approx(0.3, abs=0.02)
    assert 1 < groups.boundary < 2
    for one_group in (torch.rand(1000, generator=stream), torch.randn(1000, generator=stream).exp()):
        assert two_groups(one_group) is None, "wide as it is, it has no valley"
    assert two_groups(torch.full((100,), 0.5)) is None
    assert two_groups(torch.cat([torch.zeros(1000), torch.ones(5)])) is None, "next to all are known to the last bit"


def test_groups_are_the_same_on_every_rank() -> None:
    """Ranks and resumed runs have other global random states, and must suspect the same labels."""
    stream = torch.Generator().manual_seed(0)
    loss = torch.cat([torch.rand(700, generator=stream), 3 + torch.randn(300, generator=stream)]).abs()
    found = set()
    for seed in range(5):
        np.random.seed(seed)
        found.add(two_groups(loss))
    assert len(found) == 1
    assert None not in found
