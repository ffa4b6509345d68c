"""Number formats of a run: what weights are kept in, what products are computed in, and what `auto` chooses.

The memory layout goes with them.

Importing this needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

# Mixed precision keeps weights in float32 and computes products in the shorter format.
_WEIGHTS = {"fp32": "float32", "bf16": "float32", "fp16": "float32", "fp64": "float64"}
_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}
PRECISIONS = tuple(_WEIGHTS)
_MANY_DEPTHWISE = 0.2  # a sixth in ConvNeXt, which bfloat16 makes faster; a quarter or more in nets that it slows


def weights_dtype(precision: str) -> torch.dtype:
    """The format of weights and images in one of `PRECISIONS`."""
    import torch

    dtype: torch.dtype = getattr(torch, _WEIGHTS[precision])
    return dtype


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The format that autocast computes products in; None where they are computed as weights are kept."""
    import torch

    return getattr(torch, _AUTOCAST[precision]) if precision in _AUTOCAST else None


def auto_precision(device: str, bf16: bool, depthwise_share: float = 0.0) -> Literal["fp32", "bf16", "fp16"]:
    """What `train.precision = "auto"` is.

    On processors with AMX, bfloat16 makes plain convolutions up to three times as fast, and depthwise ones half as
    fast (benchmarks/precision.py).

    Args:
        device: "cpu" or "cuda".
        bf16: Whether it computes bfloat16 natively.
        depthwise_share: Share of the model's numbers that depthwise convolutions give.
    """
    if device == "cpu" and depthwise_share > _MANY_DEPTHWISE:
        return "fp32"
    return "bf16" if bf16 else "fp16" if device == "cuda" else "fp32"


def auto_channels_last(device: str, precision: str, narrow_strides: bool) -> Literal["yes", "no"]:
    """What `train.channels_last = "auto"` is.

    Args:
        device: "cpu" or "cuda".
        precision: One of `PRECISIONS`.
        narrow_strides: Whether the net has layers that a processor must not train so (`dry_run.has_narrow_strides`).
    """
    return "no" if precision == "fp64" or (device == "cpu" and narrow_strides) else "yes"


def native_bf16(device: str) -> bool:
    """Whether a kind of device multiplies bfloat16 in hardware; emulation is slower than float32."""
    import torch

    if device == "cuda":  # untested: needs a GPU
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return False
