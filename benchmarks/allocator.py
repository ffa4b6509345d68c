"""Speed and peak memory of `cnn` steps with and without the settings of `fewer.machine.memory`.

    python benchmarks/allocator.py [--rounds 3]

The variants take turns, each in a process of its own. One line a batch size and variant in results/allocator.jsonl.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

from common import Results, parsed, parser, ran, summary

VARIANTS = {"as found": "none", "huge pages": "thp", "huge pages, freed memory kept": "both"}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--batches", type=int, nargs="+", default=[128, 1024], metavar="SIZE")
    command.add_argument("--images", type=int, default=2048, help="images a process trains on, but five steps at least")
    command.add_argument("--variant", help="used by the script itself: measures this variant in this process")
    args = parsed(command, "--rounds=1", "--images=1", "--batches", "2")
    if args.variant:
        print(json.dumps(measured(args.variant, args.batches[0], args.images)))
        return
    results = Results("allocator", args.smoke)
    for batch in args.batches:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
        for _ in range(args.rounds):
            for name, variant in VARIANTS.items():
                child = ran(__file__, "--variant", variant, "--batches", batch, "--images", args.images)
                found[name].append(json.loads(child))
        for name, turns in found.items():
            speed = summary([turn["images_per_second"] for turn in turns])
            peak = max(turn["peak"] for turn in turns)
            print(
                f"batch {batch:5}, {name:30} {speed['median']:6.0f} images/s "
                f"({speed['lowest']:.0f} to {speed['highest']:.0f}), peak {peak / 2**30:.2f} GiB"
            )
            results.keep(batch=batch, variant=name, images_per_second=speed, peak_memory_bytes=peak)


def measured(variant: str, batch: int, images: int) -> dict[str, float]:
    """Median speed of a step, and the process's peak memory."""
    if variant == "thp":
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    if variant == "both":
        from fewer.machine.memory import keep_freed_memory

        keep_freed_memory()
    import torch  # only now: the settings count from its import on
    from torch.nn import functional as F

    from fewer.core.ledger import peak_memory_bytes
    from fewer.models.nets.cnn import Cnn

    model = Cnn(10, whiten=True).to(memory_format=torch.channels_last)
    image_BCHW = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    label_B = torch.randint(0, 10, (batch,))
    spent = []
    for _ in range(max(5, images // batch)):
        began = time.perf_counter()
        F.cross_entropy(model(image_BCHW), label_B).backward()
        model.zero_grad()
        spent.append(time.perf_counter() - began)
    return {"images_per_second": batch / statistics.median(spent[1:]), "peak": peak_memory_bytes()}


if __name__ == "__main__":
    main()
