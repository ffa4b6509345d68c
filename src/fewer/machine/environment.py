"""The environment of a run: versions, processor, threads. Bitwise resuming needs the same."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

# What may change the last bits of a result.
_EXACTNESS = (
    *("fewer", "torch", "numpy", "pillow", "simplejpeg", "processor", "capability", "native_bf16"),
    *("threads", "ranks", "device", "machine"),
)


def describe(device: str, threads: int, processes: int, native_bf16: bool) -> dict[str, Any]:
    """The content of `env.json`.

    Args:
        device: The kind of device that trains.
        threads: Threads of one process.
        processes: Processes that train together.
        native_bf16: Whether the device computes bfloat16 natively.
    """
    return {
        "fewer": _version("fewer"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "numpy": _version("numpy"),
        "pillow": _version("pillow"),
        "simplejpeg": _version("simplejpeg"),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": native_bf16,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": threads,
        "ranks": processes,
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
