"""Every selection method against cases that were worked by hand; draws without bias; the same costs for all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer import select
from fewer.core.allocation import largest_remainders
from fewer.core.observation import Observed
from fewer.core.protocols import Selector
from fewer.core.table import Table
from fewer.core.types import At, Population, Selection
from fewer.select.base import weights_of
from fewer.select.method_params import WeightParams
from fewer.select.methods.selective_backprop import own_ranks, rank_of
from fewer.select.sampling import top_k_per_class
from fewer.testing import check_selector, laws
from fewer.testing.harness import Content, trained

EPOCHS = 8
BARE = {"guards": "off", "refresh_every": 0, "revision": "0ep"}
VARIANTS: list[dict[str, Any]] = [
    {"method": "dbpd", "rule": "score_or_wrong"},
    {"method": "infobatch", "pruned": 0.9, "revision": "0ep"},
    {"method": "infobatch", "weights": "none"},
    {"method": "seta", "groups": 3, "window": 0.5, "pruned": 0.3},
    {"method": "ies", "delta": 0.5},
    {"method": "ucb", "every": 2, "share": 0.3},
    {"method": "kakurenbo", "hidden": 0.8, "confidence": 0.2},
    {"method": "stratified", "balance": 0.0, "take": "random", "weights": "inclusion", "threshold": 0.6},
    {"method": "stratified", "published": True},
    {"method": "apd", "weights": "inclusion", "self_normalise": True},
    {"method": "smrd", "published": True, "weights": "inclusion"},
    {"method": "srd", "decay": "logarithmic"},
    {"method": "srd", "decay": "inverse_linear", "batches": "shrink"},
    {"method": "auto", "probe": "2ep"},
    {"method": "warmup_random", "warmup": "2ep"},
    {"method": "selective_backprop", "weights": "inclusion", "beta": 2.0},
    {"method": "selective_backprop", "score": "fresh", "history": 8},
    {"method": "periodic_full", "every_effective_epochs": 1.5},
    {"method": "alternate", "threshold": 0.6},
    {"method": "adaptive", "interval": 1, "published": True},
]


def build(content: dict[str, Any], labels: list[int], epochs: int = EPOCHS, seed: int = 0) -> Selector:
    population = Population(seed, torch.tensor(labels), max(labels) + 1)
    return select.build(select.params(content["method"]).model_validate(content), population, epochs)


@pytest.mark.parametrize("content", VARIANTS, ids=str)
def test_every_variant_keeps_the_contract(content: dict[str, Any]) -> None:
    check_selector(lambda population: select.build(select.params(content["method"])(**content), population, 6))


class Story:
    """A selector's choices over some epochs, in which what it chooses gets the losses of a script."""

    def __init__(self, content: dict[str, Any], labels: list[int], epochs: int = EPOCHS) -> None:
        bare = {key: value for key, value in BARE.items() if key in select.params(content["method"]).model_fields}
        self.selector = build({**bare, **content}, labels, epochs)
        self.table, self.epochs, self.epoch = Table(len(labels)), epochs, 0
        self.share: float | None = None
        self.chosen: Selection

    def next(self, loss: list[float], wrong: set[int] | None = None) -> list[int]:
        """The ids of the next epoch, whose training then leaves these losses; score = exp(-loss)."""
        at = At(self.epoch, self.epochs, self.epoch / self.epochs, self.share if self.epoch else None)
        self.chosen = self.selector.select(self.table, torch.arange(len(loss)), at)
        ids = self.chosen.ids_M.sort().values
        values = torch.tensor(loss)[ids]
        right = torch.tensor([int(i) not in (wrong or set()) for i in ids], dtype=torch.bool)
        self.table.observe("trained", Observed.of(ids, values, torch.exp(-values), right), self.epoch)
        self.epoch += 1
        return ids.tolist()

    def look(self, loss: dict[int, float]) -> None:
        """Some samples are scored before the next epoch, and have these losses."""
        ids, values = torch.tensor(list(loss)), torch.tensor(list(loss.values()))
        self.table.observe("scored", Observed.of(ids, values, torch.exp(-values), values < 0.7), self.epoch)


ALL8 = list(range(8))


def test_infobatch_by_hand() -> None:
    """Mean of 1..8 is 4.5: four are below, two of them stay with weight 2, the others weigh 1."""
    story = Story({"method": "infobatch"}, [0] * 8)
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert story.next(losses) == ALL8
    second = story.next(losses)
    assert {4, 5, 6, 7} <= set(second)
    assert len(second) == 6
    weight = dict(zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True))
    assert [weight[i] for i in second] == [2.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    # Now 4 to 7 are learnt (0.5): the mean is 12 / 8, below it are these and sample 0; int(5 / 2) of the five stay.
    story.next([1.0, 2.0, 3.0, 4.0, 0.5, 0.5, 0.5, 0.5])
    fourth = story.next(losses)
    assert {1, 2, 3} <= set(fourth)
    assert len(fourth) == 5
    weight = dict(zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True))
    assert sorted(weight.values()) == [1.0, 1.0, 1.0, 2.5, 2.5]


