"""Checks of Python, torch and other software. Each judgement is a pure function of the facts."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fewer.doctor.result import FAIL, OK, WARN, CheckResult
from fewer.machine.precision import auto_precision

PYTHON_FLOOR, TORCH_FLOOR = (3, 11), (2, 10)
VISION_OFFSET = 15  # torchvision 0.(N + 15) is built for torch 2.N
EXTRAS = {  # an optional package, and its use
    "timm": "models named timm:NAME",
    "segmentation-models-pytorch": "models named smp:NAME",
    "datasets": "data from hf:NAME",
    "tensorboard": "out.tensorboard = true",
    "pandas": "fewer.load_runs",
    "optuna": "fewer tune",
    "obstore": "s3:// addresses",
}
_COMPILE_SECONDS = 60.0
_PROGRAM = "#include <omp.h>\n#include <vector>\nint main() { return std::vector<int>(1).size() - 1; }\n"


def python() -> CheckResult:
    return judge_python(sys.version_info[:2], f"{platform.python_version()}, {sys.executable}")


def judge_python(found: tuple[int, ...], text: str) -> CheckResult:
    if found < PYTHON_FLOOR:
        floor = ".".join(map(str, PYTHON_FLOOR))
        return CheckResult("python", FAIL, text, f"install Python {floor} or newer and make a new environment with it")
    return CheckResult("python", OK, text)


def torch_version() -> CheckResult:
    return judge_torch(_installed("torch"))


def judge_torch(found: str | None) -> CheckResult:
    floor = ".".join(map(str, TORCH_FLOOR))
    if found is None:
        return CheckResult("torch", FAIL, "not installed", f'pip install "torch>={floor}" torchvision')
    numbers = _numbers(found)
    if numbers is None or numbers < TORCH_FLOOR:
        return CheckResult(
            "torch", FAIL, f"{found}; {floor} or newer is needed", f'pip install -U "torch>={floor}" torchvision'
        )
    return CheckResult("torch", OK, found)


def torchvision_version() -> CheckResult:
    return judge_pairing(_installed("torch"), _installed("torchvision"))


def judge_pairing(torch: str | None, torchvision: str | None) -> CheckResult:
    """torchvision is compiled against one minor version of torch; with another, its operators do not load."""
    have, vision = _numbers(torch or ""), _numbers(torchvision or "")
    if torchvision is None or vision is None:
        return CheckResult("torchvision", FAIL, torchvision or "not installed", "pip install torchvision")
    if have is None:
        return CheckResult("torchvision", WARN, f"{torchvision}, without torch to pair it with", "pip install torch")
    if have[0] != 2:
        return CheckResult("torchvision", WARN, f"{torchvision}; the version for torch {torch} is not known here")
    wanted = (0, have[1] + VISION_OFFSET)
    if vision != wanted:
        right = ".".join(map(str, wanted))
        return CheckResult(
            "torchvision",
            FAIL,
            f"{torchvision} does not fit torch {torch}, which needs {right}",
            f'pip install "torchvision=={right}.*"',
        )
    return CheckResult("torchvision", OK, f"{torchvision}, the one for torch {torch}")


def image_formats() -> CheckResult:
    from PIL import features

    names = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "libtiff": "TIFF"}
    missing = [name for feature, name in names.items() if not features.check(feature)]
    return judge_formats(missing)


def judge_formats(missing: list[str]) -> CheckResult:
    if not missing:
        return CheckResult("image formats", OK, "JPEG, PNG, WebP and TIFF can be decoded")
    verdict = FAIL if {"JPEG", "PNG"} & set(missing) else WARN
    return CheckResult(
        "image formats",
        verdict,
        f"Pillow was built without {', '.join(missing)}",
        "pip install --force-reinstall pillow",
    )


def torch_imports(stack: dict[str, Any]) -> CheckResult:
    if "device" in stack:
        return CheckResult("torch works", OK, "it can be imported")
    error = stack.get("error", "no answer")
    return CheckResult(
        "torch works", FAIL, f"it cannot be imported: {error}", "pip install --force-reinstall torch torchvision"
    )


def torchvision_imports(stack: dict[str, Any]) -> CheckResult:
    name = "torchvision ops"
    if stack.get("nms") == [1, 2]:
        return CheckResult(name, OK, "its operators load (nms)")
    if "device" not in stack:
        return CheckResult(name, WARN, "not tried, because torch does not work")
    what = stack.get("error") or f"nms gave {stack.get('nms')} where [1, 2] is right"
    return CheckResult(name, FAIL, f"its operators do not work: {what}", "install the torchvision that fits torch")


def precision(stack: dict[str, Any]) -> CheckResult:
    if "bf16" not in stack:
        return CheckResult("precision", WARN, "not known, because torch does not work")
    auto = auto_precision(stack["device"], stack["bf16"])
    native = "multiplies bfloat16 natively" if stack["bf16"] else "does not multiply bfloat16 natively"
    return CheckResult(
        "precision", OK, f'{stack["device"]} ({stack["capability"]}) {native}: precision "auto" is {auto}'
    )


def device(stack: dict[str, Any]) -> CheckResult:
    return judge_device(stack, driver=_nvidia_driver())


def judge_device(stack: dict[str, Any], driver: str) -> CheckResult:
    if "device" not in stack:
        return CheckResult("device", WARN, "not known, because torch does not work")
    gpus = stack.get("gpus", [])
    if gpus:
        return CheckResult("device", OK, f"{len(gpus)} GPU(s): {', '.join(gpus)}; driver {driver or 'unknown'}")
    if driver and not stack.get("built_for_cuda"):
        return CheckResult(
            "device",
            WARN,
            f"there is an NVIDIA driver ({driver}), but this torch is a CPU build",
            "install a torch with CUDA, see pytorch.org/get-started",
        )
    if driver:
        return CheckResult(
            "device",
            WARN,
            f"torch finds no GPU, but there is an NVIDIA driver ({driver})",
            "update the driver to one for "
            f"CUDA {stack['built_for_cuda']}, check CUDA_VISIBLE_DEVICES, or start the container with --gpus all",
        )
    return CheckResult("device", OK, "no GPU found: the CPU trains")


def compiler() -> CheckResult:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    header = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return judge_compiler(found, header, _compiles(found) if found else "")


def judge_compiler(found: str | None, header: bool, complaint: str) -> CheckResult:
    """Judges the needs of `train.compile`; training without it needs none of them."""
    without = "train.compile will not work"
    if found is None:
        return CheckResult("compiler", WARN, f"no C++ compiler: {without}", "install g++ (apt install g++), or set CXX")
    if complaint:
        return CheckResult(
            "compiler", WARN, f"{found} fails: {complaint}: {without}", "install g++ with OpenMP, or set CXX"
        )
    if not header:
        return CheckResult(
            "compiler", WARN, f"{found}, but Python.h is missing: {without}", "install Python's headers (python3-dev)"
        )
    return CheckResult("compiler", OK, f"{found} compiles for train.compile")


def extras() -> list[CheckResult]:
    return [judge_extra(name, _installed(name)) for name in EXTRAS]


def judge_extra(name: str, found: str | None) -> CheckResult:
    if found:
        return CheckResult(name, OK, f"{found}, for {EXTRAS[name]}")
    return CheckResult(name, OK, f"not installed; only {EXTRAS[name]} needs it: pip install {name}")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _nvidia_driver() -> str:
    """The driver's version; "" without a driver."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return "present" if shutil.which("nvidia-smi") else ""
    match = re.search(r"\s(\d+\.\d+[\d.]*)\s", text)
    return match[1] if match else "present"


def _compiles(compiler: str) -> str:
    """The compiler's complaint about a small OpenMP program; "" if it has none."""
    with tempfile.TemporaryDirectory(prefix="fewer-doctor-") as folder:
        source = Path(folder, "probe.cpp")
        source.write_text(_PROGRAM)
        command = [compiler, "-fopenmp", "-fPIC", str(source), "-o", str(source.with_suffix(""))]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"no answer within {_COMPILE_SECONDS:.0f} s"
        except OSError as error:
            return error.strerror or str(error)
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        return "" if not ended.returncode else (lines[0] if lines else f"exit code {ended.returncode}")
