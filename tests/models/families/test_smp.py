"""segmentation_models_pytorch as an extra."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from fewer import models
from fewer.models import registry

smp = pytest.importorskip("segmentation_models_pytorch")


def test_names_are_those_of_the_library() -> None:
    found = {name for name in models.names() if name.startswith("smp:")}
    assert found == {f"smp:{name}" for name in smp.MODEL_ARCHITECTURES_MAPPING}


@pytest.mark.parametrize("encoder", ["resnet18", "tu-mobilenetv3_small_100"])
def test_logits_are_those_of_the_librarys_own_network(encoder: str) -> None:
    ours = models.build("smp:fpn", 4, 64, encoder=encoder).eval()
    theirs = smp.create_model("fpn", encoder, encoder_weights=None, classes=4).eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(2, 3, 64, 96)
    assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("resnet19", 'no encoder resnet19; did you mean "resnet18"'),
        ("tu-no_such_net", "does not take encoder tu-no_such_net"),
    ],
)
def test_an_unknown_encoder_is_named(encoder: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models.build("smp:unet", 3, 64, encoder=encoder)


@pytest.mark.parametrize("encoder", ["timm-tf_efficientnet_lite0", "tu-hf-hub:some/model", "../x", "", 7])
def test_encoders_that_would_be_fetched_or_are_spelt_otherwise_are_refused(encoder: object) -> None:
    with pytest.raises(ValidationError):
        models.params("smp:unet")(name="smp:unet", encoder=encoder)


def test_without_its_package_the_hint_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    assert "pip install segmentation-models-pytorch" in models.hint("smp:unet")


@pytest.mark.parametrize(
    ("encoder", "mean"),
    [("resnet18", 0.485), ("tu-resnet18", 0.485), ("tu-tf_efficientnet_lite0", 0.5), ("tu-vit_base_patch16_224", 0.5)],
)
def test_images_are_normalised_as_the_encoders_weights_take_them(encoder: str, mean: float) -> None:
    params = models.params("smp:unet")(name="smp:unet", encoder=encoder)
    found_mean, found_std = models.family("smp:unet").usual_moments(params)
    assert found_mean[0] == mean
    assert len(found_mean) == len(found_std) == 3
