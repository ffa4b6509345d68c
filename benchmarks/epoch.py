"""How much faster an epoch is on the quarter of the images that stale scores choose, and how fresh ones are booked.

    python benchmarks/epoch.py [--rounds 5]

Two runs take turns, epoch by epoch, in one process: plain training, and `dbpd` at the cost that leaves a quarter of the
images to every epoch but the first. Choosing, and bringing the table up to date, are part of an epoch. Once with images
that lie in memory, and once with photos that are decoded and cropped anew in each epoch, where that takes longer than
training. Then a run with fresh scores: what the ledger says beside (forward share) * scored / N + EE. One line each in
results/epoch.jsonl.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import keep, summary

import fewer
from fewer.session.build import make_plan, open_data, open_session
from fewer.training.loop import train

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
KEPT = 0.25
IN_MEMORY: dict[str, Any] = {
    "data": {"source": f"tar:{DATA}/cifar10/train.tar", "test": "none", "val": "none", "subset": 8192},
    "augment": {"crop_padding_px": 2, "flip": "random"},
    "model": {"name": "cnn"},
    "train": {"batch_size": 256, "lr": 0.1},
}
FOLDER: dict[str, Any] = {
    "data": {"source": f"folder:{DATA}/caltech/train", "test": "none", "val": "none", "in_memory": "no"},
    "augment": {"crop": "random_resized", "flip": "random"},
    "model": {"name": "lenet5", "width": 0.5},
    "train": {"batch_size": 64, "lr": 0.01},
    "stages": [{"epochs": 0, "side_px": 64}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for name, content in (("in memory, cnn", IN_MEMORY), ("folder of photos, lenet5", FOLDER)):
        ratios = compared(content, rounds)
        found = summary(ratios)
        print(
            f"{name}: {found['median']:.2f} times faster ({found['lowest']:.2f} to {found['highest']:.2f})", flush=True
        )
        keep("epoch", what=name, kept_share=KEPT, ratio=found)
    booked()


def compared(content: dict[str, Any], rounds: int) -> list[float]:
    """Seconds of a plain epoch over those of one on a quarter, for every round."""
    epochs = rounds + 1  # the first trains on everything: nothing is known yet
    chosen = {"method": "dbpd", "cost": (1 + rounds * KEPT) / epochs, "guards": {"batchnorm_images": 0}}
    with_epochs = {**content, "train": {**content["train"], "epochs": epochs}}
    if "stages" in content:
        with_epochs = {**content, "stages": [{**content["stages"][0], "epochs": epochs}]}
    sides = [epochs_of({**with_epochs, "select": select}) for select in ({"method": "everything"}, chosen)]
    seconds = [[next(side) for side in sides] for _ in range(epochs)]
    return [plain / part for plain, part in seconds[1:]]


def epochs_of(content: dict[str, Any]) -> Iterator[float]:
    """Trains, and gives the seconds of every epoch."""
    recipe = fewer.parse_recipe(content)
    splits = open_data(recipe)
    session = open_session(recipe, splits, plan=make_plan(recipe, splits))
    began = time.perf_counter()
    for row in train(session.task, session.train_data, session.run):
        if row.epoch_end:
            yield time.perf_counter() - began
            began = time.perf_counter()
    session.close()


def booked() -> None:
    """Fresh scores: FEE as the ledger has it, and as it should be."""
    select = {"method": "dbpd", "score": "fresh", "threshold": 0.5, "guards": {"batchnorm_images": 0}}
    content = {**IN_MEMORY, "data": {**IN_MEMORY["data"], "subset": 2048}, "select": select}
    content["train"] = {**content["train"], "epochs": 3}
    recipe = fewer.parse_recipe(content)
    plan = make_plan(recipe, open_data(recipe))
    flops = plan.sample_flops(0)
    share = flops.forward / (flops.forward + flops.backward)
    with tempfile.TemporaryDirectory() as folder:
        ledger = fewer.fit(recipe, Path(folder) / "run")["ledger"]
    scored = ledger["samples_forwarded"] - ledger["samples_backpropagated"]
    expected = share * scored / plan.facts.train_images + ledger["effective_epochs"]
    spent = ledger["full_epoch_equivalents"]
    print(f"fresh scores: {spent:.4f} FEE booked, {expected:.4f} expected (forward share {share:.4f})")
    keep("epoch", what="fresh scores", forward_share=share, booked_fee=spent, expected_fee=expected)


if __name__ == "__main__":
    main()