def test_orderdp_by_hand() -> None:
    """The whole set, then the top three quarters by loss."""
    story = Story({"method": "orderdp", "subset": 1.0, "top": 0.75}, [0] * 8)
    assert len(story.next([8, 7, 6, 5, 4, 3, 2, 1])) == 6, "unknown losses are equal: at random"
    for _ in range(3):
        story.next([8, 7, 6, 5, 4, 3, 2, 1])
    assert story.next([8, 7, 6, 5, 4, 3, 2, 1]) == [0, 1, 2, 3, 4, 5]


def test_orderdp_takes_the_top_of_another_subset_in_each_epoch() -> None:
    """Six of eight are drawn, the four highest of them kept: the highest wherever it is drawn, 3 of 4 times.

    The sixth highest is kept where it was drawn and both that were not are above it: 10 of the 28 pairs. The two lowest
    are never among the four.
    """
    losses = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    story, kept_8 = Story({"method": "orderdp", "subset": 0.75, "top": 2 / 3}, [0] * 8, epochs=2000), torch.zeros(8)
    table_of_all = story.table  # what is left out keeps its loss here, so that every epoch is a draw from the same
    table_of_all.observe(
        "trained", Observed.of(torch.arange(8), torch.tensor(losses), torch.zeros(8), torch.zeros(8) > 0), 0
    )
    for _ in range(1000):
        ids = story.next(losses)
        assert len(ids) == 4
        kept_8[ids] += 1
    assert kept_8[[0, 5]].div(1000).tolist() == pytest.approx([0.75, 10 / 28], abs=0.06)
    assert kept_8[6:].tolist() == [0, 0]


def test_ucb_by_hand() -> None:
    """Bounds m + v with weight 0.5 of the newest loss; a new choice every two epochs."""
    story = Story({"method": "ucb", "share": 0.5, "every": 2, "newest": 0.5}, [0] * 4)
    assert story.next([4, 3, 2, 1]) == [0, 1, 2, 3]
    assert story.next([0, 3, 2, 1]) == [0, 1]  # m = 4, 3, 2, 1; v = 0
    assert story.next([0, 3, 2, 1]) == [0, 1], "chosen for two epochs"
    # Sample 0: deviation -4: m = 2, v = 8; then -2: m = 1, v = 4 + 2 = 6: bound 7. Sample 1: 3. 2 and 3: 2 and 1.
    assert story.next([0, 0, 2, 1]) == [0, 1]
    # Sample 0: deviation -1: m = 0.5, v = 3.5. Sample 1: deviation -3: m = 1.5, v = 4.5. The next choice is in epoch 5.
    assert story.next([0, 0, 2, 1]) == [0, 1]
    # After two zeros more: 0: m 0.25, v 1.875 -> 2.1; 1: m 0.75, v 3.375 -> 4.1; 2: bound 2: it comes after both.
    assert story.next([0, 0, 2, 1]) == [0, 1]


def test_ucb_comes_back_to_what_varied() -> None:
    story = Story({"method": "ucb", "share": 0.5, "every": 2, "newest": 0.5}, [0] * 4)
    assert story.next([0.4, 0.3, 0.2, 0.1]) == [0, 1, 2, 3]
    assert story.next([0.4, 0.0, 0.2, 0.1]) == [0, 1]
    assert story.next([0.4, 0.0, 0.2, 0.1]) == [0, 1], "1 is at 0.195 by now, but two epochs are one choice"
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 2], "bounds 0.4, 0.109, 0.2, 0.1"
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 2]
    assert story.next([0.4, 0.0, 0.0, 0.1]) == [0, 1], "2 is at 0.065; 1 at 0.075 + 0.034 beats 3 at 0.1"


def test_kakurenbo_by_hand() -> None:
    """Of eight, half may be hidden: the lowest losses, if right with a probability of 0.7 or more (loss < 0.357)."""
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.9, 0.95, 1.0]}, [0] * 8)
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert story.next(losses, wrong={1}) == ALL8
    # Candidates are 0 to 3; 1 was wrong, and 3 is not sure enough.
    assert story.next(losses) == [1, 3, 4, 5, 6, 7]
    assert story.chosen.lr_scale == pytest.approx(8 / 6)
    # Sample 1 is right now: 0, 1 and 2 are hidden.
    assert story.next(losses) == [3, 4, 5, 6, 7]
    assert story.chosen.lr_scale == pytest.approx(8 / 5)


def test_kakurenbo_takes_what_is_hidden_by_its_new_loss() -> None:
    """Two of eight may be hidden; sample 0 is looked at again, and is no longer among the lowest two."""
    story = Story({"method": "kakurenbo", "hidden": 0.25, "milestones": [1.0, 1.0, 1.0]}, [0] * 8)
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert story.next(losses) == ALL8
    assert story.next(losses) == [2, 3, 4, 5, 6, 7]
    story.look({0: 0.35, 1: 0.2})
    assert story.next(losses) == [0, 3, 4, 5, 6, 7]


