"""Test-time augmentation: views and weights by hand, and who is looked at again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fewer.tasks.classify.tta import VIEWS, Views


@pytest.fixture
def image_BCHW() -> Tensor:
    return torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def linear(scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Logits of four classes; of a view shifted by a pixel they are others."""
    weight = torch.randn(3 * 8 * 8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * scale
    return lambda image_BCHW: image_BCHW.flatten(1) @ weight


def test_six_views_have_airbenchs_weights(image_BCHW: Tensor) -> None:
    """airbench94, level 2: (0, 0) counts half; (-1, -1) and (1, 1) a quarter each; of each half is the mirror image."""
    model, padded = linear(), F.pad(image_BCHW, (1, 1, 1, 1), mode="reflect")
    expected = torch.zeros(6, 4, dtype=torch.float64)
    for (down, right), weight in {(0, 0): 0.5, (-1, -1): 0.25, (1, 1): 0.25}.items():
        view = padded[:, :, 1 + down : 9 + down, 1 + right : 9 + right]
        expected += weight / 2 * (model(view) + model(torch.flip(view, (3,))))
    found, forwards = Views("flip_and_shift").logits(model, image_BCHW)
    assert torch.allclose(found, expected, rtol=1e-12)
    assert forwards == 36


def test_only_unsure_images_are_looked_at_again(image_BCHW: Tensor) -> None:
    model, seen = linear(0.1), list[int]()

    def counted(view: Tensor) -> Tensor:
        seen.append(len(view))
        return model(view)

    plain, every = model(image_BCHW), Views("flip_and_shift").logits(model, image_BCHW)[0]
    sure_B = plain.softmax(1).amax(1)
    below = float(sure_B.sort().values[2])  # of six images two are less sure
    found, forwards = Views("flip_and_shift", below).logits(counted, image_BCHW)
    again = sure_B < below
    assert int(again.sum()) == 2
    assert torch.equal(found[~again], plain[~again])
    assert torch.allclose(found[again], every[again], rtol=1e-12)
    assert not torch.allclose(found[again], plain[again])
    assert forwards == sum(seen) == 6 + 2 * 5


@pytest.mark.parametrize("tta", list(VIEWS))
def test_an_image_is_predicted_alike_beside_any_others(tta: str, image_BCHW: Tensor) -> None:
    views, model = Views(tta, 1.0 if tta == "none" else 0.5), linear(0.1)  # type: ignore[arg-type]
    together = views.logits(model, image_BCHW)
    alone = [views.logits(model, image[None]) for image in image_BCHW]
    assert torch.allclose(together[0], torch.cat([logits for logits, _ in alone]), rtol=1e-12)
    assert together[1] == sum(forwards for _, forwards in alone)


def test_at_one_all_images_are_looked_at_again_the_surest_too(image_BCHW: Tensor) -> None:
    """In float32 a probability may be 1."""
    model = linear(1000.0)
    assert Views("flip").logits(model, image_BCHW)[1] == 12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_views_keep_dtype_and_memory_layout(dtype: torch.dtype, image_BCHW: Tensor) -> None:
    image = image_BCHW.to(dtype).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(3, 4, 8, dtype=dtype)
    with torch.no_grad():
        found, _ = Views("flip_and_shift", 0.999).logits(lambda view: conv(view).flatten(1), image)
    assert found.dtype == dtype
    assert bool(found.isfinite().all())
