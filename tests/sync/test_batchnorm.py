"""Shared batch statistics: ranks with parts of a batch are one process with the whole of it, in fp64 to rounding."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewer.core.errors import ResourceError
from fewer.sync.batchnorm import are_shared, share_statistics, shared_statistics
from fewer.sync.comm import SingleProcess
from fewer.testing.harness import one_thread, session_of, trained
from fewer.testing.ranks import on_ranks
from fewer.training.loop import train

SHARES = (4, 3, 0)  # samples of each rank; the last one stands in
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"batch_size": 25, "lr": 0.05, "precision": "fp64"},
    "stages": [{"epochs": 2, "side_px": 16}],
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


class _WithActivation(nn.BatchNorm2d):
    """A layer that does more than normalise, as those of some libraries do."""

    def forward(self, x: Tensor) -> Tensor:
        normalised = functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.2, self.eps
        )
        return functional.gelu(normalised)


def _net() -> nn.Module:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), _WithActivation(5),
        nn.BatchNorm2d(5, affine=False, momentum=None), nn.Flatten(), nn.Linear(5 * 16, 6),
        nn.BatchNorm1d(6, track_running_stats=False),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def _images() -> Tensor:
    noise = torch.Generator().manual_seed(1)
    image = torch.randn(sum(SHARES), 3, 8, 8, dtype=torch.float64, generator=noise) * 3 + 1
    return image.to(memory_format=torch.channels_last)


def _step(net: nn.Module, image: Tensor) -> Tensor:
    image.requires_grad_()
    (net(image) ** 3).sum().backward()
    assert image.grad is not None
    return image.grad


def _found(net: nn.Module) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    gradients = {name: p.grad.flatten().tolist() for name, p in net.named_parameters() if p.grad is not None}
    return gradients, {name: buffer.flatten().tolist() for name, buffer in net.named_buffers()}


def _of_rank(comm: Any) -> Any:
    net = _net()
    names = list(net.state_dict())
    share_statistics(net, comm)
    shared = shared_statistics(net)
    assert shared
    assert list(net.state_dict()) == names, "checkpoints hold other names"
    image, inputs = _images().split(SHARES)[comm.rank], []
    for _ in range(2):
        if len(image):
            inputs.append(_step(net, image.clone()).tolist())
        else:
            with shared.standing_in():
                (net(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).sum() * 0).backward()
    return inputs, *_found(net), comm.take_bytes_sent()


def test_ranks_with_uneven_parts_are_one_process_with_the_whole() -> None:
    net = _net()
    inputs = [_step(net, _images().clone()).tolist() for _ in range(2)]
    gradients, buffers = _found(net)
    ranks = on_ranks(3, _of_rank)
    for nth in range(2):
        theirs = [row for given, *_ in ranks if given for row in given[nth]]
        torch.testing.assert_close(torch.tensor(theirs), torch.tensor(inputs[nth]), rtol=0, atol=1e-9)
    for name, ours in gradients.items():
        summed = torch.tensor([found[name] for _, found, _, _ in ranks], dtype=torch.float64).sum(0)
        torch.testing.assert_close(summed, torch.tensor(ours, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    for _, _, theirs_by_name, _ in ranks:
        for name, ours in buffers.items():
            assert theirs_by_name[name] == pytest.approx(ours, abs=1e-12), name
    numbers = sum(4 * channels + 1 for channels in (4, 5, 5, 6))
    assert ranks[0][3] == pytest.approx(2 * 2 * 2 / 3 * numbers * 8, abs=16)


def _half(comm: Any) -> float:
    """How far half precision is from float64, in statistics of numbers that are far from zero."""
    layer = nn.BatchNorm2d(3)
    share_statistics(layer, comm)
    image = _images()[comm.rank :: 2].bfloat16() + 50
    layer(image).float().sum().backward()
    whole = _images().bfloat16() + 50
    assert layer.running_mean is not None
    return float((layer.running_mean - 0.1 * whole.double().mean((0, 2, 3))).abs().max())


def test_statistics_of_bf16_images_are_exact() -> None:
    assert max(on_ranks(2, _half)) < 1e-4


def test_a_copy_exchanges_nothing() -> None:
    class Two(SingleProcess):  # type: ignore[misc]
        world_size = 2

        def all_reduce(self, tensor: Tensor) -> None:
            raise AssertionError("an exchange")

    net, two = _net(), Two()
    share_statistics(net, two)
    copied = copy.deepcopy(net)
    assert are_shared(net[1])
    assert not are_shared(copied[1])
    copied(_images())
    net.eval()(_images())
    with pytest.raises(AssertionError, match="an exchange"):
        net.train()(_images())


# --- Whole runs ----------------------------------------------------------------------------------------------------


def _state(comm: Any, content: dict[str, Any]) -> tuple[list[float], list[int]]:
    session = trained(content, comm)
    worker, table = session.run.workers[0], session.run.selection.table
    assert (session.run.statistics is None) == (comm is None)
    values = [value.flatten().double() for value in worker.model.state_dict().values()]
    return torch.cat(values).tolist(), table.visits_N.tolist()


@pytest.mark.parametrize(
    ("ranks", "select"),
    [
        (3, {"method": "full"}),
        (2, {"method": "selective_backprop", "score": "fresh", "scoring": "train", "batches": "shrink"}),
        (4, {"method": "dbpd", "score": "fresh", "threshold": 0.11}),
    ],
)
def test_a_run_with_batchnorm_is_the_same_on_any_number_of_ranks(ranks: int, select: dict[str, Any]) -> None:
    content = {**CONTENT, "select": select}
    ours, visits = _state(None, content)
    for theirs, their_visits in on_ranks(ranks, _state, content):
        assert theirs == pytest.approx(ours, abs=1e-9)
        assert their_visits == visits


def _out_of_memory(comm: Any) -> str:
    session = session_of(CONTENT, comm)

    def forward(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    session.run.workers[0].model.register_forward_pre_hook(forward)
    try:
        next(train(session.task, session.train_data, session.run))
    except ResourceError as error:
        return str(error)
    return ""


def test_a_step_that_does_not_fit_is_not_done_again_by_one_rank_alone() -> None:
    for text in on_ranks(2, _out_of_memory):
        assert "train.accumulate = 2, or sync.batchnorm = " in text
