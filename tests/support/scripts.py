"""Scripts in a child of the start server: each runs as `__main__`, and Pythons that it starts are forked, too.

A script of benchmarks/ or examples/ starts further processes, as `--devices` does; each would import torch for seconds.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paths import ROOT


def names(folder: str) -> list[str]:
    """The scripts of a folder of this checkout: its files that do something when they are run."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if 'if __name__ == "__main__"' in path.read_text())


def run(folder: str, name: str, *arguments: str) -> str:
    """Runs a script to its end and returns what it prints. For a child of the start server: it changes this process."""
    fork_pythons()
    tempfile.tempdir = os.getcwd()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        _interpret([str(ROOT / folder / f"{name}.py"), *arguments])
    return printed.getvalue()


def fork_pythons() -> None:
    """From here on this process forks itself wherever it would start another Python."""
    real, context = subprocess._fork_exec, multiprocessing.get_context  # type: ignore[attr-defined]

    def fork_exec(arguments: Sequence[Any], *rest: Any) -> int:
        command = [os.fsdecode(argument) for argument in arguments]
        python, *words = [word for word in command if word != "-P"]  # the folder that it leaves out is a test's own
        return _forked(words, *rest) if python == sys.executable else real(arguments, *rest)

    subprocess._fork_exec = fork_exec  # type: ignore[attr-defined]
    multiprocessing.get_context = lambda method=None: context("fork")  # type: ignore[assignment, misc]


def _forked(
    arguments: list[str],
    executables: Any,
    close_fds: bool,
    keep_fds: tuple[int, ...],
    cwd: str | None,
    environment: list[bytes] | None,
    *rest: Any,
) -> int:
    """What `_posixsubprocess.fork_exec` does, without `exec`: the pipes come as descriptors, those of errors last."""
    stdin, _, _, stdout, _, stderr, _, errors, _, new_session = rest[:10]
    pid = os.fork()
    if pid:
        return pid
    code, sys.stdout = 1, sys.__stdout__
    try:
        if new_session:
            os.setsid()
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            if descriptor >= 0:
                os.dup2(descriptor, number)
        if stderr >= 0:  # this process's own is a file, which can be sought, as its wrapper remembers
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (open until the end)
        os.close(errors)  # which says that the process has started
        if cwd is not None:
            os.chdir(cwd)
        if environment is not None:
            os.environb.clear()
            os.environb.update(item.split(b"=", 1) for item in environment)
        _interpret(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _interpret(arguments: list[str]) -> None:
    """`python ARGUMENTS`: a module or a file."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
