"""A run that compiles nothing does not import torch's compiler, and steps as torch's own optimizers do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, torch
from fewer.fit import fit
from fewer.reading import parse_recipe
from fewer import eager

fit(parse_recipe({
    "data": {"source": "digits", "test": "93%", "val": "none", "cache": "no"},
    "model": {"name": "cnn", "width": 0.1},
    "train": {"epochs": 1, "batch_size": 32, "lr": 0.05},
}), sys.argv[1])

def stepped(kind, step):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = kind(layer.parameters(), lr=0.1)
    for i in range(3):
        optimizer.zero_grad()
        layer(torch.ones(4, 3) * i).square().sum().backward()
        step(optimizer)
    return torch.cat([value.detach().flatten() for value in layer.parameters()])

class Own(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)

kinds = [torch.optim.SGD, torch.optim.AdamW]
without = [stepped(kind, eager.step_once) for kind in kinds]
assert not {"torch._dynamo", "torch._inductor", "torchvision"} & set(sys.modules)
hooked = []
def hook_and_step(optimizer):
    optimizer.register_step_post_hook(lambda *_: hooked.append(1))
    eager.step_once(optimizer)
stepped(torch.optim.SGD, hook_and_step)
assert hooked, "hooks are called"
expected = [stepped(kind, lambda optimizer: optimizer.step()) for kind in kinds]
assert "torch._dynamo" in sys.modules, "torch has changed: fewer.eager may be needed no more"
assert all(map(torch.equal, without, expected))
# From here on torch keeps its compiler out of these functions again.
function = torch.optim.Optimizer.zero_grad.__wrapped__
assert "fewer.eager" not in getattr(function, "__dynamo_disable").__module__
assert torch.equal(stepped(Own, eager.step_once), expected[0])
"""


def test_a_run_that_compiles_nothing_does_not_import_the_compiler(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
