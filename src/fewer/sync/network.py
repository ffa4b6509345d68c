"""The network between machines: its bandwidth and latency, given or measured, and how long an exchange takes on it.

The model is that of Hockney: an exchange of n messages, one behind another, takes `n * latency + sent / bandwidth`,
where `sent` are the bytes that each machine sends. On a ring of K machines an all-reduce takes 2 (K - 1) messages and
sends 2 (K - 1) / K of the tensor from each (Thakur et al. 2005; Patarasuk and Yuan 2009).
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError

if TYPE_CHECKING:
    from fewer.core.protocols import Comm

# Of 1,514 bytes of an Ethernet frame of the usual size, TCP over IPv4 carries 1,448: the rest is headers.
PAYLOAD_SHARE = 1448 / 1514
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS = {"bit": 1 / 8, "B": 1.0}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_BANDWIDTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMG]?)(bit|B)(?:/s)?\s*")
_LATENCY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|ms|us|µs)\s*")
_SMALL_NUMBERS, _SMALL_ROUNDS = 8, 21
_LEAST_BYTES, _LARGE_ROUNDS = 1 << 18, 3
_LONG_SECONDS = 0.4  # of a large exchange, above which none is larger


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between any two machines.

    Attributes:
        bandwidth: Bytes of payload a second that each machine sends, while it receives as many.
        latency: Seconds of one message, one way.
    """

    bandwidth: float
    latency: float

    @classmethod
    def given(cls, bandwidth: str, latency: str) -> Network:
        """A network of nominal numbers, whose bandwidth includes the headers of TCP, IP and Ethernet.

        Args:
            bandwidth: Such as `100Mbit`, `10Gbit` or `12MB`, all a second.
            latency: Such as `1ms` or `50us`.

        Raises:
            RecipeError: A text has no unit or another one, or bandwidth is 0.
        """
        if not (found := _BANDWIDTH.fullmatch(bandwidth)) or not float(found[1]):
            raise RecipeError(
                f'--bandwidth "{bandwidth}": allowed are a number above 0 and a unit, bit or B with k, M or G, '
                "a second; for example --bandwidth 100Mbit"
            )
        if not (span := _LATENCY.fullmatch(latency)):
            raise RecipeError(
                f'--latency "{latency}": allowed are a number and a unit, s, ms or us; for example --latency 1ms'
            )
        nominal = float(found[1]) * _PREFIXES[found[2]] * _UNITS[found[3]]
        return cls(nominal * PAYLOAD_SHARE, float(span[1]) * _SECONDS[span[2]])

    def seconds(self, messages: int, sent_bytes: float) -> float:
        """How long an exchange takes: so many messages one behind another, in which a machine sends so many bytes."""
        return messages * self.latency + sent_bytes / self.bandwidth


def measured(comm: Comm, large_bytes: int, device: str = "cpu") -> Network:
    """The network between the processes that run, from all-reduces of two sizes; every process must call it.

    Latency is a small exchange's time over its messages, so that it includes what software takes for each; bandwidth is
    what a large exchange sends more, over what it takes longer. Nothing of it is booked.

    Args:
        comm: The exchange between processes.
        large_bytes: Of the largest tensor that will be exchanged; a slow network is measured by smaller ones.
        device: Where tensors lie.

    Raises:
        RecipeError: There is one process.
    """
    if comm.world_size == 1:
        raise RecipeError("one process has no network to measure: start several")
    import torch

    from fewer.sync.comm import unbooked

    def seconds(tensor: torch.Tensor) -> float:
        """Of one all-reduce, as long as it takes on the process where that is longest."""
        comm.all_reduce(torch.zeros(1))  # all begin together
        began = time.perf_counter()
        comm.all_reduce(tensor)
        if tensor.is_cuda:  # untested: needs a GPU
            torch.cuda.synchronize()
        found: float = comm.gather(torch.tensor([time.perf_counter() - began], dtype=torch.float64)).max().item()
        return found

    with unbooked(comm):
        most = max(_LEAST_BYTES, large_bytes) // 4
        small, large = (torch.zeros(size, device=device) for size in (_SMALL_NUMBERS, _LEAST_BYTES // 4))
        small_s = _median(lambda: seconds(small), _SMALL_ROUNDS)
        while seconds(large) < _LONG_SECONDS and large.numel() < most:
            large = torch.zeros(min(2 * large.numel(), most), device=device)
        large_s = _median(lambda: seconds(large), _LARGE_ROUNDS)
    size = comm.world_size
    sent = 2 * (size - 1) / size * 4 * (large.numel() - small.numel())
    return Network(sent / max(large_s - small_s, 1e-9), small_s / (2 * (size - 1)))


def _median(measure: Callable[[], float], rounds: int) -> float:
    return statistics.median(measure() for _ in range(rounds))
