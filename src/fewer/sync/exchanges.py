"""The collective operations of torch.distributed, whose waiting ends when a rank is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from fewer.sync.peers import is_cut

if TYPE_CHECKING:
    from fewer.sync.peers import Peers


@final
class Exchanges:
    """Stands for `torch.distributed`: `all_reduce`, `all_gather`, `broadcast` and so on, as functions of the same form.

    An operation of gloo waits in C++ for half an hour, deaf to Ctrl-C. Here it is begun, and then waited for in
    intervals, between which Python sees signals and `Peers` is asked. On GPUs nothing waits here.

    Args:
        peers: The watch over other ranks; None: the operations as they are.
    """

    def __init__(self, peers: Peers | None) -> None:
        self._peers = peers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import torch.distributed as dist

        operation: Callable[..., Any] = getattr(dist, name)
        peers = self._peers
        if peers is None:
            return operation

        def watched(*arguments: Any, **options: Any) -> None:
            peers.exchanges += 1
            with _explained(peers):
                if _on_gpu(arguments[0]):  # untested: needs a GPU
                    operation(*arguments, **options)
                else:
                    _wait(operation(*arguments, **options, async_op=True), peers)

        self.__dict__[name] = watched  # the next call finds it at once: an exchange takes a fraction of a millisecond
        return watched

    def begun(self, name: str, *arguments: Any) -> Callable[[], None]:
        """Begins an operation; what it returns waits for the end as the operation itself would."""
        import torch.distributed as dist

        peers = self._peers
        if peers is None:
            work = getattr(dist, name)(*arguments, async_op=True)
            return lambda: work.wait() and None
        peers.exchanges += 1
        with _explained(peers):
            work = getattr(dist, name)(*arguments, async_op=True)

        def wait() -> None:
            with _explained(peers):
                if _on_gpu(arguments[0]):  # untested: needs a GPU
                    work.wait()
                else:
                    _wait(work, peers)

        return wait


@contextmanager
def _explained(peers: Peers) -> Iterator[None]:
    """Says why a connection was lost, in place of the backend's words."""
    try:
        yield
    except RuntimeError as error:
        if is_cut(error):
            raise peers.why() from error
        raise


def _wait(work: Any, peers: Peers) -> None:
    began = time.monotonic()
    while True:
        try:
            work.wait(peers.interval)
            return
        except RuntimeError as error:
            if "Operation timed out" not in str(error):
                raise
        peers.require_alive()
        if time.monotonic() - began > peers.limits.exchange:
            raise peers.stuck()


def _on_gpu(tensors: Any) -> bool:
    first = tensors[0] if isinstance(tensors, list) else tensors
    return bool(first.is_cuda)
