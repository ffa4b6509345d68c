"""What methods share: weights of what is drawn, clipped and divided by their mean."""

from __future__ import annotations

import pytest
import torch

from fewer.select.base import weights_of
from fewer.select.method_params import WeightParams
from stories import Story


def test_weights_are_clipped_and_divided_by_their_mean() -> None:
    inclusion = torch.tensor([0.5, 0.1, 0.05])
    for options, expected in (
        ({"clip_weights": 0.0}, [2.0, 10.0, 20.0]),
        ({}, [2.0, 10.0, 10.0]),
        ({"clip_weights": 4.0}, [2.0, 4.0, 4.0]),
        ({"clip_weights": 4.0, "self_normalise": True}, [0.6, 1.2, 1.2]),
        ({"clip_weights": 0.0, "self_normalise": True}, [6 / 32, 30 / 32, 60 / 32]),
    ):
        params = WeightParams(weights="inclusion", **options)
        assert weights_of(inclusion, params).tolist() == pytest.approx(expected), options
    story = Story({"method": "random", "share": 0.05, "weights": "inclusion"}, [0] * 40)
    story.next([1.0] * 40)
    assert story.chosen.weight_M.tolist() == [10.0, 10.0], "1 / 0.05, clipped"