def test_kakurenbo_hides_less_at_milestones() -> None:
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.25, 0.5, 0.75]}, [0] * 20)
    sizes = [len(story.next([0.001] * 20)) for _ in range(8)]
    assert sizes == [20, 10, 12, 12, 14, 14, 16, 16]


def test_ies_by_hand() -> None:
    """Five losses make three second differences; sample 0 is at rest, 1 falls evenly, 2 shakes."""
    story = Story({"method": "ies", "delta": 0.1}, [0] * 3, epochs=10)
    losses = [[1.0, 5.0 - 0.5 * e, 2.0 + (-1.0) ** e] for e in range(9)]
    for epoch in range(6):
        assert story.next(losses[epoch]) == [0, 1, 2], "six epochs on everything"
    assert story.next(losses[6]) == [2], "even change is no change of change"
    # What is left out keeps its last loss, so that it stays at rest: 5 - 0.5 * 5 = 2.5, 2.5, ... has a kink of 0.5.
    assert story.next(losses[7]) == [1, 2], "mean |d| of sample 1 is 0.5 / 3"


def test_ies_takes_what_is_left_out_by_its_new_loss() -> None:
    story = Story({"method": "ies", "delta": 0.1}, [0] * 3, epochs=10)
    losses = [[1.0, 5.0 - 0.5 * e, 2.0 + (-1.0) ** e] for e in range(9)]
    assert [story.next(losses[epoch]) for epoch in range(7)][-1] == [2]
    story.look({0: 3.0, 1: 2.0})
    assert story.next(losses[7]) == [0, 2], "0 has moved, and 1 falls as evenly as before"


def test_seta_by_hand() -> None:
    """Three clear groups; a window of one slides from easy to hard and begins again."""
    story = Story({"method": "seta", "pruned": 0.0, "groups": 3, "window": 0.33, "tail": "0ep"}, [0] * 6)
    losses = [1.0, 5.0, 9.0, 1.1, 5.1, 9.1]
    assert story.next(losses) == [0, 1, 2, 3, 4, 5]
    assert [story.next(losses) for _ in range(4)] == [[0, 3], [1, 4], [2, 5], [0, 3]]


def test_seta_groups_by_where_losses_lie_not_by_their_number() -> None:
    story = Story({"method": "seta", "pruned": 0.0, "groups": 2, "window": 0.5, "tail": "0ep"}, [0] * 6)
    losses = [1.0, 1.1, 1.2, 1.3, 9.0, 9.1]
    story.next(losses)
    assert [story.next(losses) for _ in range(2)] == [[0, 1, 2, 3], [4, 5]]


def test_seta_ends_on_random_draws() -> None:
    story = Story({"method": "seta", "pruned": 0.5, "groups": 2, "window": 0.5, "tail": "2ep"}, [0] * 8, epochs=4)
    sizes = [len(story.next([float(i) for i in range(8)])) for _ in range(4)]
    assert sizes[0] == 8
    assert sizes[1] < 4
    assert sizes[2:] == [4, 4]


def test_stratified_by_hand() -> None:
    """Six of class 0 and two of class 1; hard are 0, 1, 2 (class 0) and none of class 1."""
    labels = [0] * 6 + [1] * 2
    score = torch.tensor([0.1, 0.2, 0.25, 0.8, 0.8, 0.8, 0.72, 0.6])
    losses = (-score.log()).tolist()
    published = Story({"method": "stratified", "published": True}, labels)
    published.next(losses)
    assert published.next(losses) == [0, 1, 2], "what dbpd chooses"
    own = Story({"method": "stratified", "least": 1}, labels)
    own.next(losses)
    # M = 3; d = 3.05 / 6 and 0.34; weights 6 * 0.518 and 2 * 0.35: 2.45 and 0.55 of three: 2 and 1.
    assert own.next((-torch.tensor([0.9, 0.9, 0, 0, 0, 0, 0, 0.2]).log()).tolist()) == [0, 1, 7]
    # 0 and 1 are learnt, 7 has become hard: M = 2, d = 1.55 / 6 and 0.54; weights 1.61 and 1.10: one each.
    assert own.next((-torch.tensor([0, 0, 0.9, 0, 0, 0, 0, 0.29]).log()).tolist()) == [2, 7]
    # Only 7 is hard: M = 1, but every class gets one; of class 0 one of the three hardest, 3, 4 and 5, at random.
    last = own.next(losses)
    assert len(last) == 2
    assert last[0] in {3, 4, 5}
    assert last[1] == 7
    # Sizes left aside: hard are 0, 1, 2 and 7, M = 4; weights 0.518 and 0.35: 2.39 and 1.61: 2 and 2.
    balanced = Story({"method": "stratified", "balance": 0.0, "least": 1, "threshold": 0.7}, labels)
    balanced.next(losses)
    assert balanced.next(losses) == [0, 1, 6, 7]
    assert balanced.selector.series(balanced.table)["quota_per_class"].tolist() == [2, 2]


