"""Memory of machine, container and device, each made up: no accelerator is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.machine import memory as memory_module
from fewer.machine.memory import available_bytes, container_memory, device_memory_bytes


def test_each_device_is_asked_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 5)
    assert [device_memory_bytes(device) for device in ("cuda", "cpu")] == [5, 0]


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({"memory.max": "1000", "memory.current": "400"}, (1000, 400)),
        ({"memory.max": "max", "memory.current": "400"}, (None, None)),
        ({"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "400"}, (1000, 400)),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "4"}, (None, None)),
        (
            {
                "memory.max": "1000",
                "memory.current": "900",
                "memory.stat": "anon 200\nfile 650\nshmem 50\nactive_file 100\ninactive_file 500\n",
            },
            (1000, 300),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "900",
                "memory/memory.stat": "active_file 1\ninactive_file 2\ntotal_active_file 10\ntotal_inactive_file 20\n",
            },
            (1000, 870),
        ),
        ({}, (None, None)),
    ],
)
def test_memory_limit_of_either_version(tmp_path: Path, files: dict[str, str], memory: Any) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_memory(tmp_path) == memory


@pytest.mark.parametrize(
    ("machine", "container", "available"),
    [
        (1000, (None, None), 1000),
        (1000, (800, 300), 500),
        (400, (800, 300), 400),
        (1000, (800, 900), 0),
        (None, (800, 300), 500),
        (None, (None, None), None),
    ],
)
def test_available_is_what_machine_and_container_both_have(
    monkeypatch: pytest.MonkeyPatch,
    machine: int | None,
    container: tuple[int | None, int | None],
    available: int | None,
) -> None:
    monkeypatch.setattr(memory_module, "machine_bytes", lambda: machine)
    monkeypatch.setattr(memory_module, "container_memory", lambda: container)
    assert available_bytes() == available
