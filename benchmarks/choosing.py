"""Time that every method takes to choose among ImageNet's 1.28 million images, and the bytes of the score table.

    python benchmarks/choosing.py [--images 1281167] [--rounds 5]

Scores are drawn at random; guards are on, as by default. The methods take turns. One line a method in
results/choosing.jsonl.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from common import Results, parsed, parser, summary

from fewer import select
from fewer.core.observation import Column, Observed
from fewer.core.population import Population
from fewer.core.table import Table
from fewer.core.types import At

CLASSES, EPOCHS, EPOCH = 1000, 90, 30


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--images", type=int, default=1_281_167)
    command.add_argument("--rounds", type=int, default=5)
    args = parsed(command, "--images=2000", "--rounds=1")
    results = Results("choosing", args.smoke)
    table, population = filled(args.images)
    columns = table.state_dict().values()
    bytes_a_sample = sum(column.element_size() * column.nelement() for column in columns) / args.images
    print(f"score table: {bytes_a_sample:g} bytes a sample")
    selectors = {name: select.build(select.params(name)(), population, EPOCHS) for name in select.names()}
    pool, seconds = torch.arange(args.images), {name: [] for name in selectors}
    wider = {name: filled(args.images, selector.columns)[0] for name, selector in selectors.items() if selector.columns}
    for round_ in range(args.rounds):
        for name, selector in selectors.items():
            known = wider.get(name, table)
            at = At(EPOCH + round_, EPOCHS, (EPOCH + round_) / EPOCHS)
            began = time.perf_counter()
            selector.ids_to_score(known, at)
            selector.select(known, pool, at)
            seconds[name].append(time.perf_counter() - began)
    for name, values in seconds.items():
        found = summary(values)
        print(f"{name:20} {found['median']:.3f} s ({found['lowest']:.3f} to {found['highest']:.3f})")
        results.keep(
            method=name,
            images=args.images,
            bytes_a_sample=bytes_a_sample,
            seconds=found,
            threads=torch.get_num_threads(),
        )


def filled(images: int, columns: Sequence[Column] = ()) -> tuple[Table, Population]:
    """A table in the middle of a run: losses as training leaves them, a tenth of the samples not seen lately.

    What a method asks for beside (`columns`) is drawn.
    """
    stream = torch.Generator().manual_seed(0)
    loss = torch.rand(images, generator=stream) ** 3 * 6
    table, ids = Table(images, columns), torch.arange(images)
    asked = {column.name: torch.rand(images, generator=stream) for column in columns}
    seen = Observed.of(ids, loss, torch.exp(-loss), loss < 1, **asked)
    table.observe("trained", seen, EPOCH - 2)
    lately = torch.rand(images, generator=stream) > 0.1
    late = {name: values[lately] for name, values in seen.columns.items()}
    table.observe("trained", Observed(ids[lately], late), EPOCH - 1)
    labels = torch.randint(CLASSES, (images,), generator=stream)
    return table, Population(0, labels, CLASSES, torch.rand(images, generator=stream))


if __name__ == "__main__":
    main()