@pytest.mark.parametrize(("balance", "quota"), [(1.0, [3, 1]), (0.0, [2, 2])])
def test_stratified_follows_the_classes_sizes(balance: float, quota: list[int]) -> None:
    """Classes of six and two that are equally hard, half of all: 6 to 2 of four, or two of each."""
    story = Story({"method": "stratified", "balance": balance, "least": 1}, [0] * 6 + [1] * 2)
    story.share = 0.5
    for _ in range(2):
        story.next([0.7] * 8)
    assert story.selector.series(story.table)["quota_per_class"].tolist() == quota


def test_apd_by_hand() -> None:
    """d starts at 0.5 and moves by a tenth towards the share of hard samples; quotas follow pi (d + eps)."""
    labels = [0] * 4 + [1] * 4
    story = Story({"method": "apd", "alpha": 0.5}, labels)
    score = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    losses = (-score.log()).tolist()
    assert story.next(losses) == ALL8
    second = story.next(losses)
    # Hard: 4 of 4 and 1 of 4. d = 0.75 and 0.375; weights 4 * 0.76 and 4 * 0.385; M = 5: 3.32 and 1.68.
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.75, 0.375]
    assert series["proportion_per_class"].tolist() == pytest.approx([0.76 / 1.145, 0.385 / 1.145])
    assert series["quota_per_class"].tolist() == [3, 2]
    assert [sum(i < 4 for i in second), sum(i >= 4 for i in second)] == [3, 2]
    # Nothing is learnt: 1 and 1/4 are hard again. d = 0.875 and 0.3125; weights 3.54 and 1.29: 3.66 and 1.34 of five.
    third = story.next([0.0] * 4 + losses[4:])
    series = story.selector.series(story.table)
    assert series["hard_rate_per_class"].tolist() == [0.875, 0.3125]
    assert series["quota_per_class"].tolist() == [4, 1]
    assert third[:4] == [0, 1, 2, 3]
    # Class 0 is learnt: 0 and 1/4. d = 0.4375 and 0.28125; one hard sample, and one of each class at least.
    assert [i < 4 for i in story.next(losses)] == [True, False]
    assert story.selector.series(story.table)["hard_rate_per_class"].tolist() == [0.4375, 0.28125]


def test_apd_follows_the_classes_sizes() -> None:
    """Half of six and half of two are hard: d = 0.5 in both; M = 4, by 6 * 0.51 and 2 * 0.51: 3 and 1."""
    story = Story({"method": "apd", "alpha": 0.5}, [0] * 6 + [1] * 2)
    losses = (-torch.tensor([0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9]).log()).tolist()
    for _ in range(2):
        story.next(losses)
    assert story.selector.series(story.table)["quota_per_class"].tolist() == [3, 1]


def test_smrd_draws_as_many_as_dbpd_and_not_the_same() -> None:
    story = Story({"method": "smrd"}, [0] * 20)
    assert story.next([2.0] * 3 + [0.1] * 17) == list(range(20)), "nothing is known"
    hard, draws = {0, 1, 2}, []
    for losses in ([2.0] * 20, [0.1] * 20, [2.0] * 20, [2.0] * 20):  # what is drawn becomes hard, or is learnt
        draws.append(story.next(losses))
        assert len(draws[-1]) == len(hard), "as many as are hard, whatever is drawn"
        hard = hard | set(draws[-1]) if losses[0] == 2.0 else hard - set(draws[-1])
    assert len({len(draw) for draw in draws}) > 1
    assert set().union(*draws) - {0, 1, 2}, "others than the hard ones are drawn"


def test_srd_follows_its_curve() -> None:
    for content, expected in (
        ({"gamma": 0.5}, [40, 20, 10, 5, 2]),
        ({"decay": "inverse_linear"}, [40, 30, 24, 20, 17]),
        ({"decay": "logarithmic"}, [40, 32, 27, 25, 23]),
        ({"gamma": 0.5, "least": 0.2}, [40, 20, 10, 8, 8]),
    ):
        story = Story({"method": "srd", **content}, [0] * 40)
        assert [len(story.next([1.0] * 40)) for _ in range(5)] == expected, content


def test_warmup_random_begins_with_everything() -> None:
    story = Story({"method": "warmup_random", "warmup": "3ep"}, [0] * 10)
    losses = [2.0] * 4 + [0.1] * 6
    assert [len(story.next(losses)) for _ in range(5)] == [10, 10, 10, 4, 4]


def test_periodic_full_by_hand() -> None:
    """After 10 + 4 + 4 + 4 = 22 samples, two sets of ten have been crossed, then again at 40."""
    story = Story({"method": "periodic_full", "every_effective_epochs": 2.0}, [0] * 10, epochs=12)
    losses = [2.0] * 4 + [0.1] * 6
    assert [len(story.next(losses)) for _ in range(10)] == [10, 4, 4, 4, 10, 4, 4, 10, 4, 4]
    assert story.selector.counts()["full_epochs"] == 2, "what it was due for, not the first, of which nothing is known"


