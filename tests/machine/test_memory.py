"""Memory of a device, with a device made up: no accelerator is needed."""

from __future__ import annotations

import pytest
import torch

from fewer.machine.memory import device_memory_bytes


def test_each_device_is_asked_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 5)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 7)
    assert [device_memory_bytes(device) for device in ("cuda", "mps", "cpu")] == [5, 7, 0]
