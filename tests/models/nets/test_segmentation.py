"""Networks for segmentation: torchvision's arithmetic, and batches that its layers do not take."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model

from fewer import models
from fewer.core.types import first
from fewer.models.matching import heads
from fewer.models.nets.pooled_norm import PooledNorm, take_single_values
from fewer.models.nets.segmentation import renamed
from fewer.sync.batchnorm import share_statistics
from fewer.testing.threads import on_ranks

PUBLISHED = ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
SMALL = ["deeplabv3_mobilenet_v2", "lraspp_mobilenet_v2"]
OF_SMP = ["smp:unet", "smp:deeplabv3", "smp:upernet", "smp:pan", "smp:pspnet"]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_are_those_of_torchvisions_own_network(name: str) -> None:
    """With its weights under our names, and its interpolation to the image's size."""
    aux = {} if name.startswith("lraspp") else {"aux_loss": True}
    theirs = get_model(name, weights=None, weights_backbone=None, num_classes=4, **aux)
    ours = models.build(name, 4, 64)
    ours.load_state_dict({renamed(key): value for key, value in theirs.state_dict().items()})
    image = torch.randn(2, 3, 64, 416)  # wide enough for filters of any dilation
    for network in (ours, theirs):
        network.train()
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    got = ours(image)
    expected = theirs(image)
    got = got if isinstance(got, tuple) else (got,)
    assert len(got) == len(expected)
    for logits, wanted in zip(got, expected.values(), strict=True):
        larger = F.interpolate(logits, size=(64, 416), mode="bilinear", align_corners=False)
        assert torch.allclose(larger, wanted, atol=1e-5)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        larger = F.interpolate(ours(image), size=(64, 416), mode="bilinear", align_corners=False)
        assert torch.allclose(larger, theirs(image)["out"], atol=1e-5)


@pytest.mark.parametrize(("name", "stride"), [("deeplabv3_mobilenet_v2", 16), ("lraspp_mobilenet_v2", 8)])
def test_mobilenet_v2_keeps_its_places(name: str, stride: int) -> None:
    """Features of stride 16 at every second place are those that the network has at stride 32."""
    net = models.build(name, 5, 64).eval()
    image = torch.randn(1, 3, 128, 96)
    assert net(image).shape == (1, 5, 128 // stride, 96 // stride)
    plain = get_model("mobilenet_v2", weights=None).features[:18].eval()
    plain.load_state_dict(net.backbone.state_dict())
    trunk = list(net.backbone(image).values())[-1]
    # Away from the border, whose padding a dilated filter meets later.
    assert torch.allclose(trunk[..., ::2, ::2], plain(image), atol=1e-5)


@pytest.mark.parametrize("name", [*PUBLISHED, *SMALL, *OF_SMP])
def test_one_image_alone_can_be_trained_on(name: str) -> None:
    """What is pooled to one place has no variance: those layers normalise by their running statistics."""
    if name.startswith("smp"):
        pytest.importorskip("segmentation_models_pytorch")
    net = models.build(name, 3, 64).train()
    logits = first(net(torch.randn(1, 3, 128, 128)))
    assert logits.shape[:2] == (1, 3)
    logits.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())
    assert all(bool(value.isfinite().all()) for value in net.buffers())


def test_a_pooled_norm_is_batchnorm_where_there_is_a_variance() -> None:
    plain = nn.BatchNorm2d(3)
    ours = nn.Sequential(copy.deepcopy(plain))
    take_single_values(ours)
    assert isinstance(ours[0], PooledNorm)
    for shape in [(2, 3, 1, 1), (1, 3, 2, 1), (4, 3, 5, 5)]:
        x = torch.randn(shape)
        assert torch.equal(ours(x), plain(x))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    x = torch.randn(1, 3, 1, 1)
    assert torch.equal(ours(x), plain.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_shared_statistics_are_those_of_single_images_of_all_ranks() -> None:
    """One image on each of two ranks: as one process normalises both."""
    layer = nn.Sequential(nn.BatchNorm2d(3))
    take_single_values(layer)
    images = torch.randn(2, 3, 1, 1)
    whole = copy.deepcopy(layer)(images)

    def on_rank(comm) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
        own = copy.deepcopy(layer)
        share_statistics(own, comm)
        found: Tensor = own(images[comm.rank : comm.rank + 1]).detach()
        return found

    assert torch.allclose(torch.cat(on_ranks(2, on_rank)), whole, atol=1e-6)


@pytest.mark.parametrize("name", [*PUBLISHED, *SMALL, "smp:unet"])
def test_heads_are_known_as_such(name: str) -> None:
    net = models.build(name, 7, 64)
    found = heads(net, 7)
    outputs = 2 if name.startswith(("lraspp", "fcn", "deeplab")) else 1
    assert len(found) == outputs
    assert all("head" in each for each in found)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", ["double", "channels_last", "copy", "meta", "bf16"])
def test_networks_take_every_form_of_numbers(name: str, kind: str) -> None:
    net, image = models.build(name, 3, 64).eval(), torch.randn(2, 3, 64, 96)
    expected = net(image)
    if kind == "double":
        assert torch.allclose(net.double()(image.double()).float(), expected, atol=1e-4)
    elif kind == "channels_last":
        got = net.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
        assert torch.allclose(got, expected, atol=1e-4)
    elif kind == "copy":
        assert torch.equal(copy.deepcopy(net)(image), expected)
    elif kind == "meta":
        assert net.to("meta")(image.to("meta")).shape == expected.shape
    else:
        with torch.autocast("cpu", torch.bfloat16):
            got = net(image)
        assert got.dtype == torch.bfloat16
        assert torch.allclose(got.float(), expected, atol=0.1 * float(expected.detach().std()) + 0.05)


def test_an_auxiliary_head_can_be_left_out() -> None:
    net = models.build("deeplabv3_mobilenet_v2", 3, 64, aux_head=False).train()
    assert isinstance(net(torch.randn(2, 3, 64, 64)), Tensor)
    with pytest.raises(ValueError, match="no auxiliary head; leave"):
        models.build("lraspp_mobilenet_v2", 3, 64, aux_head=True)