def test_alternate_scores_in_even_epochs_and_keeps_the_list_for_two() -> None:
    content = {"method": "alternate", "threshold": 0.5, **BARE}
    selector, table, pool = build(content, [0] * 4), Table(4), torch.arange(4)
    score = torch.tensor([0.1, 0.4, 0.6, 0.9])
    for epoch in range(2):
        at = At(epoch, EPOCHS, epoch / EPOCHS)
        assert len(selector.ids_to_score(table, at)) == 0
        assert selector.select(table, pool, at).ids_M.tolist() == [0, 1, 2, 3]
        table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.5), epoch)
    at = At(2, EPOCHS, 0.25)
    assert selector.ids_to_score(table, at).tolist() == [0, 1, 2, 3]
    scored = torch.tensor([0.6, 0.2, 0.3, 0.9])
    table.observe("scored", Observed.of(pool, -scored.log(), scored, scored > 0.5), 2)
    assert selector.select(table, pool, at).ids_M.tolist() == [1, 2]
    table.observe(
        "trained", Observed.of(torch.tensor([1, 2]), torch.zeros(2), torch.ones(2), torch.ones(2, dtype=torch.bool)), 2
    )
    at = At(3, EPOCHS, 0.375)
    assert len(selector.ids_to_score(table, at)) == 0
    assert selector.select(table, pool, at).ids_M.tolist() == [1, 2], "learnt since, but on the list"


def test_adaptive_thresholds_rise_or_are_a_saw_tooth() -> None:
    def thresholds(published: bool) -> list[float]:
        content = {"method": "adaptive", "interval": 2, "increment": 0.2, "published": published}
        story, found = Story(content, [0] * 4, epochs=12), []
        for _ in range(8):
            story.next([1.0] * 4)
            found.append(round(story.selector.counts()["threshold"], 9))
        return found

    def ids(published: bool) -> list[list[int]]:
        content = {"method": "adaptive", "interval": 2, "increment": 0.2, "published": published}
        story = Story(content, [0] * 5, epochs=12)
        losses = (-torch.tensor([0.2, 0.4, 0.6, 0.8, 0.95]).log()).tolist()
        return [story.next(losses) for _ in range(8)]

    assert thresholds(False) == [0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.9, 0.9]
    assert [len(chosen) for chosen in ids(False)] == [5, 1, 2, 2, 3, 3, 4, 4]
    assert ids(False)[-1] == [0, 1, 2, 3], "the easiest come back last"
    # Published: + 0, 0, .2, .2, .4 -> over 1: back to .3; + .4; + .6 -> over 1: back.
    assert thresholds(True) == [0.3, 0.3, 0.5, 0.7, 0.3, 0.7, 0.3, 0.9]
    assert ids(True)[1:] == [[0], [0, 1], [0, 1, 2], [0], [0, 1, 2], [0], [0, 1, 2, 3]]


def test_dbpd_keeps_what_is_wrong_where_the_rule_says_so() -> None:
    def losses(*score: float) -> list[float]:
        return (-torch.tensor(score).log()).tolist()

    for rule, expected in (("score", [[0], [0], [0]]), ("score_or_wrong", [[0, 1], [0, 1], [0]])):
        story = Story({"method": "dbpd", "rule": rule}, [0] * 4)
        story.next(losses(0.2, 0.35, 0.35, 0.9), wrong={0, 1})
        found = [
            story.next(losses(0.25, 0.4, 0.9, 0.9), wrong={1}),
            story.next(losses(0.29, 0.4, 0.9, 0.9)),
            story.next(losses(0.9, 0.9, 0.9, 0.9)),
        ]
        assert found == expected, "a probability of 0.35 below another of 0.4 is wrong and not hard"


def test_dbpd_ranks_what_is_wrong_first_under_a_stated_cost() -> None:
    losses = (-torch.tensor([0.1, 0.2, 0.45, 0.9]).log()).tolist()
    for rule, expected in (("score", [0, 1]), ("score_or_wrong", [0, 2])):
        story = Story({"method": "dbpd", "rule": rule, "cost": 0.6}, [0] * 4)
        story.share = 0.5
        story.next(losses, wrong={0, 2})
        assert story.next(losses) == expected


