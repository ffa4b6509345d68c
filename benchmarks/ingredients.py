"""What the studies of the tuned recipe at half its width put into it: image sides, other settings, optimizers."""

from __future__ import annotations


def curriculum(*stages: tuple[int, int, dict[str, float]]) -> tuple[str, ...]:
    """Stages of so many epochs at so many pixels, with further keys; all epochs together are stated."""
    rows = [{"epochs": epochs, "side_px": side_px, **more} for epochs, side_px, more in stages]
    texts = ("{" + ", ".join(f"{key}={value}" for key, value in row.items()) + "}" for row in rows)
    return f"train.epochs={sum(epochs for epochs, _, _ in stages)}", f"stages=[{', '.join(texts)}]"


# Half the width, 20,000 images, 12 epochs: the share of the arithmetic that each takes stands in its name.
PIXELS: dict[str, tuple[str, ...]] = {
    "20, 26, 32 px 0.66": curriculum((5, 20, {}), (3, 26, {}), (4, 32, {})),
    "18, 22, 26, 32 px 0.58": curriculum((4, 18, {}), (3, 22, {}), (2, 26, {}), (3, 32, {})),
    "20, 26, 32 px 0.66, weaker views first": curriculum(
        (5, 20, {"strength": 0.3}), (3, 26, {"strength": 0.6}), (4, 32, {})
    ),
    "shares of 0.5 and 0.7 in turn 0.6": curriculum(*((1, 32, {"data_share": (0.5, 0.7)[n % 2]}) for n in range(12))),
}
# Selection that passed in small studies and a proxy, alone and on growing images.
_GROWING = PIXELS["20, 26, 32 px 0.66"]
_SELECTION = {
    "infobatch": ("select.method=infobatch",),
    "srd 0.8": ("select.method=srd", "select.cost=0.8"),
    "proxy 0.7, the last 10 % on all": ("select.method=proxy", "select.share=0.7", "select.revision=10%"),
}
SELECTED: dict[str, tuple[str, ...]] = {
    **_SELECTION,
    **{f"20, 26, 32 px, {name}": (*_GROWING, *keys) for name, keys in _SELECTION.items()},
}
# What a recipe may be made of, each put into the same plain training.
INGREDIENTS: dict[str, tuple[str, ...]] = {
    "EMA over half an epoch, in place of Lookahead": ("train.lookahead=", "train.ema=0.5ep"),
    "no average": ("train.lookahead=",),
    "one-cycle": ("train.warmup=", "train.momentum=", "train.schedule=one_cycle"),
    "mixup 0.2": ("augment.mixup_alpha=0.2", "augment.mix_until=90%"),
    "CutMix 1.0": ("augment.cutmix_alpha=1.0", "augment.mix_until=90%"),
    "the first half frozen in the last third": curriculum((8, 32, {}), (4, 32, {"frozen": '"50%"'})),
    "fp32": ("train.precision=fp32",),
    "rate by the finder": ("train.lr=auto",),
}
# Muon for five sixths of the epochs, at rates a factor of three apart; biases and norms take AdamW's steps.
MUON = {
    f"Muon at {lr:g}, 0.83": (
        "train.epochs=10",
        "train.optimizer=muon",
        "train.momentum=0.95",
        "train.weight_decay=0.05",
        "train.bias_weight_decay=0",
        "train.norm_weight_decay=0",
        "train.norm_lr_scale=1",
        f"train.lr={lr:g}",
    )
    for lr in (0.01, 0.003, 0.03)
}
# The settings of examples/fast_cifar.py with stages of their own, in at most 0.55 of plain training's arithmetic.
_FAST_CIFAR = (
    *("augment.brightness=0.07", "augment.contrast=0.13"),
    *("model.activation=silu", "model.whiten_bias_epochs=1", "model.batchnorm_momentum=0.44"),
    *("train.label_smoothing=0.09", "train.schedule=linear", "train.warmup=0%", "train.warmup_start=", "train.final="),
    *("train.optimizer=muon", "train.adjust_lr=original", "train.newton_schulz_steps=3"),
    *("train.renormalise_every_steps=8", "train.lr=0.205", "train.momentum=0.655", "train.lookahead="),
    *("train.other_optimizer=sgd", "train.other_momentum=0.825", "train.norm_lr_scale=429"),
    *("train.bias_lr_scale=429", "train.head_lr_scale=5", "train.weight_decay=0.00156"),
    *("train.norm_weight_decay=1.8e-5", "train.bias_weight_decay=1.8e-5"),
)
FAST: dict[str, tuple[str, ...]] = {
    "Muon, SiLU, jitter; 24, 32 px": (*_FAST_CIFAR, *curriculum((4, 24, {}), (4, 32, {}))),
    "Muon, SiLU, jitter; 20, 26, 32 px": (*_FAST_CIFAR, *curriculum((4, 20, {}), (3, 26, {}), (3, 32, {}))),
}
