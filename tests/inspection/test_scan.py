"""Scan: every image is read once, in order, with its progress."""

from __future__ import annotations

from fewer.inspection.inventory import Inventory, Part
from fewer.inspection.scan import scan
from zoo import encoded, picture


def test_facts_come_part_by_part_and_progress_counts_all_parts() -> None:
    reads: list[str] = []

    def part(split: str, widths: list[int]) -> Part:
        def read(at: int) -> bytes:
            reads.append(f"{split}{at}")
            return encoded(picture(at, widths[at], 9))

        names = [f"{i}.png" for i in range(len(widths))]
        return Part(split, "s", names, ["a"] * len(widths), [1] * len(widths), read)

    inventory = Inventory([part("train", [11, 12]), part("val", []), part("test", [13])])
    steps: list[tuple[int, int]] = []
    facts_of = scan(inventory, processes=0, on_progress=lambda done, total: steps.append((done, total)))
    assert [[facts.width_px for facts in each] for each in facts_of] == [[11, 12], [], [13]]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert reads == ["train0", "train1", "test0"]
