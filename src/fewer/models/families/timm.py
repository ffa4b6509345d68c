"""Any classifier of timm, as `timm:NAME` (extra `timm`): `timm:resnet10t`, `timm:mobilenetv3_small_100`, ...

Built by `timm.create_model`. A tag after the name, as in `timm:resnet18.a1_in1k`, says which published weights
`weights = "default"` means. Models that take but one image side are built for the plan's largest.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from fewer.models.base import ModelParams, Rate
from fewer.models.listing import registered

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewer.models.hub import Published

PREFIX = "timm:"


class Params(ModelParams):
    name: str
    stem: Literal["own", "small"] = "own"
    """`small`: first layers for small images. The first strided convolution gets stride 1 and a kernel of at most
    3x3, and a max-pooling that follows is left out."""
    dropout: Rate | None = None
    """Share of the last features that is dropped in training (timm's `drop_rate`); left out: the model's own."""
    drop_path: Rate | None = None
    """Share of the residual branches that is dropped in training (timm's `drop_path_rate`)."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name.partition(".")[0] not in names():
            raise ValueError("not a model of timm")
        return name


@cache
def names() -> list[str]:
    return [f"{PREFIX}{name}" for name in registered("timm")]


def build(params: Params, classes: int, side_px: int) -> nn.Module:
    from fewer.machine.imports import import_torchvision

    import_torchvision()  # which timm imports
    import timm

    from fewer.models.stem import small_stem

    plain = params.name.removeprefix(PREFIX).partition(".")[0]
    options = {"drop_rate": params.dropout, "drop_path_rate": params.drop_path}
    asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    config = timm.get_pretrained_cfg(plain, allow_unregistered=True)
    if config is not None and config.fixed_input_size:
        asked["img_size"] = side_px
    try:
        model: nn.Module = timm.create_model(plain, pretrained=False, num_classes=classes, **asked)
    except TypeError as error:
        keys = {"drop_rate": "dropout", "drop_path_rate": "drop_path"}
        unknown = next((key for name, key in keys.items() if name in asked and name in str(error)), None)
        if unknown is None:
            raise
        raise ValueError(f"has no {unknown}; leave model.{unknown} out") from None
    return small_stem(model, side_px) if params.stem == "small" else model


def published(params: Params) -> Published:
    """The weights that timm loads by this name, and the statistics that their images were normalised by."""
    import timm

    from fewer.models.hub import Published, downloaded

    name = params.name.removeprefix(PREFIX)
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        raise ValueError("has no published weights of this tag") from None
    if config is None or not config.has_weights:
        raise ValueError("has no published weights")
    if config.hf_hub_id:
        from huggingface_hub import hf_hub_url

        file_name = config.hf_hub_filename or "model.safetensors"
        url = hf_hub_url(config.hf_hub_id.partition("@")[0], file_name)
        file = downloaded(url, f"{config.hf_hub_id.partition('/')[2]}.{file_name.rpartition('.')[2]}")
    else:
        url = str(config.url)
        file = downloaded(url, url.rpartition("/")[2])
    return Published(file, tuple(config.mean), tuple(config.std))


def usual_moments(params: Params) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation that images for timm's weights of a net are normalised by; None: there are none."""
    import timm

    config = timm.get_pretrained_cfg(params.name.removeprefix(PREFIX), allow_unregistered=True)
    return (tuple(config.mean), tuple(config.std)) if config is not None else None


def adapted(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Position embeddings of a vision transformer, and a Swin's tables of relative positions, resampled to the model's
    own grid and windows."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    tensors = {**tensors, **_resampled_tables(tensors, model)}
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    ours, theirs = getattr(model, "pos_embed", None), tensors.get("pos_embed")
    if grid is None or ours is None or theirs is None or theirs.shape == ours.shape:
        return tensors
    extra = 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 1))
    squares = theirs.shape[1] - extra if theirs.dim() == ours.dim() == 3 else -1
    if squares < 1 or isqrt(squares) ** 2 != squares:
        return tensors
    return {**tensors, "pos_embed": resample_abs_pos_embed(theirs, list(grid), num_prefix_tokens=extra)}


def _resampled_tables(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Tables of relative positions, (2 h - 1) (2 w - 1) rows each, that are of other windows than the model's."""
    from torch.nn.functional import interpolate

    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        key = f"{name}.relative_position_bias_table"
        ours, theirs = getattr(module, "relative_position_bias_table", None), tensors.get(key)
        window = getattr(module, "window_size", None)
        if ours is None or theirs is None or window is None or theirs.shape == ours.shape:
            continue
        side, heads = isqrt(len(theirs)), ours.shape[-1]
        if theirs.shape != (side**2, heads):
            continue
        picture = theirs.T.reshape(1, heads, side, side)
        size = [2 * each - 1 for each in window]
        found[key] = interpolate(picture, size, mode="bicubic").reshape(heads, -1).T.contiguous()
    return found
