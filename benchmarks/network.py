"""Time of a step on slow networks beside what `fewer advise` says of it; needs root, for network namespaces.

    python benchmarks/network.py [--rates 10 100 1000] [--models lenet5 cnn]

Two hosts, each a network namespace with one process of one thread, are joined by a cable of 10, 100 or 1000 Mbit/s. On
each of them `fewer advise` measures the network and says what a step will take; then `fewer train` trains some steps,
every step exchanging gradients, with gradients in half the bytes, and with 16 local steps. One line a model and rate in
results/network.jsonl; what is there already is left out, so that a call goes on where another was stopped. Some seven
minutes in all on two cores that do nothing else. A smoke run takes the loopback interface, needs no root, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common import ROOT, Results, parsed, parser, photos

from fewer.sync.launch import free_port
from fewer.testing.hosts import Host, obstacle, two_hosts

CLASSES = 10
BATCH = {"lenet5": 128, "cnn": 32}  # of both hosts
CELLS: dict[str, dict[str, Any]] = {
    "every step": {"method": "every_step"},
    "compressed": {"method": "every_step", "gradients": "bf16"},
    "H = 16": {"method": "local_sgd", "every_steps": 16},
}
STEPS = {10: 2, 100: 4}  # of an epoch with an exchange in every step; a faster network allows more
MORE_STEPS = 8


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rates", nargs="+", type=float, default=[10, 100, 1000], metavar="MBIT")
    command.add_argument("--models", nargs="+", choices=sorted(BATCH), default=["lenet5", "cnn"])
    command.add_argument("--cells", nargs="+", choices=sorted(CELLS), default=list(CELLS))
    command.add_argument("--epochs", type=int, default=4, help="the first warms up, each of the others is measured")
    command.add_argument("--batch", type=int, help="images of a step in place of 128 of lenet5 and 32 of cnn")
    command.add_argument("--seconds", type=float, default=0.5, help="for which `advise` rehearses each method")
    args = parsed(
        command, "--rates=0", "--models=lenet5", "--cells=every step", "--epochs=2", "--batch=4", "--seconds=0"
    )
    skipped = "a smoke run makes no hosts" if args.smoke else ""
    if not args.smoke and (reason := obstacle()):
        sys.exit(f"{reason}; nothing was measured")
    results = Results("network", args.smoke)
    steps = max(steps_of(CELLS[name], rate) for name in args.cells for rate in args.rates)
    images = steps * (args.batch or max(BATCH.values()))
    with photos(CLASSES, images // CLASSES + 1, side_px=32) as folder:
        for model in args.models:
            for rate in args.rates:
                if any((line["model"], line["mbit"]) == (model, rate) for line in results.lines):
                    continue
                with hosts(rate, skipped) as pair:
                    found = measured(pair, model, rate, folder, args)
                show(results.keep(model=model, mbit=rate, batch=args.batch or BATCH[model], skipped=skipped, **found))


@contextmanager
def hosts(rate_mbit: float, skipped: str) -> Iterator[Sequence[Host | None]]:
    """Two hosts; None stands for this machine, where there are to be no others."""
    if skipped:
        print(f"skipped: {skipped}; both processes are on this machine")
        yield None, None
        return
    with two_hosts(rate_mbit) as pair:
        yield pair


def measured(
    pair: Sequence[Host | None], model: str, rate: float, folder: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """What is predicted and what is measured, both in seconds a step, and whether the advice holds."""
    with tempfile.TemporaryDirectory(prefix="fewer-network-") as work:
        recipe = Path(work, f"{model}.toml")
        batch = args.batch or BATCH[model]
        recipe.write_text(recipe_of(model, folder, batch, args.epochs), encoding="utf-8")
        flags = "--json", "--local-steps", "16", "--seconds", str(args.seconds)
        document = json.loads(ranks(pair, "advise", str(recipe), *flags))
        cells = {}
        for name in args.cells:
            said = [row for row in document["methods"] if row["sync"] == CELLS[name]]
            if not said:
                print(f"skipped: {name}: `fewer advise` does not know it")
                continue
            steps = steps_of(CELLS[name], rate)
            seconds = trained(pair, recipe, Path(work, name.replace(" ", "")), CELLS[name], steps, batch)
            predicted = said[0]["step_seconds"]
            cells[name] = {
                "predicted": predicted,
                "measured": statistics.median(seconds),
                "epochs": seconds,
                "error": predicted / statistics.median(seconds) - 1,
                "sent_bytes": said[0]["sent_bytes"],
            }
    by = {key: min(cells, key=lambda name: cells[name][key]) for key in ("predicted", "measured")}
    fastest = cells[by["measured"]]["measured"]
    return {
        "network": document["network"],
        "compute": document["compute"]["step"],
        "cells": cells,
        "predicted_fastest": by["predicted"],
        "fastest": by["measured"],
        # How much slower what is advised is than what is fastest: nothing where it is the same.
        "regret": cells[by["predicted"]]["measured"] / fastest - 1,
    }


def trained(
    pair: Sequence[Host | None], recipe: Path, out: Path, sync: Mapping[str, Any], steps: int, batch: int
) -> list[float]:
    """Seconds of a step in each epoch but the first."""
    keys, images = [f"sync.{key}={value}" for key, value in sync.items()], f"data.subset={steps * batch}"
    ranks(pair, "train", str(recipe), *keys, images, "--out", str(out), "--json")
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    return [batch / row["images_per_second"] for row in rows if row["kind"] == "epoch"][1:]


def steps_of(sync: Mapping[str, Any], rate: float) -> int:
    """Steps of an epoch: one round, or as many as a measurement takes."""
    return int(sync.get("every_steps", STEPS.get(round(rate), MORE_STEPS)))


def recipe_of(model: str, folder: Path, batch: int, epochs: int) -> str:
    return (
        f'[data]\nsource = "folder:{folder}"\ntest = "none"\nval = "none"\ncache = "no"\n'
        f'[model]\nname = "{model}"\n'
        f'[train]\nepochs = {epochs}\nbatch_size = {batch}\nlr = 0.01\nwarmup = "0%"\n'
        'schedule = "constant"\nprecision = "fp32"\n'
        "[augment]\ncrop_padding_px = 2\n"
        '[out]\nplots = false\npreviews = false\ncheckpoint_every = "1000ep"\n'
    )


def ranks(pair: Sequence[Host | None], *arguments: str) -> str:
    """Runs `fewer ARGUMENTS` as two ranks, one a host; returns what rank 0 prints, or ends the script if one fails."""
    address = pair[0].address if pair[0] else "127.0.0.1"
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": address,
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "LOCAL_RANK": "0",
    }
    shared["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # it warns that addresses without a name have none
    if pair[0]:
        shared["GLOO_SOCKET_IFNAME"] = pair[0].interface
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in pair]
        started = []
        for rank, host in enumerate(pair):
            words = [sys.executable, "-m", "fewer", *arguments]
            environment = {**os.environ, **shared, "RANK": str(rank), "PYTHONPATH": str(ROOT / "src")}
            streams = {"stdout": subprocess.PIPE if rank == 0 else subprocess.DEVNULL, "stderr": said[rank]}
            started.append(
                subprocess.Popen(host.command(*words) if host else words, env=environment, text=True, **streams)
            )
        printed = [process.communicate()[0] for process in started]
        for rank, process in enumerate(started):
            if process.returncode:
                said[rank].seek(0)
                sys.exit(f"fewer {' '.join(arguments)}, rank {rank}:\n{said[rank].read()}")
    return str(printed[0])


def show(line: Mapping[str, Any]) -> None:
    print(f"{line['model']}, {line['mbit']:g} Mbit/s: computes {1000 * line['compute']:.0f} ms a step")
    for name, cell in line["cells"].items():
        predicted, seconds = 1000 * cell["predicted"], 1000 * cell["measured"]
        print(f"  {name:12} {seconds:8.1f} ms a step, predicted {predicted:8.1f} ms ({cell['error']:+.0%})")
    print(f"  fastest {line['fastest']}, predicted {line['predicted_fastest']}", flush=True)


if __name__ == "__main__":
    main()
