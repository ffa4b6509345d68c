"""Doctor: checks of this machine, each with a fix. Imports no torch, as a broken torch is one of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fewer.doctor import machine, processes, ranks, software
from fewer.doctor.processes import answer, started
from fewer.doctor.result import FAIL, OK, WARN, CheckResult
from fewer.sync.place import is_rank

__all__ = ["FAIL", "OK", "WARN", "CheckResult", "check_results"]

_STACK_SECONDS = 120.0  # torch on a cold disk

Check = Callable[[], CheckResult | list[CheckResult]]


def check_results(devices: int = 1) -> Iterator[CheckResult]:
    """Runs all checks and yields each result as soon as it is known; a check that raises is a result, too.

    Args:
        devices: Processes that are to train together here, of which each is then checked; one that was itself started
            as one of several checks these alone.

    Raises:
        RecipeError: There are not as many devices.
    """
    if is_rank():
        yield from ranks.as_one_of_several()
        return
    probe = started("stack")  # runs during the quick checks
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
        yield from _results(check)
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
        yield from _results(check)
    if devices > 1:
        yield from ranks.on_this_machine(devices)


def _results(check: Check) -> list[CheckResult]:
    try:
        found = check()
    except Exception as error:  # a broken check must not hide the other results
        name = getattr(check, "__name__", "check").replace("<lambda>", "check")
        return [CheckResult(name, WARN, f"could not be checked: {type(error).__name__}: {error}")]
    return found if isinstance(found, list) else [found]
