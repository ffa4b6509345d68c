"""One pass over all images of a source: each is read and decoded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fewer.inspection.inventory import Inventory
from fewer.inspection.pool import probed
from fewer.inspection.probe import ImageFacts

Progress = Callable[[int, int], None]


def scan(
    inventory: Inventory, processes: int | None = None, on_progress: Progress | None = None
) -> list[list[ImageFacts]]:
    """Reads and decodes every image once.

    Args:
        inventory: The images.
        processes: As for `probed`.
        on_progress: Called with images done and images in all.

    Returns:
        Their facts, part by part.
    """
    total, done = len(inventory), 0
    reads = (partial(part.read, at) for part in inventory.parts for at in range(len(part)))
    facts = probed(reads, processes)
    facts_of: list[list[ImageFacts]] = []
    for part in inventory.parts:
        facts_of.append([])
        for _ in range(len(part)):
            facts_of[-1].append(next(facts))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    facts.close()
    return facts_of