@pytest.mark.parametrize(
    "content",
    [
        {"method": "infobatch", "pruned": 0.7},
        {"method": "selective_backprop", "weights": "inclusion"},
        {"method": "smrd", "weights": "inclusion", "threshold": 0.5},
        {"method": "apd", "weights": "inclusion", "threshold": 0.5},
        {"method": "stratified", "take": "random", "weights": "inclusion", "threshold": 0.5},
        {"method": "random", "weights": "inclusion", "share": 0.3},
        {"method": "srd", "weights": "inclusion", "gamma": 0.5, "least": 0.3},
        {"method": "warmup_random", "weights": "inclusion", "warmup": "1ep", "threshold": 0.5},
        {"method": "periodic_full", "weights": "inclusion", "every_effective_epochs": 1000.0, "threshold": 0.5},
        {"method": "smrd", "weights": "inclusion", "published": True, "threshold": 0.5},
        {"method": "selective_backprop", "weights": "inclusion", "score": "fresh"},
    ],
    ids=lambda content: "-".join(
        str(value) for key, value in content.items() if key in ("method", "score", "published")
    ),
)
def test_weights_make_a_draw_unbiased(content: dict[str, Any]) -> None:
    """Over many draws every sample's mean weight is 1: the mean weighted gradient is that of all samples."""
    labels, draws = [0] * 12 + [1] * 6, 500
    score = torch.linspace(0.05, 0.95, 18)[torch.randperm(18, generator=torch.Generator().manual_seed(1))]
    table = Table(18)
    table.observe("trained", Observed.of(torch.arange(18), -score.log(), score, score > 0.5), 0)
    fields = select.params(content["method"]).model_fields
    options = {key: value for key, value in {**BARE, "clip_weights": 0.0}.items() if key in fields}
    selector = build({**options, **content}, labels, epochs=draws + 1)
    weight_DN = torch.zeros(draws, 18, dtype=torch.float64)
    for draw in range(draws):
        at = At(draw + 1, draws + 1, 0.5)
        chosen = selector.select(table, torch.arange(18), at)
        if selector.in_batch(at):  # all 18 are a batch, of which some are kept
            kept = selector.keep(Observed.of(torch.arange(18), -score.log(), score, score > 0.5), at)
            weight_DN[draw, kept.mask_G] = kept.weight_G[kept.mask_G]
        else:
            weight_DN[draw, chosen.ids_M] = chosen.weight_M
    spread_N = weight_DN.std(0)
    assert (spread_N > 0.1).any(), "the draw must differ"
    assert ((weight_DN.mean(0) - 1).abs() <= 4.5 * spread_N / draws**0.5 + 1e-9).all()


def test_weights_are_clipped_and_divided_by_their_mean() -> None:
    inclusion = torch.tensor([0.5, 0.1, 0.05])
    for options, expected in (
        ({"clip_weights": 0.0}, [2.0, 10.0, 20.0]),
        ({}, [2.0, 10.0, 10.0]),
        ({"clip_weights": 4.0}, [2.0, 4.0, 4.0]),
        ({"clip_weights": 4.0, "self_normalise": True}, [0.6, 1.2, 1.2]),
        ({"clip_weights": 0.0, "self_normalise": True}, [6 / 32, 30 / 32, 60 / 32]),
    ):
        params = WeightParams(weights="inclusion", **options)
        assert weights_of(inclusion, params).tolist() == pytest.approx(expected), options
    story = Story({"method": "random", "share": 0.05, "weights": "inclusion"}, [0] * 40)
    story.next([1.0] * 40)
    assert story.chosen.weight_M.tolist() == [10.0, 10.0], "1 / 0.05, clipped"


def test_selective_backprop_by_hand() -> None:
    """Ranks of four losses are 1/8, 3/8, 5/8 and 7/8; the systematic draw takes two of them at beta = 1."""
    content = {"method": "selective_backprop", "beta": 1.0, "weights": "inclusion", "clip_weights": 0.0}
    story, drawn = Story(content, [0] * 4, epochs=400), torch.zeros(4)
    losses = [4.0, 1.0, 3.0, 2.0]
    assert story.next(losses) == [0, 1, 2, 3], "the first epoch is on everything"
    for _ in range(399):
        ids = story.next(losses)
        assert len(ids) == 2
        drawn[ids] += 1
        expected = {0: 8 / 7, 1: 8, 2: 8 / 5, 3: 8 / 3}
        found = zip(story.chosen.ids_M.tolist(), story.chosen.weight_M.tolist(), strict=True)
        assert all(weight == pytest.approx(expected[i]) for i, weight in found)
    assert (drawn / 399 - torch.tensor([7, 1, 5, 3]) / 8).abs().max() < 0.1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_ranks_among_themselves_are_ranks(values: list[int]) -> None:
    losses = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(own_ranks(losses), rank_of(losses, losses))
    assert own_ranks(losses).mean() == pytest.approx(0.5)


def test_selective_backprop_ranks_a_batch_among_recent_losses() -> None:
    content = {"method": "selective_backprop", "score": "fresh", "beta": 3.0, "history": 4, **BARE}
    selector, table = build(content, [0] * 4), Table(4)
    none = torch.zeros(2, dtype=torch.bool)
    kept: list[Any] = []
    for epoch in range(1, 200):
        at = At(epoch, 200, epoch / 200)
        selector.select(table, torch.arange(4), at)
        # History: 1, 2, then 3 and 9: ranks of the last two are 5/8 and 7/8; at beta = 3 that is 0.24 and 0.67.
        selector.keep(Observed.of(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]), torch.ones(2), none), at)
        kept.append(
            selector.keep(Observed.of(torch.tensor([2, 3]), torch.tensor([3.0, 9.0]), torch.ones(2), none), at).mask_G
        )
    shares = torch.stack(kept).double().mean(0)
    assert shares.tolist() == pytest.approx([0.244, 0.670], abs=0.1)
    assert not selector.in_batch(At(0, 200, 0.0)), "nothing is scored in the first epoch"


