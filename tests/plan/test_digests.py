"""Digests of plans, pinned: what is recorded under one must be found again, whatever recipes are made of inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dense_data import box_data, mask_data
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session.build import make_plan, open_data
from paths import ROOT

# Data, weights and precision that every machine has.
EVERYWHERE = ["data.source=digits", "data.test=auto", "model.weights=none", "train.precision=fp32"]
OF_FILES = {
    "caltech-resnet18.toml": "f63fce06ff241662",
    "caltech-timm.toml": "1d68a69179640b6b",
    "cifar10-16.toml": "f636a2e3c5cf0d52",
    "cifar10-longtail.toml": "0647d24468742fbc",
    "cifar10-resnet18.toml": "dd7ef693a41a1bca",
    "cifar10.toml": "61a8de0792246a55",
    "digits.toml": "e5a2a2c80c0bf136",
    "diloco.toml": "570d82ed001607e3",
    "large-batch.toml": "a6f42fef1b214c18",
    "lenet5-centralised.toml": "58871b3d5909ecde",
    "lenet5-centralised-adamw.toml": "e48f9022a0c49aa4",
    "lenet5-centralised-cifar10.toml": "58871b3d5909ecde",
    "local-sgd.toml": "f3b8051a66fedddb",
    "slowmo.toml": "5d29ac3f4dd6c55b",
}
# Recipes for boxes and masks, on small data of the tests' own.
OF_DENSE = {
    "detect-bccd.toml": "0976106055fe7d66",
    "detect-coco.toml": "252d4ae7b99a8085",
    "segment-large.toml": "da297ad61106c4ec",
    "segment-camvid.toml": "3e647c9c2c69b8db",
}
PLAIN = "133629e001982f1f"
COSINES = {"head": "normalized"}
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, PLAIN),
    ({"select": {"method": "full"}}, PLAIN),
    ({"select": {"method": "everything"}}, PLAIN),
    ({"select": {"method": "everything", "revision": "2ep"}}, "1284d3f6dc2c090a"),
    (
        {"select": {"method": "dbpd", "score": "fresh", "threshold": 0.2, "guards": {"noise_cap": 0.05}}},
        "0e2d7013dc5d112b",
    ),
    ({"select": {"method": "random"}}, "3a52ac4d0946ae7a"),
    ({"sync": {"method": "every_step"}}, PLAIN),
    ({"train": {"seed": 3}}, PLAIN),
    ({"train": {"optimizer": "sgd", "momentum": 0.8, "nesterov": False}}, "67cd96314c4737ab"),
    ({"train": {"optimizer": "adamw", "lr": 0.001, "betas": [0.9, 0.99], "eps": 1e-6}}, "d49fba8d755749ee"),
    ({"train": {"schedule": "linear", "warmup": "2ep", "warmup_start": 0.2, "final": 0.1}}, "496a7d4d96a346f6"),
    ({"train": {"schedule": "constant", "warmup": "0%"}}, "c671e14a3aa552ac"),
    ({"train": {"schedule": "cosine", "final": 0.05}}, "b48f03a3eb83d935"),
    ({"train": {"schedule": "step", "step_every": "2ep", "step_gamma": 0.5}}, "22b975c94e13a3cb"),
    ({"train": {"schedule": "step", "step_at": ["50%", "75%"]}}, "366c4bb17e218aa4"),
    (
        {"train": {"schedule": "one_cycle", "cycle_peak": "40%", "cycle_momentum": [0.8, 0.9]}},
        "c46d409539cc5b4d",
    ),
    ({"train": {"schedule": "one_cycle", "cycle_momentum": "off", "momentum": 0.8}}, "d64a041ba1bd8c78"),
    ({"train": {"ema": "1ep"}}, "8b766c49538c3217"),
    ({"train": {"lookahead": {"every_steps": 2}}}, "d96f452a0bf924b7"),
    ({"train": {"lookahead": {}}}, "305cc742372fb35e"),
    ({"task": {"loss": "cross_entropy", "flip_tta": True}}, "234f7e447d0a98e2"),
    ({"task": {"tta": "flip"}}, "234f7e447d0a98e2"),
    ({"task": {"flip_tta": False}}, PLAIN),
    ({"task": {"loss": "focal", "focal_gamma": 2.0}}, "af7a33da7acc4a71"),
    ({"task": {"loss": "ldam", "ldam_margin": 0.3}, "model": COSINES}, "b66b61c895823930"),
    ({"task": {"loss": "logit_adjustment", "adjustment_tau": 0.5}}, "09873ae2c2cfc74f"),
    (
        {"task": {"class_weights": "effective_number", "class_beta": 0.99, "reweight_from": "50%"}},
        "89660426bd68ca6d",
    ),
    ({"augment": {"rand_augment": 0, "erasing_share": 0.0, "mixup_alpha": 0.0}}, PLAIN),
    ({"augment": {"rand_augment": 2}}, "879c5c75edb9a47c"),
    ({"augment": {"erasing_share": 0.25}}, "67a2594cc5ad3424"),
    ({"augment": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_until": "90%"}}, "c676ebe2f92e77c8"),
]


def test_every_recipe_of_the_repository_is_pinned() -> None:
    assert {path.name for path in (ROOT / "recipes").glob("*.toml")} == {*OF_FILES, *OF_DENSE}


@pytest.mark.parametrize("name", OF_DENSE)
def test_recipes_for_boxes_and_masks_keep_their_digests(name: str, tmp_path: Path) -> None:
    data = box_data(tmp_path, 20) if name.startswith("detect") else mask_data(tmp_path, 20)
    own = [f"data.source={data.split.source.name}", *EVERYWHERE[1:], "train.batch_size=4", "train.side_px=64"]
    recipe = load_recipe(ROOT / "recipes" / name, own)
    assert make_plan(recipe, open_data(recipe)).digest == OF_DENSE[name]


@pytest.mark.parametrize("name", OF_FILES)
def test_recipes_keep_their_digests(name: str) -> None:
    smaller = ["train.batch_size=512"] if name == "large-batch.toml" else []  # than there are digits
    recipe = load_recipe(ROOT / "recipes" / name, [*EVERYWHERE, *smaller])
    assert make_plan(recipe, open_data(recipe)).digest == OF_FILES[name]


@pytest.mark.parametrize(("sections", "digest"), CASES, ids=lambda value: str(value)[:60])
def test_every_part_keeps_its_digests(sections: dict[str, Any], digest: str) -> None:
    content: dict[str, Any] = {"data": {"source": "digits"}, "model": {"name": "lenet5", "width": 0.2}}
    content["train"] = {"precision": "fp32"}
    for section, keys in sections.items():
        content[section] = {**content.get(section, {}), **keys}
    recipe = parse_recipe(content)
    assert make_plan(recipe, open_data(recipe)).digest == digest
