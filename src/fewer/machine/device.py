"""The device that training uses, its cores, and what it does for speed. Needs no torch until it is asked or set."""

from __future__ import annotations

import glob
import os
import sys
from dataclasses import dataclass

from fewer.core.errors import RecipeError


def device_kind() -> str:
    """The kind of device that training uses: "cuda" where there is one, else "cpu"."""
    import torch

    if torch.cuda.is_available():  # untested: needs a GPU
        return "cuda"
    return "cpu"  # also on Macs: their MPS has no float64, in which losses, scores and views' maps are kept


def expected_device() -> str:
    """What `device_kind` is going to say, in words and without torch: "cpu" where no other answer is possible."""
    drivers = ("/dev/nvidiactl", "/dev/dxg")  # of Linux, and of Linux inside Windows
    if sys.platform == "darwin" or (sys.platform == "linux" and not any(map(os.path.exists, drivers))):
        return "cpu"
    return "a GPU if PyTorch finds one"


def gpu_numbers() -> list[str]:
    """The NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; empty where there are none."""
    there = [f"{number}" for number in range(len(glob.glob("/dev/nvidia[0-9]*")))]
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in shown.split(",") if name.strip() not in ("", "-1")] if shown is not None else there


def choose_gpus(asked: str) -> int:
    """Shows this process, and those that it starts, some of the GPUs; before torch looks for them.

    Args:
        asked: Positions among the GPUs that this process may use, such as `0,2`.

    Returns:
        How many.

    Raises:
        RecipeError: There is no GPU, not that many, or the text is no list of numbers.
    """
    there, positions = gpu_numbers(), asked.split(",")
    if not there:
        raise RecipeError(f"--gpus {asked}: this machine shows no GPU; leave it out; --devices N shares its cores")
    allowed = f"allowed: numbers from 0 to {len(there) - 1}, each once, such as --gpus {len(there) - 1}"
    if any(not text.strip().isdecimal() or int(text) >= len(there) for text in positions):
        raise RecipeError(f"--gpus {asked}: this machine shows {len(there)} GPUs; {allowed}")
    if len({int(text) for text in positions}) < len(positions):
        raise RecipeError(f"--gpus {asked}: a GPU is named twice; {allowed}")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(there[int(text)] for text in positions)
    return len(positions)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What a device does for speed.

    Attributes:
        pinned_memory: Batches are copied from page-locked memory, while the device computes.
        tf32: float32 matrix products and convolutions round their inputs to TensorFloat-32.
        cudnn_benchmark: cuDNN tries its algorithms and keeps the fastest, which may differ from run to run.
    """

    pinned_memory: bool = False
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
    is_free = is_cuda and not deterministic
    return DeviceSettings(is_cuda and not stays_on_device, is_free, is_free)
