"""A bar of bytes on stderr, for people who wait for a transfer; a line without a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def transferring(what: str) -> Iterator[Callable[[int, int], None]]:
    """Takes bytes done and bytes in all, from one thread at a time.

    Args:
        what: What is transferred.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    bar = Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task, is_said = bar.add_task(what, total=None), False

        def show(done: int, total: int) -> None:
            nonlocal is_said
            if not console.is_terminal and not is_said:
                print(f"{what}: {total / 1e6:,.1f} MB", file=sys.stderr, flush=True)
            is_said = True
            bar.update(task, completed=done, total=total)

        yield show
