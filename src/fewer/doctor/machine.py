"""Checks of cores, memory, files and disk. Each judgement is a pure function of the facts."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fewer.doctor.result import FAIL, OK, WARN, CheckResult
from fewer.machine.device import usable_cores
from fewer.machine.loading import SHARE_OF_MEMORY_AHEAD, choose_loading
from fewer.machine.memory import CONTROL_GROUP, available_bytes, container_memory, machine_bytes

_GIB = 2**30
MEMORY_LOW, MEMORY_LEAST = 2 * _GIB, _GIB // 2
DISK_LOW, DISK_LEAST = 5 * _GIB, _GIB // 5
SHARED_LOW = _GIB // 4
FILES_LOW = 1024
_BATCH_IMAGES, _BATCH_SIDE_PX = 256, 224  # of a large batch, for the memory of loader processes
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def threads(stack: dict[str, Any]) -> CheckResult:
    return judge_threads(usable_cores(), core_quota(), os.environ.get("OMP_NUM_THREADS", ""), stack.get("threads"))


def judge_threads(cores: int, quota: float | None, asked: str, used: int | None) -> CheckResult:
    """Judges whether torch computes on all cores that it may use.

    Args:
        cores: Cores that this process may use.
        quota: Limit of its control group, in cores; None without a limit.
        asked: The environment variable OMP_NUM_THREADS.
        used: torch's threads; None if torch does not work.
    """
    usable = cores if quota is None else min(cores, max(1, int(quota)))
    limit = "" if quota is None else f", of which the container may use {quota:g}"
    what = f"{cores} cores{limit}; torch uses {'an unknown number of' if used is None else used} thread(s)"
    if asked:
        what += f" (OMP_NUM_THREADS={asked})"
    if used is not None and used > usable:
        return CheckResult("threads", WARN, f"{what}: they compete for the cores", f"export OMP_NUM_THREADS={usable}")
    if used is not None and asked and used < usable:
        return CheckResult("threads", WARN, f"{what}: {usable - used} core(s) stay idle", "unset OMP_NUM_THREADS")
    return CheckResult("threads", OK, what)


def memory() -> CheckResult:
    return judge_memory(machine_bytes(), *container_memory())


def judge_memory(free: int | None, limit: int | None, used: int | None) -> CheckResult:
    """Judges the free memory of the machine and of the container; None for an unknown or missing limit."""
    left = None if limit is None else max(0, limit - (used or 0))
    known = [value for value in (free, left) if value is not None]
    if not known:
        return CheckResult("memory", OK, "the free memory of this system is unknown")
    least = min(known)
    what = f"{least / _GIB:.1f} GiB available"
    if limit is not None and left == least:
        what += f" of the container's {limit / _GIB:.1f} GiB"
    fix = "close other programs, or give the container more (docker run --memory)"
    if least < MEMORY_LEAST:
        return CheckResult("memory", FAIL, f"{what}: torch alone needs about {MEMORY_LEAST / _GIB:g} GiB", fix)
    return CheckResult("memory", WARN, what, fix) if least < MEMORY_LOW else CheckResult("memory", OK, what)


def loader_memory() -> CheckResult:
    return judge_loader_memory(available_bytes(), usable_cores())


def judge_loader_memory(free: int | None, cores: int) -> CheckResult:
    """Judges whether the batches that loader processes read ahead fit into memory, if images are read from files.

    They share anonymous memory with the training process: the size of /dev/shm does not matter.
    """
    loading = choose_loading("no", "auto", 0, free, "cpu", cores, 1)
    needed = (loading.prefetched_batches + 1) * _BATCH_IMAGES * _BATCH_SIDE_PX**2 * 3
    what = (
        f"{loading.processes} by default, with {loading.prefetched_batches} batches ahead; {_size(needed)} at "
        f"{_BATCH_IMAGES} images of {_BATCH_SIDE_PX} px"
    )
    if free is not None and needed > free * SHARE_OF_MEMORY_AHEAD:
        fix = "set data.processes lower, or close other programs"
        return CheckResult("loader processes", WARN, f"{what}, more than half of the free {_size(free)}", fix)
    return CheckResult("loader processes", OK, what)


def shared_memory() -> CheckResult:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return judge_shared_memory(None, None)
    usage = shutil.disk_usage(folder)
    return judge_shared_memory(usage.total, usage.free if _writable(folder) else 0)


def judge_shared_memory(total: int | None, free: int | None) -> CheckResult:
    """Judges the room in /dev/shm, for torch's DataLoader in your own loop and for NCCL; None without /dev/shm."""
    if total is None or free is None:
        return CheckResult("shared memory", OK, "there is no /dev/shm; fewer's own loader processes need none")
    what = f"{_size(free)} of {_size(total)} free in /dev/shm"
    if free < SHARED_LOW:
        fix = "give the container more (docker run --shm-size=1g), or remove files there"
        return CheckResult("shared memory", WARN, f"{what}: little for torch's DataLoader and for NCCL", fix)
    return CheckResult("shared memory", OK, what)


