"""Suspected parts of masks: where a model is sure of another class, in one piece, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.tasks.segment.suspects import LEAST, SURE, Suspected

HEIGHT, WIDTH, CLASSES = 64, 96, 3
TO_PICTURE = torch.tensor([2.0, -4.0, 2.0, 6.0], dtype=torch.float64)


def sure_of(said_HW: Tensor, p: float = 0.95) -> Tensor:
    rest = (1 - p) / (CLASSES - 1)
    return torch.full((CLASSES, *said_HW.shape), rest).scatter(0, said_HW[None].long(), p)


def blank() -> Tensor:
    return torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)


def asked(mask_HW: Tensor, said_HW: Tensor, p: float = 0.95) -> list:
    suspected = Suspected(CLASSES)
    suspected.add(7, sure_of(said_HW, p), {"mask": mask_HW, "to_picture": TO_PICTURE})
    for number in range(CLASSES):  # other images, on which the model is right
        for _ in range(4):
            suspected.add(8, sure_of(blank() + number), {"mask": blank() + number, "to_picture": TO_PICTURE})
    return suspected.found()


def test_a_part_of_another_class_is_found_in_pixels_of_the_picture() -> None:
    said_HW = blank()
    said_HW[10:30, 20:60] = 2
    (found,) = asked(blank(), said_HW)
    assert (found.id, found.annotated, found.predicted) == (7, 0, 2)
    assert found.box == (2 * 20 - 4, 2 * 10 + 6, 2 * 60 - 4, 2 * 30 + 6)
    assert found.sure == pytest.approx(18 * 38 / (HEIGHT * WIDTH), rel=1e-9), "less the edge"


@settings(max_examples=30)
@given(st.integers(0, 50), st.integers(0, 80), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 1, 2]))
def test_what_agrees_is_not_suspected(top: int, left: int, high: int, wide: int, number: int) -> None:
    mask_HW = blank()
    mask_HW[top : top + high, left : left + wide] = number
    said_HW = mask_HW.clone()
    assert asked(mask_HW, said_HW) == []
    mask_HW[top : top + high, left : left + wide] = 255
    assert asked(mask_HW, said_HW) == [], "void agrees with everything"
    assert asked(blank(), blank() + 1, SURE - 0.01) == [], "not sure enough"


def test_edges_small_parts_and_void_do_not_count() -> None:
    said_HW = blank()
    said_HW[:, 48:] = 1
    mask_HW = blank()
    mask_HW[:, 46:] = 1  # the border is drawn two pixels off
    assert asked(mask_HW, said_HW) == []
    few = blank()
    side = int((LEAST * HEIGHT * WIDTH) ** 0.5)
    few[5 : 5 + side, 5 : 5 + side] = 1
    assert asked(blank(), few) == []
    void_HW = blank() + 255
    assert asked(void_HW, blank()) == []


def test_every_part_is_named_the_largest_first() -> None:
    said_HW = blank()
    said_HW[2:12, 2:22], said_HW[30:60, 10:50], said_HW[2:22, 60:80] = 1, 1, 2
    found = asked(blank(), said_HW)
    assert [each.predicted for each in found] == [1, 2, 1]
    assert [each.sure for each in found] == sorted((each.sure for each in found), reverse=True)
    striped = blank()
    for top in range(0, 60, 6):
        striped[top : top + 5] = 1
    assert len(asked(blank(), striped)) == 5, "of many the largest"


def test_a_task_names_those_of_its_images() -> None:
    from fewer.core.ragged import Ragged
    from fewer.core.suspicion import Suspects
    from fewer.core.types import Batch
    from fewer.tasks.segment import plain

    class Painted(torch.nn.Module):
        """Says that an image is of the class that its pixels are bright by, half as large as the image."""

        def forward(self, image_BCHW: Tensor) -> Tensor:
            small = image_BCHW[:, 0, ::2, ::2].long()
            return 10 * torch.nn.functional.one_hot(small, CLASSES).permute(0, 3, 1, 2).float()

    task = plain([str(number) for number in range(CLASSES)])
    assert isinstance(task, Suspects)
    images = torch.zeros(2, 3, HEIGHT, WIDTH)
    images[1, :, 16:48, 16:64] = 1
    target = {"mask": blank(), "own": blank(), "size": torch.tensor([WIDTH, HEIGHT]),
              "to_picture": torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)}  # fmt: skip
    batch = Batch(torch.tensor([4, 9]), images, Ragged((target, target)))
    (found,) = task.suspicions(Painted(), [batch, batch.take(slice(0, 1))])
    assert (found.id, found.annotated, found.predicted) == (9, 0, 1)
    assert np.allclose(found.box, (16, 16, 64, 48), atol=2)


def test_a_class_that_the_model_does_not_know_is_not_suspected() -> None:
    """It finds all of class 0, and takes all of class 2 for it."""
    suspected = Suspected(CLASSES)
    mask_HW, said_HW = blank(), blank()
    mask_HW[:30], said_HW[50:, 40:] = 2, 1
    suspected.add(1, sure_of(said_HW), {"mask": mask_HW, "to_picture": TO_PICTURE})
    assert [(each.annotated, each.predicted) for each in suspected.found()] == [(0, 1)]
