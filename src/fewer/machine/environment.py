"""Where a run ran: versions, processor, threads. Bitwise resuming needs the same."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fewer.plan.plan import Plan

# What may change the last bits of a result.
_EXACTNESS = (
    *("fewer", "torch", "numpy", "pillow", "processor", "capability", "native_bf16"),
    *("threads", "ranks", "device", "machine"),
)


def describe(plan: Plan) -> dict[str, Any]:
    """The content of `env.json`."""
    return {
        "fewer": _version("fewer"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "numpy": _version("numpy"),
        "pillow": _version("pillow"),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": plan.facts.bf16,
        "device": torch.cuda.get_device_name() if plan.facts.device == "cuda" else plan.facts.device,
        "threads": plan.facts.threads,
        "ranks": plan.facts.ranks,
        "command": " ".join(sys.argv),
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs in a way that may change the last bits of a resumed run."""
    return [f"{key}: {before[key]} → {now[key]}" for key in _EXACTNESS if key in before and before[key] != now[key]]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
