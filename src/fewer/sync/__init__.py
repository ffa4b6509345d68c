"""The agreement of workers: sync methods, one file each, and `comm`, the exchange of tensors between processes.

`LocalSGD` brings local methods into a training loop of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.sync.own_loop import LocalSGD as LocalSGD

__all__ = ["LocalSGD"]


def __getattr__(name: str) -> Any:
    """Imported at its first use, as it imports torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fewer.sync.own_loop import LocalSGD

    return LocalSGD
