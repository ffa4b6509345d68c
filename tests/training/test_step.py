"""One optimizer step: totals, weights and denominators worked by hand, overflow and divergence told apart."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fewer.core.errors import DivergedError
from fewer.core.mixing import MixRule
from fewer.testing.harness import one_thread, session_of, trained, weights
from fewer.training.batches import Candidate, candidates
from fewer.training.loop import _select, train
from fewer.training.step import Totals, reduce_totals, take_step
from fewer.training.transition import enter_epoch, forwards

CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "95%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {
        "batch_size": 20,
        "lr": 0.1,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": "0%",
        "precision": "fp64",
    },
    "stages": [{"epochs": 1, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def first_step(**train: Any) -> tuple[Any, Candidate]:
    session = session_of({**CONTENT, "train": {**CONTENT["train"], **train}})
    run, stage = session.run, session.plan.stages[0]
    enter_epoch(session.task, run, stage)
    _select(session.task, session.train_data, run, stage)
    return session, next(candidates(session.train_data, run, stage))


def flat(session: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in session.run.workers[0].model.parameters()])


def step(session: Any, candidate: Candidate) -> Totals:
    run = session.run
    return take_step(session.task, run, forwards(run, session.plan.stages[0]), candidate, 0)


def expected_step(session: Any, candidate: Candidate, weight_G: torch.Tensor) -> torch.Tensor:
    """Plain SGD on the weighted sum of losses over the number of samples."""
    model = copy.deepcopy(session.run.workers[0].model)
    (batch,) = candidate.loaded
    losses = torch.nn.functional.cross_entropy(model(batch.inputs), batch.targets, reduction="none")
    (losses * weight_G).sum().div(len(batch)).backward()
    moved = [p.detach() - 0.1 * p.grad for p in model.parameters() if p.grad is not None]
    return torch.cat([p.flatten() for p in moved])


def test_a_step_is_the_weighted_sum_over_the_samples() -> None:
    session, candidate = first_step()
    size = len(candidate.samples)
    weight_G = torch.linspace(0.0, 3.0, size, dtype=torch.float64)
    samples = replace(candidate.samples, weight_G=weight_G)
    weighted = replace(candidate, samples=samples)
    expected = expected_step(session, weighted, weight_G)
    totals = step(session, weighted)
    torch.testing.assert_close(flat(session), expected, rtol=0, atol=1e-12)
    assert (totals.losses, totals.samples, totals.steps) == (size, size, 1)
    assert session.run.ledger.total("samples_backpropagated") == size


def test_micro_batches_make_the_same_step() -> None:
    ends = []
    for accumulate in (1, 3):
        session, candidate = first_step(accumulate=accumulate)
        step(session, candidate)
        ends.append(flat(session))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_every_micro_batch_draws_its_own_dropout() -> None:
    """The same images in two micro-batches are thinned out at different places."""
    session, candidate = first_step(accumulate=2)
    model = session.run.workers[0].model
    model.register_module("thinned", torch.nn.Dropout(0.5))
    masks: list[torch.Tensor] = []
    model.register_forward_hook(lambda m, inputs, logits_BC: masks.append(m.thinned(torch.ones(64))))
    step(session, candidate)
    assert len(masks) == 2
    assert not torch.equal(*masks)


def test_averages_count_the_samples_that_were_stepped_on() -> None:
    """Not the recipe's batch size: under selection, steps are smaller."""
    session, candidate = first_step()
    half = torch.arange(len(candidate.samples) // 2)
    smaller = replace(
        candidate, samples=candidate.samples.take(half), positions=[half], loaded=[candidate.loaded[0].take(half)]
    )
    seen: list[tuple[int, int]] = []

    class Recorder:
        def update(self, models: Any, samples: int, step: int, progress: float) -> None:
            seen.append((samples, step))

    session.run.averages = {"recorder": Recorder()}
    step(session, smaller)
    step(session, candidate)
    assert seen == [(len(half), 1), (len(candidate.samples), 2)]


def test_clipping_limits_the_norm_of_the_whole_gradient() -> None:
    session, candidate = first_step(clip_norm=0.01)
    before = flat(session)
    step(session, candidate)
    assert float((flat(session) - before).norm()) == pytest.approx(0.1 * 0.01, rel=1e-4)


def test_a_loss_that_is_not_finite_takes_no_step() -> None:
    session, candidate = first_step()
    before = flat(session)
    candidate.loaded[0].inputs[0] = torch.nan
    with pytest.raises(DivergedError, match=r"loss is not finite in epoch 1, batch 1 \(step 1\)"):
        step(session, candidate)
    assert torch.equal(flat(session), before)
    assert session.run.cursor.step == 0


def test_a_request_to_stop_reaches_the_totals_without_a_step() -> None:
    session, _ = first_step()
    assert reduce_totals(session.task, session.run).stops == 0
    session.run.stop_requested = True
    totals = reduce_totals(session.task, session.run)
    assert totals == Totals(stops=1.0, metrics=(0.0,))
    further = Totals(losses=2.0, loss=3.0, metrics=(1.0,))
    assert Totals.over([totals, further]) == Totals(losses=2.0, loss=3.0, stops=1.0, metrics=(1.0,))


@pytest.mark.parametrize(
    ("augment", "stage"),
    [
        ({"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_share": 0.0}, {}),
        ({"mixup_alpha": 0.2}, {"mix": 0.0}),
        ({"cutmix_alpha": 1.0, "mix_until": "0%"}, {}),
        ({"rand_augment": 0, "erasing_share": 0.0}, {"strength": [1.0, 1.0]}),
    ],
)
def test_what_is_off_trains_plainly(augment: dict[str, Any], stage: dict[str, Any]) -> None:
    plain = {**CONTENT, "augment": {"flip": "random"}, "stages": [{"epochs": 2, "side_px": 16}]}
    asked = {**plain, "augment": {"flip": "random", **augment}, "stages": [{**plain["stages"][0], **stage}]}
    assert weights(trained(asked)) == weights(trained(plain))


def test_a_mixed_step_is_that_of_soft_targets_with_shared_weights() -> None:
    """Odd batch, two micro-batches: images, labels and weights of neighbours are blended by one share."""
    content = {**CONTENT, "augment": {"mixup_alpha": 1.0}, "train": {**CONTENT["train"], "accumulate": 2}}
    content["train"]["batch_size"] = 17
    session = session_of(content)
    run, stage = session.run, session.plan.stages[0]
    enter_epoch(session.task, run, stage)
    _select(session.task, session.train_data, run, stage)
    candidate = next(candidates(session.train_data, run, stage))
    size, (batch,) = len(candidate.samples), candidate.loaded
    assert size % 2
    weight_G = torch.linspace(0.0, 3.0, size, dtype=torch.float64)
    candidate = replace(candidate, samples=replace(candidate.samples, weight_G=weight_G))
    mix = MixRule(1.0, 0.0, 1.0, 0.5).drawn(16, run.seed, 0, 0, 0)
    assert mix is not None
    partner = [*(n ^ 1 for n in range(size - 1)), size - 1]

    def blended(values: torch.Tensor) -> torch.Tensor:
        return values * mix.share + values[partner] * (1 - mix.share)

    model = copy.deepcopy(run.workers[0].model)
    logits = model(blended(batch.inputs))
    soft = blended(torch.nn.functional.one_hot(batch.targets, 10).double())
    losses = torch.nn.functional.cross_entropy(logits, soft, reduction="none")
    (losses * blended(weight_G)).sum().div(size).backward()
    expected = torch.cat([(p.detach() - 0.1 * p.grad).flatten() for p in model.parameters()])

    totals = step(session, candidate)
    torch.testing.assert_close(flat(session), expected, rtol=0, atol=1e-12)
    larger = batch.targets if mix.share >= 0.5 else batch.targets[partner]
    assert totals.metrics == (float((logits.argmax(1) == larger).sum()),)
    run.selection.end(run.comm, 0)
    loss_G = run.selection.table.loss_N[candidate.samples.ids_G]
    above = losses.detach() + (soft * soft.clamp(min=1e-300).log()).sum(1)  # less the entropy of the target
    torch.testing.assert_close(loss_G, blended(above).float())


class _Reads(TorchFunctionMode):
    """Counts what makes the host wait for a device: reading a tensor's numbers, and copying it to the host."""

    _READING = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.names = list[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self._READING:
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


class _Scalars(TorchDispatchMode):
    """Counts scalars that any operation reads, from C++ too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "fp32"},
        {"precision": "fp32", "accumulate": 3, "clip_norm": 1.0},
        {"precision": "fp16", "clip_norm": 1.0, "accumulate": 2},
        {"precision": "bf16", "momentum": 0.9, "ema": "0.5ep"},
    ],
)
def test_a_step_waits_for_the_device_once(train: dict[str, Any]) -> None:
    session, candidate = first_step(**train)
    step(session, candidate)  # the scale of fp16 and the optimizer's state are made
    for each in (candidate, replace(candidate, number=candidate.batches - 1)):  # the last one is measured, too
        with _Reads() as reads, _Scalars() as scalars:
            step(session, each)
        assert reads.names == ["tolist"]
        assert scalars.count == 0
    assert session.run.workers[0].update_norms


def test_an_epochs_last_step_alone_is_measured() -> None:
    session = session_of({**CONTENT, "stages": [{"epochs": 2, "side_px": 16}]})
    for row in train(session.task, session.train_data, session.run):
        assert (session.run.workers[0].update_norms is not None) == row.epoch_end
        if session.run.workers[0].update_norms:
            assert all(0 < moved < 1 for moved in session.run.workers[0].update_norms.relative().values())