def open_files() -> CheckResult:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_open_files(*(None if value == resource.RLIM_INFINITY else value for value in (soft, hard)))


def judge_open_files(soft: int | None, hard: int | None) -> CheckResult:
    """Judges the limits of this process; None for no limit."""
    if soft is not None and soft < FILES_LOW:
        most = 4096 if hard is None else min(hard, 4096)
        return CheckResult("open files", WARN, f"at most {soft}; loader processes may need more", f"ulimit -n {most}")
    return CheckResult("open files", OK, "no limit" if soft is None else f"at most {soft:,}")


def disk() -> CheckResult:
    wanted = Path("runs").absolute()
    there = next(path for path in (wanted, *wanted.parents) if path.exists())
    return judge_disk(str(wanted), there.is_dir() and _writable(there), shutil.disk_usage(there).free)


def judge_disk(folder: str, writable: bool, free: int) -> CheckResult:
    if not writable:
        return CheckResult(
            "disk", FAIL, f"{folder} cannot be written", "change the folder or its rights, or use --out DIR"
        )
    what = f"{_size(free)} free for {folder}"
    fix = "free some space, use --out DIR, or keep fewer checkpoints (out.keep = 1)"
    if free < DISK_LEAST:
        return CheckResult("disk", FAIL, what, fix)
    return CheckResult("disk", WARN, what, fix) if free < DISK_LOW else CheckResult("disk", OK, what)


def cache() -> CheckResult:
    from fewer.data.cache import cache_folder

    folder = cache_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return judge_cache(str(folder), there.is_dir() and _writable(there))


def judge_cache(folder: str, writable: bool) -> CheckResult:
    if writable:
        return CheckResult("cache", OK, f"{folder} can be written")
    what = f"{folder} cannot be written: the data is hashed again at every start"
    return CheckResult("cache", WARN, what, "make it writable, or set XDG_CACHE_HOME")


def allocator() -> CheckResult:
    try:
        pages = _HUGE_PAGES.read_text()
    except OSError:
        pages = ""
    preloaded = os.environ.get("LD_PRELOAD", "")
    return judge_allocator(platform.system(), platform.libc_ver()[0], pages, preloaded)


def judge_allocator(system: str, libc: str, huge_pages: str, preloaded: str) -> CheckResult:
    """Judges whether `fewer.machine.memory` can keep freed memory and use huge pages: CPU steps are faster then."""
    if system != "Linux":
        return CheckResult("allocator", OK, f"{system}'s own settings")
    other = next((name for name in ("jemalloc", "tcmalloc", "mimalloc") if name in preloaded), "")
    if other:
        return CheckResult("allocator", OK, f"{other} instead of glibc's")
    if libc != "glibc":
        return CheckResult(
            "allocator", WARN, "not glibc: freed memory is cleared again at each step", "use a glibc system"
        )
    if "[never]" in huge_pages:
        fix = f"echo madvise | sudo tee {_HUGE_PAGES}"
        return CheckResult(
            "allocator", WARN, "glibc keeps freed memory, but huge pages are off: CPU steps are slower", fix
        )
    mode = next((part.strip("[]") for part in huge_pages.split() if part.startswith("[")), "unknown")
    return CheckResult("allocator", OK, f"glibc keeps freed memory; huge pages: {mode}")


def core_quota(group: Path = CONTROL_GROUP) -> float | None:
    """Limit of the control group of this process in cores, by version 1 or 2; None without a limit."""
    try:
        quota, _, period = (group / "cpu.max").read_text().partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        micros = [int((group / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")]
        return micros[0] / micros[1] if micros[0] > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _writable(folder: Path) -> bool:
    """Whether a file can be created: tried, as rights alone do not decide."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
        return True
    except OSError:
        return False


def _size(value: float) -> str:
    return f"{value / _GIB:.1f} GiB" if value >= _GIB else f"{value / 2**20:.0f} MiB"
