"""Two hosts on one machine: Linux network namespaces at the ends of a cable, whose rate can be limited.

What goes through the cable is what would go through a wire: frames of up to 1,514 bytes. It takes the rights of root,
and `ip` and `tc` of iproute2.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_INTERFACE = "fewer0"
FRAME_BYTES = 1514  # of a full one, its headers included
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of <sched.h>
_BURST_SECONDS, _LEAST_BURST_BYTES = 0.001, 16 * 1024  # what may go ahead of the rate: a tick of the kernel's timers
_QUEUE = "400ms"  # what may wait behind a limit, before frames are lost


@dataclass(frozen=True, slots=True)
class Host:
    """One end of the cable.

    Attributes:
        name: Its namespace.
        address: Its address on the cable.
        interface: What its end of the cable is called.
    """

    name: str
    address: str
    interface: str = _INTERFACE

    def command(self, *words: str) -> list[str]:
        """A command line that runs on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    def enter(self) -> None:
        """Moves this process, which must have one thread, to the host, for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.name}") as space:
            if libc.setns(space.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), f"cannot enter network namespace {self.name}")
        os.environ["GLOO_SOCKET_IFNAME"] = self.interface

    def sent_bytes(self) -> int:
        """Bytes of all frames that it has sent, asked by a process that has entered it.

        Only without a limit are the headers of all frames counted.
        """
        with open("/proc/self/net/dev") as counters:
            numbers = next(line for line in counters if line.strip().startswith(f"{self.interface}:")).split(":")[1]
        return int(numbers.split()[8])  # behind eight numbers of what was received

    def resent_frames(self) -> int:
        """Frames among these that it sent again, as a busy machine's timers make it; asked like `sent_bytes`."""
        with open("/proc/self/net/snmp") as counters:
            names, numbers = (line.split() for line in counters if line.startswith("Tcp:"))
        return int(numbers[names.index("RetransSegs")])


def obstacle() -> str:
    """Why this machine cannot have such hosts; nothing where it can."""
    if not hasattr(os, "geteuid") or os.geteuid():
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "tc") if not shutil.which(tool)]
    if missing:
        return f"{' and '.join(missing)} of iproute2 not found"
    try:
        with two_hosts(1.0):
            return ""
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd[:3])} failed: {error.stderr.strip()}"


@contextmanager
def two_hosts(rate_mbit: float | None = None) -> Iterator[tuple[Host, Host]]:
    """Two hosts and the cable between them, gone afterwards.

    Args:
        rate_mbit: Million bits a second that each end sends at most, headers included; no limit if left out.
    """
    first, second = (Host(f"fewer-{os.getpid()}-{end}", f"10.0.0.{end}") for end in (1, 2))
    try:
        for host in (first, second):
            _run("ip", "netns", "add", host.name)
        ends = "name", _INTERFACE, "netns", first.name, "type", "veth", "peer", "name", _INTERFACE, "netns", second.name
        _run("ip", "link", "add", *ends)
        for host in (first, second):
            _run(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", _INTERFACE))
            _run(*host.command("ip", "link", "set", "lo", "up"))
            # The kernel hands over many frames at once; the limiter knows that, and counts all of their headers.
            one_by_one = () if rate_mbit else ("gso_max_segs", "1")
            _run(*host.command("ip", "link", "set", _INTERFACE, *one_by_one, "up"))
            if rate_mbit:
                burst = max(_LEAST_BURST_BYTES, round(rate_mbit * 1e6 / 8 * _BURST_SECONDS))
                limit = "rate", f"{rate_mbit:g}mbit", "burst", str(burst), "latency", _QUEUE
                _run(*host.command("tc", "qdisc", "add", "dev", _INTERFACE, "root", "tbf", *limit))
        yield first, second
    finally:
        for host in (first, second):
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
