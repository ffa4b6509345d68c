"""Payloads in few bits: what is applied and what is kept back add up to what changed, for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fewer.core.sections import section_of
from fewer.sync.codes import BLOCK, Bfloat16, WholeNumbers
from fewer.sync.comm import SingleProcess
from fewer.sync.compressed import Compressed
from fewer.sync.payloads import PAYLOADS
from fewer.sync.payloads.topk import TopK
from fewer.testing.harness import one_thread
from fewer.testing.ranks import on_ranks

WORKERS, ROUNDS = 4, 5
SHAPES = ((7, 30), (11,), (3, 5, 2))
COMPRESSED = [name for name in PAYLOADS.names() if name != "full"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def payload_of(name: str, comm: Any = None, **keys: Any) -> Any:
    module = PAYLOADS.module(name)
    keys = {"topk_share": 0.1, **keys} if name == "topk" else keys
    return module.build(section_of(module.Params, **keys), comm or SingleProcess(), WORKERS)


def tensors(seed: int) -> dict[int, Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {place: torch.randn(shape, dtype=torch.float64, generator=noise) for place, shape in enumerate(SHAPES)}


def rounds(payload: Any, ids: Any = range(WORKERS), count: int = ROUNDS) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """The weights behind rounds of random changes, and where the mean of all changes would have led."""
    anchors = tensors(0)
    wanted = {place: value.clone() for place, value in anchors.items()}
    weights = [0.1, 0.2, 0.3, 0.4]
    for number in range(count):
        changes = [tensors(100 * number + id + 1) for id in range(WORKERS)]
        vectors = [{place: anchors[place] + changes[id][place] for place in anchors} for id in ids]
        for place in wanted:
            wanted[place] += sum(weight * change[place] for weight, change in zip(weights, changes, strict=True))
        anchors = payload.mean(vectors, [weights[id] for id in ids], anchors)
    return anchors, wanted


def kept_back(payload: Any) -> Tensor:
    """All that is kept back, put where it belongs."""
    total = torch.zeros(sum(value.numel() for value in tensors(0).values()), dtype=torch.float64)
    states = payload.states()
    for state in states:
        total += state["sent 0 to 2"].flatten()[: len(total)]
    if "summed 0 to 2" in states[0]:
        total += torch.cat([state["summed 0 to 2"].flatten() for state in states])[: len(total)]
    return total


def flat(values: dict[int, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values.values()])


@pytest.mark.parametrize("name", COMPRESSED)
def test_what_is_applied_and_kept_back_is_what_changed(name: str) -> None:
    payload = payload_of(name)
    applied, wanted = rounds(payload)
    torch.testing.assert_close(flat(applied) + kept_back(payload), flat(wanted), rtol=0, atol=1e-12)
    assert float(kept_back(payload).abs().max()) > 1e-3, "else this test could not fail"


def _applied(comm: Any, name: str) -> list[float]:
    payload = payload_of(name, comm)
    each = WORKERS // comm.world_size
    found: list[float] = flat(rounds(payload, range(comm.rank * each, (comm.rank + 1) * each))[0]).tolist()
    return found


@pytest.mark.parametrize("name", COMPRESSED)
def test_simulated_workers_send_what_processes_do(name: str) -> None:
    alone = flat(rounds(payload_of(name))[0]).tolist()
    assert on_ranks(2, _applied, name) == [alone, alone]


@pytest.mark.parametrize("name", COMPRESSED)
def test_saved_and_loaded_it_goes_on_as_before(name: str) -> None:
    payload, other = payload_of(name), payload_of(name)
    rounds(payload, count=2)
    other.load_states(payload.states())
    assert torch.equal(flat(rounds(payload)[0]), flat(rounds(other)[0]))
    assert not torch.equal(flat(rounds(payload_of(name))[0]), flat(rounds(payload)[0])), "what is kept back matters"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Compressed(SingleProcess(), WORKERS, WholeNumbers(8), 50),
        lambda: TopK(SingleProcess(), WORKERS, 1.0, 50),
    ],
)
def test_several_buckets_bring_back_all(build: Any) -> None:
    applied, wanted = rounds(build())
    assert applied.keys() == wanted.keys()
    for place, value in wanted.items():
        assert applied[place].shape == value.shape
        torch.testing.assert_close(applied[place], value, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", COMPRESSED)
def test_who_is_left_out_may_hold_anything(name: str) -> None:
    anchors = tensors(0)
    vectors = [tensors(id) for id in range(WORKERS)]
    vectors[2] = {place: torch.full_like(value, torch.nan) for place, value in anchors.items()}
    assert flat(payload_of(name).mean(vectors, [0.5, 0.25, 0.0, 0.25], anchors)).isfinite().all()


@pytest.mark.parametrize("name", PAYLOADS.names())
def test_bytes_are_those_of_the_formula(name: str) -> None:
    comm = SingleProcess()
    comm.machines = WORKERS
    payload, module = payload_of(name, comm), PAYLOADS.module(name)
    weights = {0: torch.ones(64, WORKERS * BLOCK)}
    payload.mean([weights] * WORKERS, [0.25] * WORKERS, weights)
    params = section_of(module.Params)
    if name == "topk":
        params = section_of(module.Params, topk_share=0.1)
    expected = WORKERS * module.sent_bytes(params, weights[0].numel(), WORKERS, 4)
    assert comm.take_bytes_sent() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("bits", "step"), [(8, 1 / 127), (4, 1 / 7)])
def test_whole_numbers_are_as_near_as_their_steps_are_wide(bits: int, step: float) -> None:
    code, values = WholeNumbers(bits), torch.randn(3, 2 * BLOCK, dtype=torch.float64)
    values[1] = 0.0
    back = code.decode(code.encode(values), torch.float64)
    largest = values.view(3, 2, BLOCK).abs().amax(-1, keepdim=True)
    assert bool(((back - values).abs().view(3, 2, BLOCK) <= (0.5 + 1e-6) * step * largest).all())
    assert torch.equal(code.decode(code.encode(back), torch.float64).sign(), back.sign())


def test_bfloat16_is_torchs() -> None:
    values = torch.randn(2, 5)
    assert torch.equal(Bfloat16().decode(Bfloat16().encode(values), torch.float32), values.bfloat16().float())
