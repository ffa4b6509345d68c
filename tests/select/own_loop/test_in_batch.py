"""The choice within a batch: parts of ranks average to the mean over what is kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.types import KeepMask
from fewer.select.own_loop.in_batch import local_part


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.sampled_from([1, 2, 3]))
@settings(max_examples=60, deadline=None)
def test_parts_of_a_choice_average_to_the_mean_over_what_is_kept(mask: list[bool], workers: int) -> None:
    ids = torch.randperm(12, generator=torch.Generator().manual_seed(sum(mask)))
    keep = KeepMask(torch.tensor(mask), torch.linspace(0.5, 2, 12, dtype=torch.float64))
    loss_N = torch.linspace(1, 3, 12)
    means = []
    for ids_B in ids.chunk(workers):
        kept, own_B = local_part(ids_B, torch.ones_like(ids_B, dtype=torch.bool), ids, keep, workers)
        assert int(kept.mask_B.sum()) >= 2
        assert torch.equal(own_B, torch.isin(ids_B, ids[keep.mask_G]))
        assert kept.samples == sum(mask)
        means.append(float((kept.weight_K * loss_N[ids_B[kept.mask_B]]).mean()))
    kept_loss = (keep.weight_G * loss_N[ids])[keep.mask_G]
    assert sum(means) / workers == pytest.approx(float(kept_loss.mean()) if len(kept_loss) else 0.0, rel=1e-5)
