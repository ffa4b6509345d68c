"""Checks of Python, torch and the compiler, on sound and on broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.doctor import FAIL, OK, WARN, CheckResult, machine, processes, software
from fewer.doctor.processes import answer, started
from judgements import check_judgement

STACK = {"torch": "2.12.0", "threads": 2, "device": "cpu", "bf16": False, "capability": "AVX2", "nms": [1, 2]}


@pytest.mark.parametrize(
    ("result", "verdict", "parts"),
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
    ],
)
def test_judgements(result: CheckResult, verdict: str, parts: list[str]) -> None:
    check_judgement(result, verdict, parts)


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
