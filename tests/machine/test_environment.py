"""The environment that a resumed run compares: what may change the last bits, and nothing else."""

from __future__ import annotations

from fewer.machine.environment import changes, describe


def test_only_what_may_change_bits_is_a_change() -> None:
    before = describe("cpu", threads=2, processes=1, native_bf16=False)
    assert (before["device"], before["threads"], before["ranks"]) == ("cpu", 2, 1)
    assert not changes(before, {**before, "command": "another", "python": "4.0"})
    now = describe("cpu", threads=4, processes=2, native_bf16=False)
    assert changes(before, now) == ["threads: 2 → 4", "ranks: 1 → 2"]
    assert not changes({}, now), "an old file that does not say"
