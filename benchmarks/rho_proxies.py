"""Accuracy and cost of RHO-LOSS by the length of its proxies' training, on wrong labels.

    python benchmarks/rho_proxies.py [--wrong 0.4] [--seeds 3] [--epochs 12]

The digits, lenet5 at half its width and 16 px; half of the images are chosen from stale losses, without guards. The
wrong labels are drawn uniformly among the other classes, in training images only. One line a selection in
results/rho_proxies.jsonl: test top-1, FEE with proxies, and the share of wrong labels among what the last epoch chose.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import torch
from common import Results, parsed, parser

from fewer.core import rng
from fewer.core.types import Request
from fewer.data.listing.splits import Splits
from fewer.recipe.parse import parse_recipe
from fewer.session import reference_losses
from fewer.session.build import open_data, open_session
from fewer.training.loop import train

SELECTIONS: dict[str, dict[str, Any]] = {
    "plain": {"method": "everything"},
    "random": {"method": "random", "share": 0.5},
    **{f"rho, proxies {length}": {"method": "rho", "proxy_epochs": length} for length in ("25%", "50%", "100%")},
    **{
        f"rho fresh, proxies {length}": {"method": "rho", "score": "fresh", "proxy_epochs": length}
        for length in ("25%", "100%")
    },
}


def mislabelled(splits: Splits, share: float, seed: int) -> tuple[Splits, torch.Tensor]:
    """The splits with a share of the training labels moved to another class, and the ids of these."""
    ids = splits.train.ids_M
    wrong = ids[rng.uniform(ids, seed, "wrong") < share]
    label_N = splits.train.label_N.clone()
    by = 1 + (rng.uniform(wrong, seed, "class") * (len(splits.classes) - 1)).long()
    label_N[wrong] = (label_N[wrong] + by) % len(splits.classes)
    return replace(splits, train=replace(splits.train, label_N=label_N)), wrong


def run(select: dict[str, Any], wrong_share: float, seed: int, epochs: int, images: int) -> dict[str, float]:
    """One training."""
    guards = {} if select["method"] != "rho" else {"guards": "off"}
    recipe = parse_recipe(
        {
            "data": {"source": "digits", "val": "none", **({"subset": images} if images else {})},
            "augment": {"crop_padding_px": 1},
            "model": {"name": "lenet5", "width": 0.5},
            "train": {"batch_size": 64, "lr": 0.02, "precision": "fp32", "seed": seed},
            "select": {**select, **guards},
            "stages": [{"epochs": epochs, "side_px": 16}],
        }
    )
    splits, wrong = mislabelled(open_data(recipe), wrong_share, seed)
    session = open_session(recipe, splits)
    reference_losses.compute_reference_losses(session)
    for _ in train(session.task, session.train_data, session.run):
        pass
    pool_ids, table = session.run.selection.pool_ids, session.run.selection.table
    chosen = pool_ids[table.column("trained", "epoch")[pool_ids] == epochs - 1]
    test = session.test_data
    assert test is not None
    batches = test.batches([Request.evaluation(session.plan.evaluation_side_px, 0, test.split.ids_M)])
    evaluation = session.task.evaluate(session.run.evaluated_model(), batches, session.run.comm)
    return {
        "top1": evaluation.scalars["top1"],
        "fee": session.run.ledger.full_epoch_equivalents,
        "wrong_share_chosen": float(torch.isin(chosen, wrong).double().mean()),
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--wrong", type=float, default=0.4)
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--epochs", type=int, default=12)
    command.add_argument("--images", type=int, default=0, help="training images; 0: all")
    args = parsed(command, "--seeds=1", "--epochs=2", "--images=100")
    results = Results("rho_proxies", args.smoke)
    print(f"{'selection':26} {'top-1':>7} {'FEE':>7} {'wrong among chosen':>20}")
    for name, select in SELECTIONS.items():
        runs = [run(select, args.wrong, seed, args.epochs, args.images) for seed in range(args.seeds)]
        means = {key: statistics.mean(each[key] for each in runs) for key in runs[0]}
        print(f"{name:26} {means['top1']:7.2%} {means['fee']:7.2f} {means['wrong_share_chosen']:20.0%}", flush=True)
        results.keep(selection=name, wrong=args.wrong, epochs=args.epochs, seeds=args.seeds, **means)


if __name__ == "__main__":
    main()
