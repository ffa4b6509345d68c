"""How a run uses its machine: where images are kept, loader processes, and the device's own settings.

All of it is chosen, from facts, before the run; none of it changes a pixel. Needs no torch until it is applied.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

_SHARE_OF_MEMORY = 1 / 3  # of what is free, that images in memory may take over all ranks
_PROCESSES_MOST = 8  # of a rank, chosen by "auto"
_PREFETCHED_EACH = 2  # batches of a loader process
SHARE_OF_MEMORY_AHEAD = 0.5  # of what is free, that batches read ahead may take


@dataclass(frozen=True, slots=True)
class Loading:
    """Where a rank's images come from.

    Attributes:
        in_memory: They are decoded once and kept.
        processes: Loader processes of this rank; 0 in memory.
        prefetched_batches: Batches that these read ahead.
        threads: That decode in the training process.
    """

    in_memory: bool
    processes: int
    prefetched_batches: int
    threads: int


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def auto_precision(device: str, bf16: bool) -> Literal["fp32", "bf16", "fp16"]:
    """What `train.precision = "auto"` is, on a device that computes bfloat16 natively or does not."""
    return "bf16" if bf16 else "fp16" if device == "cuda" else "fp32"


def choose_loading(
    in_memory: Literal["auto", "yes", "no"],
    processes: int | Literal["auto"],
    needed_bytes: int,
    available_bytes: int | None,
    device: str,
    cores: int,
    ranks: int,
) -> Loading:
    """Decides what "auto" means here.

    Args:
        in_memory: As the recipe has it.
        processes: As the recipe has it, over all ranks.
        needed_bytes: What one rank's decoded images take.
        available_bytes: Free memory; unknown if None.
        device: "cpu" or "cuda".
        cores: That all ranks share.
        ranks: Processes that train together.
    """
    fits = available_bytes is None or needed_bytes * ranks <= available_bytes * _SHARE_OF_MEMORY
    threads = max(1, cores // ranks)
    if in_memory == "yes" or (in_memory == "auto" and fits):
        return Loading(True, 0, 0, threads)
    if processes == "auto":
        # Where training itself takes the cores, half of them are left to it.
        each = min(_PROCESSES_MOST, max(1, (cores // 2 if device == "cpu" else cores) // ranks))
    else:
        each = -(-processes // ranks)
    return Loading(False, each, _PREFETCHED_EACH * each, threads)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What a device does for speed.

    Attributes:
        pinned_memory: Batches are copied from page-locked memory.
        non_blocking: Those copies go on while the device computes.
        tf32: float32 matrix products and convolutions round their inputs to TensorFloat-32.
        cudnn_benchmark: cuDNN tries its algorithms and keeps the fastest, which may differ from run to run.
    """

    pinned_memory: bool = False
    non_blocking: bool = False
    tf32: bool = False
    cudnn_benchmark: bool = False

    def apply(self, device: str) -> None:
        """Sets them in this process."""
        if device == "cuda":  # untested: needs a GPU
            import torch

            precision = "tf32" if self.tf32 else "ieee"
            torch.backends.cuda.matmul.fp32_precision = precision
            torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = self.cudnn_benchmark


def choose_device_settings(device: str, deterministic: bool, stays_on_device: bool) -> DeviceSettings:
    """Settings for a kind of device.

    Args:
        device: "cpu" or "cuda".
        deterministic: Runs must repeat to the bit: no TensorFloat-32, no search among algorithms.
        stays_on_device: Images lie decoded on the device, so that no batch is copied to it.
    """
    is_cuda = device == "cuda"
    copies = is_cuda and not stays_on_device
    return DeviceSettings(copies, copies, is_cuda and not deterministic, is_cuda and not deterministic)
