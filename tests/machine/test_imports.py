"""Imports of torch's libraries, less what nobody asked of them."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import torch
from fewer import models
model = models.build("resnet18", 2, 64)
assert "torchvision" in sys.modules
assert not [name for name in sys.modules if name.startswith("torch._dynamo")], "no stand-in is left, and no compiler"
boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
from torchvision.ops import roi_align
assert roi_align(torch.ones(1, 1, 8, 8), boxes, 2).shape == (1, 1, 2, 2)
from torchvision.ops.roi_align import is_compile_supported
assert isinstance(is_compile_supported("cpu"), bool), "torch's own function answers"
import torch._dynamo
assert torch._dynamo.__file__ and torch._dynamo.utils.is_compile_supported is not is_compile_supported
print(type(model).__name__)
"""


def test_torchvision_comes_without_the_compiler_until_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == "ResNet\n", done.stderr
