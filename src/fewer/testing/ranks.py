"""Real ranks for tests: forked processes with gloo, which start at once because torch is loaded already."""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

_SECONDS = 120.0  # a rank that says nothing for so long hangs


def on_ranks(
    count: int, function: Callable[..., Any], *arguments: Any, enter: Callable[[int], None] | None = None
) -> list[Any]:
    """Calls `function(comm, *arguments)` in `count` processes that form a gloo group; returns what each returned.

    To be called from a process that uses one thread: forked children cannot use their parent's thread pool.

    Args:
        count: How many processes.
        function: What each does.
        arguments: Its arguments.
        enter: Called with its rank in each process before it joins the group, where that takes place elsewhere.

    Raises:
        AssertionError: A rank raised, died or hung; the message holds its traceback.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.NamedTemporaryFile(prefix="fewer-ranks-") as store:
        pipes, processes = [], []
        for rank in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_rank, args=(theirs, rank, count, f"{store.name}.store", function, arguments, enter)
            )
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        try:
            return [_answer(rank, pipe) for rank, pipe in enumerate(pipes)]
        finally:
            for process in processes:
                process.join(timeout=5)
                process.kill()


def _rank(
    pipe: Connection,
    rank: int,
    count: int,
    store: str,
    function: Callable[..., Any],
    arguments: Any,
    enter: Callable[[int], None] | None,
) -> None:
    import torch.distributed as dist

    from fewer.sync.comm import TorchDistributed

    torch.set_num_threads(1)
    try:
        if enter:
            enter(rank)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
        pipe.send((True, function(TorchDistributed(), *arguments)))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        pipe.send((False, traceback.format_exc()))


def _answer(rank: int, pipe: Connection) -> Any:
    assert pipe.poll(_SECONDS), f"rank {rank} hangs"
    try:
        good, answer = pipe.recv()
    except EOFError:
        raise AssertionError(f"rank {rank} died") from None
    assert good, f"rank {rank}:\n{answer}"
    return answer
