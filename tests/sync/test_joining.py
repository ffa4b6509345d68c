"""Ranks that do not meet, or part in the wrong way: each that is left ends in bounded time and names the other."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch

from fewer.core.errors import FewerError, Stopped
from fewer.sync.joining import joined
from fewer.sync.launch import free_port
from fewer.testing.harness import one_thread

Body = Callable[[Any], object]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def endings(
    ranks: Sequence[int], body: Body, asked: Sequence[int] = (), port: int | None = None, **limits: float
) -> dict[int, tuple[int, str]]:
    """Joins these ranks of two, calls `body(comm)` in each, and returns exit code and message.

    Args:
        ranks: Those that are started.
        body: What each does; runs in a forked process.
        asked: Those whose ends are returned; all if left out.
        port: Where they meet; a free port if left out.
        limits: Seconds by environment variable.
    """
    context = multiprocessing.get_context("fork")
    port, pipes, processes = port or free_port(), {}, []
    for rank in ranks:
        pipes[rank], theirs = context.Pipe(duplex=False)
        place = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        process = context.Process(target=_rank, args=(theirs, body, {**place, **limits}))
        process.start()
        theirs.close()
        processes.append(process)
    try:
        assert all(pipes[rank].poll(60) for rank in asked or ranks), "a rank hangs"
        return {rank: pipes[rank].recv() for rank in asked or ranks}
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rank(pipe: Connection, body: Body, environment: dict[str, Any]) -> None:
    os.environ.update({key: str(value) for key, value in environment.items()})
    code, text = 0, ""
    try:
        with joined() as comm:
            body(comm)
    except FewerError as error:
        code, text = error.exit_code, str(error)
    except Exception as error:
        code, text = 1, f"{type(error).__name__}: {error}"
    pipe.send((code, text))
    pipe.close()
    time.sleep(60)  # alive, as far as the system can tell


def exchange(comm: Any) -> None:
    total = torch.tensor([float(comm.rank + 1)])
    comm.all_reduce(total)
    assert total == 3


def leave_in_the_middle(comm: Any) -> None:
    for step in range(3):
        if comm.rank and step == 1:
            break
        exchange(comm)


def raise_on_rank_1(comm: Any) -> None:
    exchange(comm)
    if comm.rank:
        raise ValueError("class 7 has no image")
    exchange(comm)


def raise_on_rank_0(comm: Any) -> None:
    exchange(comm)
    if not comm.rank:
        raise ValueError("the disk is full")
    exchange(comm)


def stop_on_rank_1(comm: Any) -> None:
    if comm.rank:
        raise Stopped("stopped by SIGTERM outside training", 75)
    exchange(comm)


def stand_still_on_rank_1(comm: Any) -> None:
    exchange(comm)
    if comm.rank:
        time.sleep(60)
    exchange(comm)


def die_on_rank_1(comm: Any) -> None:
    exchange(comm)
    if comm.rank:
        os._exit(9)
    exchange(comm)


def test_ranks_that_agree_end_well() -> None:
    assert endings([0, 1], exchange) == {0: (0, ""), 1: (0, "")}


@pytest.mark.parametrize(
    ("body", "left", "code", "said"),
    [
        (leave_in_the_middle, 0, 6, "rank 1 has left the loop"),
        (raise_on_rank_1, 0, 6, "rank 1 has ended: ValueError: class 7 has no image"),
        (raise_on_rank_0, 1, 6, "rank 0 has ended: ValueError: the disk is full"),
        (stop_on_rank_1, 0, 75, "rank 1: stopped by SIGTERM outside training"),
    ],
)
def test_a_rank_that_ends_alone_says_why_through_the_other(body: Body, left: int, code: int, said: str) -> None:
    found_code, text = endings([0, 1], body)[left]
    assert (found_code, text[: len(said)]) == (code, said)


def test_a_rank_that_stands_still_is_named() -> None:
    code, text = endings([0, 1], stand_still_on_rank_1, [0], FEWER_RANK_TIMEOUT=1, FEWER_EXCHANGE_TIMEOUT=0.5)[0]
    assert code == 6
    assert "rank 0 has waited 0.5 s (FEWER_EXCHANGE_TIMEOUT) in exchange 2 for rank 1" in text


def test_a_rank_that_dies_without_a_word_is_named() -> None:
    code, text = endings([0, 1], die_on_rank_1, [0])[0]
    assert code == 6
    assert text.startswith(f"rank 1 on {socket.gethostname()} has gone without a word: killed")


@pytest.mark.parametrize(
    ("rank", "said"), [(0, "1 of 2 ranks have met at 127.0.0.1:"), (1, "rank 1 found no rank 0 at 127.0.0.1:")]
)
def test_ranks_that_never_meet(rank: int, said: str) -> None:
    code, text = endings([rank], exchange, FEWER_JOIN_TIMEOUT=0.5)[rank]
    assert (code, text[: len(said)]) == (6, said)
    assert "within 0.5 s (FEWER_JOIN_TIMEOUT)" in text


def test_a_port_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, text = endings([0], exchange, port=port)[0]
    assert (code, text.partition(";")[0]) == (6, f"rank 0: port {port} of this machine is in use")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_a_port_where_something_else_listens(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ExitStack() as held:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                while True:
                    held.enter_context(other.accept()[0]).sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        port = other.getsockname()[1]
        code, text = endings([1], exchange, port=port, FEWER_JOIN_TIMEOUT=0.5)[1]
        other.shutdown(socket.SHUT_RDWR)
        server.join()
    said = f"rank 1: something listens at 127.0.0.1:{port} that does not answer as rank 0 does"
    assert (code, text[: len(said)]) == (6, said)
