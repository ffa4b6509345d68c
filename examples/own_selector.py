"""A new selection method in one file: it trains on the samples whose last known loss was highest.

    python examples/own_selector.py [--smoke]

A method is a `Params`, a selector, and a `build`. `fewer.testing.check_selector` checks the promises of every selector
(`fewer.Selector`). `fewer.fit` trains with the method, with checkpoints, exact resuming, several ranks and the report.
`fewer.Chooser(Hardest(0.5), labels, epochs=10)` uses it in a loop of your own.

An entry point makes a method of your own package known to recipes and `fewer methods`:

    [project.entry-points."fewer.select"]
    hardest = "your_package.hardest"
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import Field

import fewer
from fewer import Table
from fewer.select import At, BaseSelector, Expectation, MethodParams, Population, Selection, unweighted
from fewer.testing import check_selector

if TYPE_CHECKING:
    from torch import Tensor


class Params(MethodParams):
    method: Literal["hardest"] = "hardest"
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the training images that each epoch but the first trains on."""


@final
class Hardest(BaseSelector):
    """Chooses round(share * n) of n samples; one that was never looked at counts as hardest.

    A sample that is left out keeps its loss while the others' fall, so its turn comes again. Neutral at share = 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def select(self, table: Table, pool_ids: Tensor, at: At) -> Selection:
        if at.epoch == 0:
            return unweighted(pool_ids)
        pool_ids = pool_ids.sort().values  # equal losses: the lower id first, however the pool is listed
        loss_M = table.loss_N[pool_ids].nan_to_num(float("inf"))
        hardest_first = loss_M.argsort(descending=True, stable=True)
        return unweighted(pool_ids[hardest_first[: max(1, round(self.share * len(pool_ids)))]])

    def expected(self, at: At) -> Expectation:
        share = 1.0 if at.epoch == 0 else self.share
        return Expectation(share, share)


def build(params: Params, population: Population) -> Hardest:
    """What `fewer` calls; `population` holds the seed and the labels, which this method does not need."""
    return Hardest(params.share)


def main(out: Path, *overrides: str, share: float = 0.5) -> dict[str, Any]:
    """Checks the method, trains with it, and prints what it cost; returns the run's result."""
    params = Params(share=share)
    check_selector(lambda population: build(params, population))
    print("hardest keeps every promise of a selector")

    recipe = fewer.load_recipe(
        Path(__file__).parent.parent / "recipes" / "digits.toml",
        ["train.epochs=8", "augment.crop_padding_px=0", *overrides],
    )
    result = fewer.fit(recipe, out, selector=Hardest(share))
    ledger = result["ledger"]
    print(
        f"test top-1 {result['metrics']['test/top1']:.2%} after {result['epochs']} epochs that cost as much as "
        f"{ledger['full_epoch_equivalents']:.2f} full ones (EE {ledger['effective_epochs']:.2f})"
    )
    print(out / "report.html")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few images and epochs, to see that it runs")
    smoke = ("train.epochs=2", "data.subset=200", "model.width=0.25")
    main(Path(tempfile.mkdtemp(prefix="own_selector-")), *(smoke if parser.parse_args().smoke else ()))
