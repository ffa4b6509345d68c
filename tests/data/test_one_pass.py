"""Images that are looked at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fewer.core.ragged import dense
from fewer.core.types import Batch, Request
from fewer.data.images import ImageData
from fewer.data.listing.splits import open_splits
from fewer.data.one_pass import chunks, evenly, once
from photos import write_photos


def test_once_is_what_the_run_sees(tmp_path: Path) -> None:
    """Same pixels, in order, in batches of the size asked for."""
    torch.manual_seed(3)
    write_photos(tmp_path / "photos", 20, width_px=30, height_px=24)
    split = open_splits(f"folder:{tmp_path / 'photos'}").train
    whole = next(ImageData(split).batches([Request(split.ids_M, 0, 20, strength=0.0)]))
    found = [chunk.batch for chunk in once(chunks(split, 7), 20, threads=3)]
    joined = Batch.joined([batch for batch in found if batch is not None])
    assert torch.equal(dense(joined.inputs), dense(whole.inputs))
    assert torch.equal(joined.ids_B, whole.ids_B)
    assert torch.equal(dense(joined.targets), dense(whole.targets))


@pytest.mark.parametrize("sizes", [[4, 4, 2], [3, 4, 3], [1, 1, 8], [10], [4], []])
def test_evenly(sizes: list[int]) -> None:
    ids = torch.arange(sum(sizes))
    batches = [Batch(part, part, part) for part in ids.split(sizes)] if sizes else []
    found = [len(batch) for batch in evenly(batches, 4)]
    assert found == [len(part) for part in ids.split(4)] if sizes else found == []
    assert not sizes or torch.equal(torch.cat([batch.ids_B for batch in evenly(batches, 4)]), ids)
