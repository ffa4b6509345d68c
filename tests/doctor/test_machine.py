"""Checks of cores, memory, files and disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.doctor import FAIL, OK, WARN, CheckResult, machine
from judgements import check_judgement

GIB = 2**30


@pytest.mark.parametrize(
    ("result", "verdict", "parts"),
    [
        (machine.judge_threads(8, None, "", 8), OK, ["8 cores"]),
        (machine.judge_threads(8, 2.5, "", 8), WARN, ["2.5", "OMP_NUM_THREADS=2"]),
        (machine.judge_threads(8, 0.5, "", 1), OK, ["0.5"]),
        (machine.judge_threads(4, None, "16", 16), WARN, ["OMP_NUM_THREADS=4"]),
        (machine.judge_threads(4, None, "1", 1), WARN, ["3 core(s)", "unset"]),
        (machine.judge_threads(8, None, "", 4), OK, []),  # hyper-threads: torch takes whole cores
        (machine.judge_threads(8, None, "", None), OK, ["unknown"]),
        (machine.judge_memory(16 * GIB, None, None), OK, ["16.0 GiB"]),
        (machine.judge_memory(16 * GIB, 2 * GIB, GIB), WARN, ["1.0 GiB", "container's 2.0 GiB"]),
        (machine.judge_memory(GIB // 4, None, None), FAIL, ["0.2 GiB"]),
        (machine.judge_memory(GIB, GIB, 2 * GIB), FAIL, ["0.0 GiB"]),
        (machine.judge_memory(None, None, None), OK, ["unknown"]),
        (machine.judge_loader_memory(GIB // 2, 8), WARN, ["4 by default", "8 batches", "512 MiB", "data.processes"]),
        (machine.judge_loader_memory(8 * GIB, 8), OK, ["331 MiB"]),
        (machine.judge_loader_memory(None, 1), OK, ["1 by default"]),
        (machine.judge_shared_memory(64 * 2**20, 64 * 2**20), WARN, ["64 MiB", "--shm-size"]),
        (machine.judge_shared_memory(8 * GIB, 0), WARN, ["0 MiB of 8.0 GiB", "remove"]),
        (machine.judge_shared_memory(8 * GIB, 8 * GIB), OK, ["8.0 GiB"]),
        (machine.judge_shared_memory(None, None), OK, ["no /dev/shm"]),
        (machine.judge_open_files(256, None), WARN, ["256", "ulimit -n 4096"]),
        (machine.judge_open_files(256, 512), WARN, ["ulimit -n 512"]),
        (machine.judge_open_files(1024, 4096), OK, ["1,024"]),
        (machine.judge_open_files(None, None), OK, ["no limit"]),
        (machine.judge_disk("/runs", False, 100 * GIB), FAIL, ["/runs", "--out"]),
        (machine.judge_disk("/runs", True, GIB), WARN, ["1.0 GiB", "out.keep"]),
        (machine.judge_disk("/runs", True, 1000), FAIL, ["out.keep"]),
        (machine.judge_disk("/runs", True, 100 * GIB), OK, ["100.0 GiB"]),
        (machine.judge_cache("/cache", False), WARN, ["/cache", "XDG_CACHE_HOME"]),
        (machine.judge_cache("/cache", True), OK, ["/cache"]),
        (machine.judge_allocator("Linux", "glibc", "always [madvise] never", ""), OK, ["madvise"]),
        (machine.judge_allocator("Linux", "glibc", "always madvise [never]", ""), WARN, ["huge pages are off", "tee"]),
        (machine.judge_allocator("Linux", "", "", ""), WARN, ["not glibc"]),
        (machine.judge_allocator("Linux", "glibc", "", "/lib/libjemalloc.so.2"), OK, ["jemalloc"]),
        (machine.judge_allocator("Darwin", "", "", ""), OK, ["Darwin"]),
    ],
)
def test_judgements(result: CheckResult, verdict: str, parts: list[str]) -> None:
    check_judgement(result, verdict, parts)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "gibberish"}, None),
        ({}, None),
    ],
)
def test_core_quota_of_either_version(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.core_quota(tmp_path) == quota
