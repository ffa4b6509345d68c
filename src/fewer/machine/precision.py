"""Number formats of a run: what weights are kept in, what products are computed in, and what `auto` chooses.

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


def weights_dtype(precision: str) -> torch.dtype:
    """The format of weights and images in one of `PRECISIONS`."""
    import torch

    dtype: torch.dtype = getattr(torch, _WEIGHTS[precision])
    return dtype


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The format that autocast computes products in; None where they are computed as weights are kept."""
    import torch

    return getattr(torch, _AUTOCAST[precision]) if precision in _AUTOCAST else None


def auto_precision(device: str, bf16: bool) -> Literal["fp32", "bf16", "fp16"]:
    """What `train.precision = "auto"` is, on a device that computes bfloat16 natively or does not."""
    return "bf16" if bf16 else "fp16" if device == "cuda" else "fp32"


def native_bf16(device: str) -> bool:
    """Whether a kind of device multiplies bfloat16 in hardware; emulation is slower than float32."""
    import torch

    if device == "cuda":  # untested: needs a GPU
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return False
