"""`fewer doctor`: what it makes of what it finds, and that a broken machine cannot break it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fewer.cli.doctor import doctor
from fewer.core.errors import ResourceError
from fewer.doctor import FAIL, OK, WARN, CheckResult, _results, machine, processes, software
from fewer.doctor.processes import answer, started
from server import Server

GIB = 2**30
SUM = {"sum": 3.0, "seconds": 1.0}
STACK = {"torch": "2.12.0", "threads": 2, "device": "cpu", "bf16": False, "capability": "AVX2", "nms": [1, 2]}


@pytest.mark.parametrize(
    ("finding", "verdict", "parts"),
    [
        (software.judge_python((3, 11), "3.11.1"), OK, ["3.11.1"]),
        (software.judge_python((3, 10), "3.10.2"), FAIL, ["3.10.2", "Python 3.11"]),
        (software.judge_torch("2.10.0+cpu"), OK, ["2.10.0"]),
        (software.judge_torch("3.0"), OK, ["3.0"]),
        (software.judge_torch("2.9.1"), FAIL, ["2.9.1", "torch>=2.10"]),
        (software.judge_torch(None), FAIL, ["not installed", "pip install"]),
        (software.judge_pairing("2.12.1+cu126", "0.27.0"), OK, ["0.27.0"]),
        (software.judge_pairing("2.12.1", "0.26.1"), FAIL, ["needs 0.27", "torchvision==0.27.*"]),
        (software.judge_pairing("2.12.1", None), FAIL, ["pip install torchvision"]),
        (software.judge_pairing(None, "0.27.0"), WARN, ["without torch"]),
        (software.judge_pairing("3.1", "1.1"), WARN, ["3.1"]),
        (software.judge_formats([]), OK, []),
        (software.judge_formats(["WebP"]), WARN, ["WebP"]),
        (software.judge_formats(["JPEG", "WebP"]), FAIL, ["pillow"]),
        (software.torch_imports(STACK), OK, []),
        (software.torch_imports({"error": "ImportError: libtorch_cpu.so"}), FAIL, ["libtorch_cpu.so", "pip install"]),
        (software.torchvision_imports(STACK), OK, []),
        (software.torchvision_imports({**STACK, "nms": [0]}), FAIL, ["[0]"]),
        (
            software.torchvision_imports({"device": "cpu", "error": "operator nms does not exist"}),
            FAIL,
            ["nms does not"],
        ),
        (software.torchvision_imports({"error": "x"}), WARN, ["torch does not work"]),
        (software.precision(STACK), OK, ["does not", '"auto" is fp32']),
        (software.precision({**STACK, "bf16": True}), OK, ['"auto" is bf16']),
        (software.judge_device(STACK, driver=""), OK, ["CPU"]),
        (software.judge_device(STACK, driver="550.1"), WARN, ["550.1", "a CPU build"]),
        (software.judge_device({**STACK, "built_for_cuda": "12.6"}, driver="450.1"), WARN, ["CUDA 12.6", "--gpus"]),
        (software.judge_device({**STACK, "gpus": ["A100"]}, driver="550.1"), OK, ["A100", "550.1"]),
        (software.judge_compiler(None, True, ""), WARN, ["g++", "train.compile"]),
        (software.judge_compiler("/bin/g++", False, ""), WARN, ["Python.h"]),
        (software.judge_compiler("/bin/g++", True, "omp.h: no such file"), WARN, ["omp.h", "OpenMP"]),
        (software.judge_compiler("/bin/g++", True, ""), OK, ["/bin/g++"]),
        (software.judge_extra("timm", None), OK, ["pip install timm"]),
        (software.judge_extra("datasets", None), OK, ["pip install datasets"]),
        (software.judge_extra("tensorboard", None), OK, ["pip install tensorboard"]),
        (software.judge_extra("timm", "1.0"), OK, ["1.0"]),
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
        (processes.judge_sums("gloo", [SUM] * 2), OK, ["2 process"]),
        (
            processes.judge_sums("gloo", [SUM, {**SUM, "sum": 2.0}]),
            FAIL,
            ["2.0", "3"],
        ),
        (processes.judge_sums("gloo", [{"error": "Connection refused"}] * 2), FAIL, ["refused", "GLOO_SOCKET_IFNAME"]),
        (processes.judge_sums("nccl", [{"error": "x"}]), FAIL, ["NCCL_SOCKET_IFNAME"]),
    ],
)
def test_judgements(finding: CheckResult, verdict: str, parts: list[str]) -> None:
    """Whatever is not in order comes with a fix, unless there is none."""
    assert finding.verdict == verdict
    for part in parts:
        assert part in f"{finding.what} {finding.fix}"
    if verdict == FAIL:
        assert finding.fix


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


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({"memory.max": "1000", "memory.current": "400"}, (1000, 400)),
        ({"memory.max": "max", "memory.current": "400"}, (None, None)),
        ({"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "400"}, (1000, 400)),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "4"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_memory_limit_of_either_version(tmp_path: Path, files: dict[str, str], memory: Any) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine._group_memory(tmp_path) == memory


def test_a_check_that_breaks_is_a_finding() -> None:
    def broken() -> CheckResult:
        raise ZeroDivisionError("odd machine")

    (finding,) = _results(broken)
    assert (finding.name, finding.verdict) == ("broken", WARN)
    assert "odd machine" in finding.what


def _process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os; os.kill(os.getpid(), 9)", "it ended with signal 9"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("raise ImportError('libcudart.so.12')", "ImportError: libcudart.so.12"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_what_a_probe_said_before_it_broke_counts(code: str, error: str) -> None:
    said = "print('chatter'); print('{\"device\": \"cpu\"}', flush=True)"
    assert answer(_process(f"{said}; {code}"), 1 if "sleep" in code else 30) == {"device": "cpu", "error": error}


def test_a_broken_torch_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch_cpu.so: cannot open shared object file')\n")
    stack = answer(started("stack", {"PYTHONPATH": f"{tmp_path}:{Path(machine.__file__).parents[2]}"}), 60)
    assert "libtorch_cpu.so" in stack["error"]
    assert software.torch_imports(stack).verdict == FAIL
    for finding in (software.torchvision_imports(stack), software.precision(stack), processes.gloo(stack)):
        assert (finding.verdict, finding.fix) == (WARN, "")


def test_the_compiler_is_really_tried(tmp_path: Path) -> None:
    fake = tmp_path / "g++"
    fake.write_text("#!/bin/sh\necho 'cannot find omp.h' >&2\nexit 1\n")
    fake.chmod(0o755)
    assert software._compiles(str(fake)) == "cannot find omp.h"
    assert software._compiles(str(tmp_path / "none")) == "No such file or directory"


def test_doctor_on_this_machine(server: Server, tmp_path: Path) -> None:
    """Every check runs; gloo and torchvision's operators are really tried. The runs folder cannot be made."""
    (tmp_path / "runs").write_text("in the way")
    ended = server.run("doctor", "--json", cwd=tmp_path)
    found = {finding["name"]: finding for finding in ended.json["findings"]}
    assert found.keys() >= {"python", "torch", "torchvision", "threads", "memory", "compiler", "timm"}
    assert [found[name]["verdict"] for name in ("torch works", "torchvision ops", "gloo")] == ["ok", "ok", "ok"]
    assert "2 process(es) summed" in found["gloo"]["what"]
    assert "could not be checked" not in ended.stdout
    assert "disk" in ended.json["failed"]
    assert ended.code == 6
    assert "doctor: " in ended.stderr


def test_findings_in_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters do not reach the terminal; warnings alone are no failure."""
    found = [CheckResult("python", OK, "3.12"), CheckResult("disk", WARN, "low\x1b[2J", "free some")]
    monkeypatch.setattr("fewer.doctor.check_results", lambda: iter(found))
    assert doctor() == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    python          3.12",
        "warn  disk            low\\x1b[2J",
        "                      fix: free some",
    ]
    found.append(CheckResult("gloo", FAIL, "no", "yes"))
    with pytest.raises(ResourceError, match="doctor: gloo"):
        doctor()
