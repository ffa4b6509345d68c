"""Starts `fewer` in milliseconds: a process that has imported torch forks a child for every start.

`Server` is the tests' side: `run`, `start` and `call`. Executed as a script, this file is the other side: it reads
requests from stdin, one JSON document a line, forks, and answers on stdout when a child has ended. A child is a new
session with the signals of a fresh process, its own folder, environment and output files; it ends with the server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from drawings import drawings

_WARM_RECIPE = """\
data = { source = "digits", subset = 20, cache = "no" }
model = { name = "lenet5", width = 0.1 }
train.batch_size = 10
stages = [{ epochs = 1, side_px = 16 }]
"""
_SECONDS = 120.0  # far beyond what any child takes; a test that hangs must end with a message
_STOP = {"stop": True}  # ends the server


# --- The tests' side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """What a child left behind. `code` is negative for a signal, as in `subprocess`."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Stdout as the one JSON document that it must be."""
        return json.loads(self.stdout)


def complains(ended: Ended, code: int, *parts: str) -> None:
    """The right exit code, a message with these parts, nothing on stdout, and no traceback."""
    assert ended.code == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    for part in parts:
        assert part in ended.stderr, ended.stderr


class Started:
    """A child that may still be running."""

    def __init__(self, server: Server, number: int, pid: int, output: Path) -> None:
        self.pid = pid
        self._server, self._number, self._output = server, number, output

    @property
    def running(self) -> bool:
        return self._server.code(self._number, wait_seconds=0) is None

    @property
    def stderr(self) -> str:
        return self._read("stderr")

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Sends a signal, unless the child has ended."""
        self._server.send({"kill": self._number, "signal": int(sig)})

    def until(self, happened: Callable[[], bool]) -> bool:
        """Waits for a condition; False if the child ended before it held."""
        deadline = time.monotonic() + _SECONDS
        while not happened():
            if not self.running:
                return happened()
            assert time.monotonic() < deadline, f"waited in vain; stderr so far:\n{self.stderr}"
            time.sleep(0.002)
        return True

    def wait(self) -> Ended:
        """Waits for the end."""
        code = self._server.code(self._number, wait_seconds=_SECONDS)
        if code is None:
            self.kill()
            raise AssertionError(f"did not end in {_SECONDS:.0f} s; stderr so far:\n{self.stderr}")
        return Ended(code, self._read("stdout"), self._read("stderr"))

    def _read(self, name: str) -> str:
        return self._output.with_suffix(f".{name}").read_text(encoding="utf-8", errors="replace")


class Server:
    """One process that all starts of a test session are forked from."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fewer-server-"))
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80", "XDG_CACHE_HOME": str(self._folder / "cache")},
        )
        self._pids: dict[int, int] = {}
        self._codes: dict[int, int] = {}
        self._buffer = b""
        self._last = 0

    def run(self, *arguments: object, **options: Any) -> Ended:
        """Runs `fewer ARGUMENTS` to its end; options as for `start`."""
        return self.start(*arguments, **options).wait()

    def start(
        self,
        *arguments: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        report: bool = False,
        forks: bool = False,
    ) -> Started:
        """Starts `fewer ARGUMENTS`.

        Args:
            arguments: The command line behind `fewer`.
            cwd: The child's folder.
            env: Additional environment variables.
            report: Whether plots, previews and `report.html` are drawn.
            forks: Whether Pythons that the child starts are forked from it, rather than to import torch again.
        """
        return self._ask(
            {
                "argv": [str(a) for a in arguments],
                "cwd": str(cwd),
                "env": dict(env or {}),
                "report": report,
                "forks": forks,
            }
        )

    def ranks(self, count: int, *arguments: object, **options: Any) -> list[Started]:
        """Starts `fewer ARGUMENTS` as `count` ranks of one run, by torchrun's environment variables."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            self.start(*arguments, **options, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(count)
        ]

    def call(self, function: Callable[..., Any], *arguments: Any, cwd: Path) -> Any:
        """Calls a function of a test file in a child: what it returns, by way of JSON.

        Raises:
            AssertionError: It raised or ended otherwise, with its traceback.
        """
        target = [function.__code__.co_filename, function.__name__]
        ended = self._ask({"call": target, "argv": list(arguments), "cwd": str(cwd), "env": {}}).wait()
        assert ended.code == 0, f"{function.__name__}{arguments} ended with {ended.code}\n{ended.stderr}"
        return ended.json

    def stop(self) -> None:
        """Ends the server and with it all its children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.send(_STOP)  # the end of stdin is not enough: forked loader processes hold its other end, too
            self._process.stdin.close()
        self._process.wait(_SECONDS)
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, request: dict[str, Any]) -> Started:
        self._last += 1
        output = self._folder / str(self._last)
        self.send({"number": self._last, "output": str(output), **request})
        while self._last not in self._pids:
            self._receive(_SECONDS)
        return Started(self, self._last, self._pids[self._last], output)

    def send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def code(self, number: int, wait_seconds: float) -> int | None:
        """Exit code of a child; None if it does not end in time."""
        deadline = time.monotonic() + wait_seconds
        while number not in self._codes:
            left = deadline - time.monotonic()
            if not self._receive(max(0.0, left)) and left <= 0:
                return None
        return self._codes[number]

    def _receive(self, seconds: float) -> bool:
        """Takes in what the server says; whether it said anything."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not readable:
            return False
        received = os.read(self._process.stdout.fileno(), 1 << 16)
        assert received, "the start server has ended; its complaint is on stderr"
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for answer in map(json.loads, lines):
            kept = self._pids if "pid" in answer else self._codes
            kept[answer["number"]] = answer.get("pid", answer.get("code"))
        return True


# --- The server's side -------------------------------------------------------------------------------------------


def _serve(folder: Path) -> None:
    _warm_up(folder)
    threads = Path("/proc/self/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1, "forking wants a single thread"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests; without them stdin ends
    children: dict[int, int] = {}  # pid to the request's number
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    buffer = b""
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
        for pid, code in _ended():
            _answer(number=children.pop(pid), code=code)
        if 0 not in readable:
            continue
        received = os.read(0, 1 << 16)
        *lines, buffer = (buffer + received).split(b"\n")
        requests = list(map(json.loads, lines))
        if not received or _STOP in requests:
            break
        for request in requests:
            if "kill" in request:
                for pid in [pid for pid, number in children.items() if number == request["kill"]]:
                    os.kill(pid, request["signal"])
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(wake_read)
                os.close(wake_write)
                _become(request)
            children[pid] = request["number"]
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _answer(**content: int) -> None:
    os.write(1, json.dumps(content).encode() + b"\n")


def _ended() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def _warm_up(folder: Path) -> None:
    """Imports everything, by training once: what is imported late would otherwise be imported by every child."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = folder / "warm.toml"
    recipe.write_text(_WARM_RECIPE)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            code = _fewer(["train", str(recipe), "--out", str(folder / "warm")])
        except Exception as error:
            code = repr(error)
    for late in ("fewer.cli.display", "torch.distributed"):
        importlib.import_module(late)
    # A broken program must not break the server: the tests say what is wrong with it.
    if code:
        print(f"start server: the first run ended with {code}", file=sys.stderr)


def _become(request: dict[str, Any]) -> None:
    """The forked child: looks like a fresh process, does what was asked, and never returns."""
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (2, request["output"] + ".stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (1, request["output"] + ".stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o644)
        if descriptor == 1:
            _answer(number=request["number"], pid=os.getpid())  # only now may signals come
        os.dup2(opened, descriptor)
        os.close(opened)
    code = 1
    try:
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        if "call" in request:
            path, name = request["call"]
            with drawings(False):
                print(json.dumps(getattr(_module(path), name)(*request["argv"])))
            code = 0
        else:
            if request["forks"]:
                from scripts import fork_pythons

                fork_pythons()
            with drawings(request["report"]):
                code = _fewer(request["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _module(path: str) -> ModuleType:
    sys.path[:0] = [str(Path(path).parent), str(Path(__file__).parent)]  # as pytest does
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _fewer(arguments: list[str]) -> int:
    from fewer.cli import main

    sys.argv = ["fewer", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
