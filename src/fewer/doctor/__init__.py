"""Whether this machine can train, and what would make it better at it. Imports no torch: a broken one is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fewer.doctor import machine, processes, software
from fewer.doctor.finding import FAIL, OK, WARN, Finding, answer, started

__all__ = ["FAIL", "OK", "WARN", "Finding", "findings"]

_STACK_SECONDS = 120.0  # torch on a cold disk

Check = Callable[[], Finding | list[Finding]]


def findings() -> Iterator[Finding]:
    """All findings, each as soon as it is known; a check that breaks is a finding itself."""
    probe = started("stack")  # works while the quick checks are made
    quick: list[Check] = [
        software.python,
        software.torch_version,
        software.torchvision_version,
        software.image_formats,
        machine.memory,
        machine.loader_memory,
        machine.shared_memory,
        machine.open_files,
        machine.disk,
        machine.cache,
        machine.allocator,
    ]
    for check in quick:
        yield from _found(check)
    stack: dict[str, Any] = answer(probe, _STACK_SECONDS)
    slow: list[Check] = [
        lambda: software.torch_imports(stack),
        lambda: software.torchvision_imports(stack),
        lambda: software.precision(stack),
        lambda: software.device(stack),
        lambda: machine.threads(stack),
        software.compiler,
        lambda: processes.gloo(stack),
        lambda: processes.nccl(stack),
        software.extras,
    ]
    for check in slow:
        yield from _found(check)


def _found(check: Check) -> list[Finding]:
    try:
        found = check()
    except Exception as error:  # whatever is broken here must not hide the other findings
        name = getattr(check, "__name__", "check").replace("<lambda>", "check")
        return [Finding(name, WARN, f"could not be checked: {type(error).__name__}: {error}")]
    return found if isinstance(found, list) else [found]
