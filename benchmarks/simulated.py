"""Time and memory of several workers that one process simulates, beside one worker with the same batches and samples.

    python benchmarks/simulated.py [--workers 8] [--rounds 5]

One worker trains the small net of scaling.py with batches of `--batch` images; K workers that agree every 8 steps train
it with batches of the same size each, on as many samples in all. Runs take turns, each in a process of its own with one
thread; a round's ratio is that of the seconds that batches took, and the median counts. Memory is the most that the
process held; what K sets of weights and momentum take is stated beside it. One line in results/simulated.jsonl.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from common import Results, parsed, parser, summary
from scaling import SMALL, ledger, rate, started

from fewer.models.nets.cnn import Cnn


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--workers", type=int, default=8)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--batch", type=int, default=32, help="images of a worker in a step")
    command.add_argument("--epochs", type=int, default=4)
    command.add_argument("--width", type=float, default=0.5)
    args = parsed(command, "--workers=2", "--rounds=1", "--epochs=1", "--width=0.1", "--batch=64")
    results = Results("simulated", args.smoke)
    keys = {
        1: [f"train.batch_size={args.batch}"],
        args.workers: [
            f"train.batch_size={args.batch * args.workers}",
            "sync.method=local_sgd",
            "sync.every_steps=8",
            f"sync.workers={args.workers}",
        ],
    }
    images_per_s: dict[int, list[float]] = {workers: [] for workers in keys}
    memory_bytes: dict[int, list[int]] = {workers: [] for workers in keys}
    with tempfile.TemporaryDirectory(prefix="fewer-simulated-") as place:
        recipe = Path(place) / "small.toml"
        recipe.write_text(SMALL.replace("EPOCHS", str(args.epochs)).replace("WIDTH", str(args.width)), encoding="utf-8")
        for turn in range(args.rounds):
            for workers, of_run in keys.items():
                out = Path(place) / f"{workers}-{turn}"
                spent = ledger(started(recipe, out, 1, of_run), out)
                images_per_s[workers].append(rate(spent))
                memory_bytes[workers].append(spent["peak_memory_bytes"])
    ratio = statistics.median(
        one / several for one, several in zip(images_per_s[1], images_per_s[args.workers], strict=True)
    )
    more = statistics.median(memory_bytes[args.workers]) - statistics.median(memory_bytes[1])
    weights = sum(p.numel() for p in Cnn(10, width=args.width).parameters())
    states = (args.workers - 1) * 2 * 4 * weights  # weights and momentum of the further workers, in fp32
    print(
        f"{args.workers} workers take {ratio:.2f} of one worker's time; memory {more / 2**20:+.0f} MiB, "
        f"of which weights and momentum {states / 2**20:.0f} MiB"
    )
    results.keep(
        workers=args.workers,
        batch=args.batch,
        width=args.width,
        time_ratio=round(ratio, 3),
        images_per_s={str(workers): summary(values) for workers, values in images_per_s.items()},
        more_memory_bytes=more,
        state_bytes=states,
    )


if __name__ == "__main__":
    main()
