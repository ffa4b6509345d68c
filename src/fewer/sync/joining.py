"""The joining of ranks: where they meet, the process group they form, and what a lost rank is called."""

from __future__ import annotations

import atexit
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from fewer.core.errors import RecipeError, ResourceError
from fewer.sync.lifeline import end_with_launcher
from fewer.sync.limits import Limits
from fewer.sync.peers import Peers, is_cut
from fewer.sync.place import Place, place_of

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

    from fewer.core.protocols import Comm

_GREETING_SECONDS = 5.0  # for a store to answer where something listened at the last moment only


@contextmanager
def joined() -> Iterator[Comm]:
    """The way this process exchanges tensors with its peers, by its place in the environment; else alone.

    Raises:
        RecipeError: The environment names no possible place.
        ResourceError: Ranks have not met in time, or one is lost; the message names it.
    """
    from fewer.sync.comm import SingleProcess, TorchDistributed

    end_with_launcher()
    place = place_of()
    if place is None:
        yield SingleProcess()
        return
    import torch.distributed as dist
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    limits, backend = Limits.of(), _backend(place)
    store = _store(place, limits)
    peers = Peers(store, place, limits)
    peers.start()
    error: BaseException | None = None
    try:
        peers.await_all()
        dist.init_process_group(
            backend,
            store=PrefixStore("group", store),
            rank=place.rank,
            world_size=place.world_size,
            timeout=timedelta(seconds=limits.exchange + 60),  # ours comes first, and names a rank
        )
        yield TorchDistributed(peers)
    except RuntimeError as found:  # out of an operation that is not one of our `Exchanges`
        error = peers.why() if is_cut(found) else found
        if error is found:
            raise
        raise error from found  # gloo's own words name its source files, not what happened here
    except BaseException as found:
        error = found
        raise
    finally:
        peers.leave(error)
        _part(peers)


def _part(peers: Peers) -> None:
    """Closes the connections, in an order in which others learn why."""
    import torch.distributed as dist

    if peers.waits_in_vain:
        # An exchange that never ends would hold up the end of Python, which waits for the group's threads.
        atexit.register(_end_at_once)
    else:
        if dist.is_initialized():
            dist.destroy_process_group()
        peers.linger()
    peers.stop()


def _end_at_once() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ResourceError.exit_code)


def _backend(place: Place) -> str:
    """The backends for each kind of memory; takes the GPU of this rank."""
    import torch

    if not torch.cuda.is_available():
        return "gloo"
    gpus = torch.cuda.device_count()  # untested from here on: needs a GPU
    if place.local_rank >= gpus:
        raise RecipeError(
            f"rank {place.rank} is number {place.local_rank} on this machine, which shows {gpus} GPUs; "
            f"start at most {gpus} processes here"
        )
    torch.cuda.set_device(place.local_rank)
    # What ranks agree on lies on the CPU, gradients lie on the GPU, and nccl exchanges the latter only.
    return "cpu:gloo,cuda:nccl"


def _store(place: Place, limits: Limits) -> Store:
    """The store at which ranks meet: torchrun's own, or one in the process of rank 0."""
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    deadline = time.monotonic() + limits.join
    is_torchruns = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    hosts = place.rank == 0 and not is_torchruns
    descriptor = _listening(place) if hosts else None
    if not hosts:
        _await_answer(place, limits, deadline)
    store = _connected(place, limits, descriptor, max(deadline - time.monotonic(), min(_GREETING_SECONDS, limits.join)))
    attempt = f"{os.environ.get('TORCHELASTIC_RUN_ID', '')}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    return PrefixStore(f"fewer/{attempt}", store)


def _connected(place: Place, limits: Limits, descriptor: int | None, seconds: float) -> Store:
    """The store itself.

    Args:
        place: This rank's place.
        limits: How long operations of the store may take.
        descriptor: The socket where this process holds the store; None where another does.
        seconds: How long it has to answer.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    found: list[Store | Exception] = []

    def connect() -> None:
        try:
            found.append(
                TCPStore(
                    place.address,
                    place.port,
                    place.world_size,
                    descriptor is not None,
                    timedelta(seconds=limits.join),
                    wait_for_workers=False,
                    master_listen_fd=descriptor,
                )
            )
        except Exception as error:
            found.append(error)

    # A server of another kind may wait for more to be said, as the store waits for its answer, whatever its timeout.
    greeting = threading.Thread(target=connect, name="fewer-store", daemon=True)
    greeting.start()
    greeting.join(seconds)
    store = found[0] if found else TimeoutError()
    if isinstance(store, RuntimeError | TimeoutError):
        raise ResourceError(
            f"rank {place.rank}: something listens at {place.address}:{place.port} that does not answer as rank 0 "
            f"does ({type(store).__name__}); set MASTER_PORT to a free port, the same on all ranks"
        )
    if isinstance(store, Exception):
        raise store
    return store


def _listening(place: Place) -> int:
    """A socket that listens where rank 0 is to be found; on this machine alone where nobody else can come."""
    only = place.address if place.address in ("127.0.0.1", "localhost") else ""
    both = not only and socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server((only, place.port), family=family, backlog=1024, dualstack_ipv6=both).detach()
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened at: {error.strerror}"
        raise ResourceError(
            f"rank 0: port {place.port} of this machine {what}; set MASTER_PORT to a free one, the same on all ranks "
            "(torchrun: --master-port; `--devices` chooses one itself: run it again)"
        ) from None


def _await_answer(place: Place, limits: Limits, deadline: float) -> None:
    """Waits until somebody answers where rank 0 should be."""
    while True:
        try:
            socket.create_connection((place.address, place.port), timeout=min(5.0, limits.join)).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() > deadline:
            raise ResourceError(
                f"rank {place.rank} found no rank 0 at {place.address}:{place.port} within {limits.join:g} s "
                f"(FEWER_JOIN_TIMEOUT): {reason}; start rank 0 there, and let firewalls pass that port"
            )
        time.sleep(0.1)


__all__ = ["joined"]
