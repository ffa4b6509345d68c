"""Observations do not depend on how they came."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.core.observation import Observed
from fewer.core.table import Table
from fewer.select.epoch import occurrences
from fewer.select.observations import Observations
from fewer.sync.comm import SingleProcess

rows = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 5, width=32), st.booleans(), st.booleans()), max_size=12)


@given(rows, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_observations_do_not_depend_on_how_they_came(listed: list[Any], parts: int) -> None:
    ids = torch.tensor([row[0] for row in listed], dtype=torch.int64)
    copies = occurrences(ids)
    loss = torch.tensor([row[1] for row in listed])
    right, counts = (torch.tensor([row[place] for row in listed], dtype=torch.bool) for place in (2, 3))

    def noted(order: Tensor, pieces: int) -> Observations:
        found = Observations()
        for index in order.tensor_split(pieces):
            seen = Observed.of(ids[index], loss[index], torch.exp(-loss[index]), right[index])
            found.add(seen, copies[index], counts[index])
            if len(index) % 2:
                found.gather(SingleProcess())
        found.gather(SingleProcess())
        return found

    one, other = noted(torch.arange(len(ids)), 1), noted(torch.arange(len(ids) - 1, -1, -1), parts)
    assert {name: values.tolist() for name, values in one.rows.items()} == {
        name: values.tolist() for name, values in other.rows.items()
    }
    again = Observations()
    again.load_state_dict(one.state_dict())
    assert all(torch.equal(again.rows[name], values) for name, values in one.rows.items())
    table = Table(6)
    assert one.write(table, "trained", 3) == int(counts.sum())
    assert table.visits_N.tolist() == torch.bincount(ids[counts], minlength=6).tolist()
    assert not len(one.rows["ids"])
