"""The network: its numbers as they are given, and as they are measured on a made-up clock."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.core.errors import RecipeError
from fewer.sync import network
from fewer.sync.comm import SingleProcess
from fewer.sync.network import PAYLOAD_SHARE, Network, measured
from fewer.sync.rehearsal import Rehearsal


@pytest.mark.parametrize(
    ("bandwidth", "latency", "bytes_a_second", "seconds"),
    [
        ("100Mbit", "1ms", 12.5e6, 1e-3),
        ("10 Gbit/s", "50us", 1.25e9, 5e-5),
        ("1.5MB", "0.2 s", 1.5e6, 0.2),
        ("800kbit", "0ms", 1e5, 0.0),
    ],
)
def test_numbers_with_units(bandwidth: str, latency: str, bytes_a_second: float, seconds: float) -> None:
    given = Network.given(bandwidth, latency)
    assert given.bandwidth == pytest.approx(bytes_a_second * PAYLOAD_SHARE)
    assert given.latency == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("bandwidth", "latency", "said"),
    [("100", "1ms", '--bandwidth "100"'), ("0Mbit", "1ms", "above 0"), ("1Gbit", "1", '--latency "1"')],
)
def test_numbers_without_units_are_refused(bandwidth: str, latency: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Network.given(bandwidth, latency)


class Clocked:
    """Four processes on a network, whose clock is made up."""

    def __init__(self, line: Network) -> None:
        self.comm, self.now = Rehearsal(line, 4), 0.0
        self.world_size, self.rank, self.machines = 4, 0, 4

    def __getattr__(self, name: str) -> Any:
        def exchanged(*arguments: Any) -> Any:
            found = getattr(self.comm, name)(*arguments)
            self.now += self.comm.take().waited
            return found

        return exchanged


def test_a_network_is_found_from_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Network(bandwidth=2e6, latency=3e-3)
    clocked: Any = Clocked(line)
    monkeypatch.setattr(network.time, "perf_counter", lambda: clocked.now)
    found = measured(clocked, 1 << 20)
    assert found.bandwidth == pytest.approx(line.bandwidth, rel=1e-6)
    small_s = 2 * 3 / 4 * 32 / line.bandwidth  # of the 32 bytes of a small exchange
    assert found.latency == pytest.approx(line.latency + small_s / 6)
    assert clocked.comm.take_bytes_sent() == 0


def test_one_process_has_no_network() -> None:
    with pytest.raises(RecipeError, match="start several"):
        measured(SingleProcess(), 1)


def test_an_exchange_takes_messages_and_bytes() -> None:
    assert Network(1e6, 0.01).seconds(6, 2e6) == pytest.approx(2.06)
