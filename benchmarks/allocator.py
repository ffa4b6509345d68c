"""What `fewer.machine.memory` is worth: images/s and peak memory of `cnn` steps with and without its settings, in turn.

python benchmarks/allocator.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from common import keep, summary

VARIANTS = {"as found": "", "huge pages": "thp", "huge pages, freed memory kept": "both"}
CHILD = """
import json, os, sys, time
if sys.argv[1] == "thp":
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
if sys.argv[1] == "both":
    from fewer.machine.memory import keep_freed_memory
    keep_freed_memory()
import torch
from torch.nn import functional as F
from fewer.core.ledger import peak_memory_bytes
from fewer.models.nets.cnn import Cnn
batch = int(sys.argv[2])
model = Cnn(10, whiten=True).to(memory_format=torch.channels_last)
images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (batch,))
spent = []
for _ in range(max(5, 2048 // batch)):
    began = time.perf_counter()
    F.cross_entropy(model(images), labels).backward()
    model.zero_grad()
    spent.append(time.perf_counter() - began)
spent = sorted(spent[1:])
print(json.dumps({"images_per_second": batch / spent[len(spent) // 2], "peak": peak_memory_bytes()}))
"""


def measured(variant: str, batch: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, variant, str(batch)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for batch in (128, 1024):
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
        for _ in range(rounds):
            for name, variant in VARIANTS.items():
                found[name].append(measured(variant, batch))
        for name, results in found.items():
            speed = summary([result["images_per_second"] for result in results])
            peak = max(result["peak"] for result in results)
            print(
                f"batch {batch:5}, {name:30} {speed['median']:6.0f} images/s "
                f"({speed['lowest']:.0f} to {speed['highest']:.0f}), peak {peak / 2**30:.2f} GiB"
            )
            keep("allocator", batch=batch, variant=name, images_per_second=speed, peak_memory_bytes=peak)


if __name__ == "__main__":
    main()