def probed(score: torch.Tensor, right: torch.Tensor, share: float | None = None, **content: Any) -> Selector:
    """An `auto` selector behind its probe: two epochs of ten on 2,000 samples, of which 200 are scored."""
    labels = [0, 1] * (len(score) // 2)
    selector, table, pool = (
        build({"method": "auto", **BARE, **content}, labels, 10),
        Table(len(score)),
        torch.arange(2000),
    )
    share = share or content.get("cost")
    for epoch in range(2):
        at = At(epoch, 10, epoch / 10, share)
        assert not len(selector.ids_to_score(table, at))
        assert len(selector.select(table, pool, at).ids_M) == len(score)
        table.observe("trained", Observed.of(pool, -score.log(), score, right), epoch)
    at = At(2, 10, 0.2, share)
    wanted = selector.ids_to_score(table, at)
    assert len(wanted) == 200
    assert selector.note() == ""
    table.observe("scored", Observed.of(wanted, -score[wanted].log(), score[wanted], right[wanted]), 2)
    selector.select(table, pool, at)
    assert not len(selector.ids_to_score(table, At(3, 10, 0.3, share)))
    return selector


def test_auto_picks_by_what_is_left_to_learn_and_by_wrong_labels() -> None:
    stream = torch.Generator().manual_seed(0)
    lot = torch.rand(2000, generator=stream)
    learnt, spread = 1 - 0.1 * lot, 0.9 - 0.7 * lot
    noisy = torch.where(torch.arange(2000) % 4 == 0, 0.01 + 0.02 * lot, 0.95 + 0.05 * lot)
    for score, content, method, word in (
        (learnt, {}, "infobatch", "95% of what the labels say"),
        (spread, {}, "full", "plain training is best here"),
        (spread, {"cost": 0.5}, "srd", "every image still counts"),
        (noisy, {"guards": {}}, "dbpd", "25% of the labels look wrong: it leaves out those"),
        (noisy, {"guards": {"noise_cap": 0.0}}, "full", "25% of the labels look wrong"),
        (noisy, {"cost": 0.5}, "srd", "the hard ones"),
    ):
        note = probed(score, score > 0.5, **content).note()
        assert note.startswith(f"auto picks {method}: "), note
        assert word in note.replace("24%", "25%").replace("26%", "25%"), note


def test_auto_leaves_out_what_looks_wrong() -> None:
    """Every fifth label is wrong: from 30 % of the run on, those are the suspects, and the state says so, too."""
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    score = torch.where(torch.arange(2000) % 5 == 0, 0.01 + 0.02 * lot, 0.5 + 0.4 * lot)
    content = {"guards": {"class_floor": 0.0}}
    selector, table, pool = probed(score, score > 0.4, **content), Table(2000), torch.arange(2000)
    table.observe("trained", Observed.of(pool, -score.log(), score, score > 0.4), 2)
    again = build({"method": "auto", **content}, [0, 1] * 1000, 10)
    again.load_state_dict(selector.state_dict())
    for each in (selector, again):
        kept = each.select(table, pool, At(3, 10, 0.3)).ids_M
        assert len(each.suspected()) == pytest.approx(400, rel=0.1)
        assert (each.suspected() % 5 == 0).all()
        assert set(kept.tolist()) == set(pool.tolist()) - set(each.suspected().tolist())
        assert len(each.ids_to_score(table, At(4, 10, 0.4))) > 50, "a quarter of them is looked at again"
        assert each.note() == selector.note()


def test_auto_prunes_under_a_cost_that_allows_it() -> None:
    learnt = 1 - 0.1 * torch.rand(2000, generator=torch.Generator().manual_seed(0))
    for share, method, word in ((0.5, "infobatch", "95% of"), (0.02, "srd", "infobatch costs more than is asked")):
        note = probed(learnt, learnt > 0.5, share, cost=0.5).note()
        assert note.startswith(f"auto picks {method}: "), note
        assert word in note


def test_auto_keeps_the_guards_that_were_asked_for() -> None:
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    score = torch.where(torch.arange(2000) % 5 == 0, 0.01 + 0.02 * lot, 0.9999 + 0.0001 * lot)
    floors = []
    for floor in (0.0, 0.25):
        selector = probed(score, score > 0.4, guards={"class_floor": floor, "never_empty": False})
        floors.append(selector.counts().get("guard.class_floor", 0.0))
    assert floors == [0.0, pytest.approx(100, abs=5)], "a quarter of 2,000, of which the suspects to be are 400"


def test_auto_looks_again_while_nothing_is_left_out() -> None:
    """Wrong labels stand apart only once right ones are learnt: it looks before epochs 2 and 4 of ten, and no more."""
    lot = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    early, pool = 0.3 + 0.4 * lot, torch.arange(2000)
    late = torch.where(pool % 5 == 0, 0.01 + 0.02 * lot, 0.5 + 0.4 * lot)
    for keys, cost, said in (
        ({"guards": {}}, None, "dbpd"),
        ({"cost": 0.9}, 0.9, "srd"),
        ({"probe": "3ep", "guards": {}}, None, "full"),
    ):
        selector, table = build({"method": "auto", "probe": "2ep", **keys}, [0, 1] * 1000, 10), Table(2000)
        looks = []
        for epoch in range(10):
            at = At(epoch, 10, epoch / 10, cost)
            score = early if epoch < 4 else late
            wanted = selector.ids_to_score(table, at)
            if selector.expected(at).scored and len(wanted) == 200:
                looks.append(epoch)
            table.observe(
                "scored", Observed.of(wanted, -score[wanted].log(), score[wanted], score[wanted] > 0.4), epoch
            )
            ids = selector.select(table, pool, at).ids_M
            table.observe("trained", Observed.of(ids, -score[ids].log(), score[ids], score[ids] > 0.4), epoch)
        assert looks == {"dbpd": [2, 4], "srd": [2], "full": [3]}[said]
        assert selector.note().startswith(f"auto picks {said}: ")


def test_fresh_dbpd_keeps_the_hardest_of_a_batch_under_a_cost() -> None:
    selector = build({"method": "dbpd", "score": "fresh", "guards": "off"}, [0] * 8)
    score = torch.tensor([0.5, 0.1, 0.9, 0.8, 0.2, 0.7, 0.6, 0.4])
    keep = selector.keep(Observed.of(torch.arange(8), -score.log(), score, score > 0.5), At(1, 8, 0.1, share=0.25))
    assert keep.mask_G.nonzero().flatten().tolist() == [1, 4]


def test_seta_slides_a_wider_window_under_a_cost() -> None:
    story = Story({"method": "seta", "pruned": 0.0, "groups": 3, "window": 0.33, "tail": "0ep"}, [0] * 6)
    story.share = 0.5
    losses = [1.0, 5.0, 9.0, 1.1, 5.1, 9.1]
    assert [story.next(losses) for _ in range(4)] == [[0, 1, 2, 3, 4, 5], [0, 1, 3], [1, 2, 4], [2, 4, 5]]


def test_kakurenbo_hides_the_lowest_losses_under_a_cost() -> None:
    story = Story({"method": "kakurenbo", "hidden": 0.5, "milestones": [0.9, 0.95, 1.0]}, [0] * 8)
    story.share = 0.5
    losses = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert [story.next(losses, wrong={1}) for _ in range(2)] == [ALL8, [4, 5, 6, 7]], "sure of them or not"


def test_ies_leaves_out_what_moves_least_under_a_cost() -> None:
    story = Story({"method": "ies", "delta": 100.0}, [0] * 3, epochs=10)
    story.share = 0.67
    losses = [[1.0, 5.0 - 0.5 * e + 0.1 * e**2, 2.0 + (-1.0) ** e] for e in range(7)]
    assert [story.next(losses[epoch]) for epoch in range(7)][-1] == [1, 2]


def test_quotas_by_hand() -> None:
    weight, capacity = torch.tensor([5.0, 3.0, 2.0]), torch.tensor([100, 100, 100])
    assert largest_remainders(weight, 10, capacity).tolist() == [5, 3, 2]
    assert largest_remainders(weight, 11, capacity).tolist() == [6, 3, 2], "largest remainder: 5.5, 3.3, 2.2"
    assert largest_remainders(weight, 10, torch.tensor([2, 100, 100])).tolist() == [2, 5, 3], (
        "8 by 3 : 2 is 4.8 and 3.2"
    )
    assert largest_remainders(weight, 10, capacity, torch.tensor([0, 0, 4])).tolist() == [4, 2, 4], (
        "6 by 5 : 3 is 3.75 and 2.25"
    )
    assert largest_remainders(weight, 400, capacity).tolist() == [100, 100, 100]
    assert largest_remainders(torch.zeros(3), 3, capacity).tolist() == [1, 1, 1]


def test_by_class_takes_the_highest_of_each() -> None:
    ids, label = torch.tensor([9, 3, 5, 7]), torch.tensor([0, 0, 1, 1])
    value, quota = torch.tensor([1.0, 2.0, torch.nan, 4.0]), torch.tensor([1, 1])
    assert top_k_per_class(ids, label, quota, value, 0, "x").tolist() == [3, 5], "what is unknown counts as highest"


DIGITS: Content = {
    "data": {"source": "digits", "val": "none", "test": "70%"},
    "model": {"name": "lenet5", "width": 0.2},
    "train": {"epochs": 8, "batch_size": 64, "lr": 0.05, "seed": 0},
}


def test_every_neutral_setting_is_plain_training() -> None:
    few = {**DIGITS, "data": {**DIGITS["data"], "test": "93%"}, "train": {**DIGITS["train"], "epochs": 3}}
    laws.off_is_plain(few, select.METHODS.neutral())


@pytest.mark.parametrize("name", [name for name in select.names() if "cost" in select.params(name).model_fields])
def test_every_method_meets_a_stated_cost(name: str) -> None:
    cost = 0.9 if name == "ies" else 0.7  # six of its epochs are on everything
    shorter = (
        {"proxy_epochs": "1ep"} if name == "rho" else {}
    )  # by default, proxies alone cost as much as plain training
    session = trained({**DIGITS, "select": {"method": name, "cost": cost, **shorter}})
    assert session.run.ledger.full_epoch_equivalents / session.plan.epochs == pytest.approx(cost, rel=0.01)
