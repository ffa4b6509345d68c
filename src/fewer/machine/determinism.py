"""Deterministic mode: only operations that give the same bits every time, in this process and for as long as asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fewer.core.errors import RecipeError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS reads it when it is first used in a process
_REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic(asked: bool) -> Iterator[None]:
    """Switches torch to deterministic operations, and back to what it was.

    Args:
        asked: Whether to; nothing happens otherwise.

    Raises:
        RecipeError: An operation has no deterministic form.
    """
    if not asked:
        yield
        return
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    flags = cudnn.deterministic, cudnn.benchmark
    workspace = os.environ.get(_WORKSPACE)
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with named_operations():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark = flags
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)


@contextmanager
def named_operations() -> Iterator[None]:
    """Turns torch's refusal of an operation into an error that names it.

    Raises:
        RecipeError: An operation has no deterministic form.
    """
    try:
        yield
    except RuntimeError as error:
        found = _REFUSED.match(str(error))
        if not found:
            raise
        raise RecipeError(
            f"train.deterministic = true: {found[1]} has no deterministic form on this device; set "
            "train.deterministic = false, or use a model or an augmentation without it"
        ) from error
