"""First weights of a run: from files, other runs and libraries."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

import fewer
from fewer import models
from fewer.core.errors import CheckpointError, DataError, RecipeError
from fewer.models.files import read_tensors
from fewer.models.matching import match
from fewer.models.pretrained import read_weights
from fewer.models.recognition import network_of
from fewer.session.build import build_model, build_optimizer, make_plan, open_data, open_session
from first_weights import CIFAR, recipe, state


def test_a_run_begins_with_the_weights_and_a_head_of_its_own(tmp_path: Path) -> None:
    theirs = state(classes=3)
    save_file(theirs, tmp_path / "w.safetensors")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")})
    session = open_session(asked, open_data(asked))
    (note,) = [note for note in session.plan.notes if "first weights" in note]
    assert "100% of the network" in note
    assert "fc.weight" in note
    ours = session.run.workers[0].model.state_dict()
    for name, value in ours.items():
        assert torch.equal(value, torch.zeros_like(value) if name.startswith("fc.") else theirs[name]), name


def test_a_head_of_cosines_keeps_the_directions_that_were_drawn(tmp_path: Path) -> None:
    save_file(state(classes=3), tmp_path / "w.safetensors")
    cosines = {**CIFAR, "head": "normalized"}
    drawn, asked = recipe(cosines), recipe({**cosines, "weights": str(tmp_path / "w.safetensors")})
    heads = [
        open_session(each, open_data(each)).run.workers[0].model.state_dict()["fc.weight"] for each in (drawn, asked)
    ]
    assert torch.equal(*heads)


@pytest.mark.parametrize(
    ("name", "mean"),
    [("mobilenet_v2", (0.485, 0.456, 0.406)), ("googlenet", (0.5,) * 3), ("timm:tf_efficientnet_lite0", (0.5,) * 3)],
)
def test_a_file_that_states_no_statistics_gets_those_of_the_librarys_weights(
    tmp_path: Path, name: str, mean: tuple[float, ...]
) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    found = read_weights(models.params(name)(name=name, weights=str(tmp_path / "w.safetensors")))
    assert found is not None
    assert (found.moments and found.moments[0], found.are_usual) == (mean, True)
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors", {"mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]"})
    stated = read_weights(models.params(name)(name=name, weights=str(tmp_path / "w.safetensors")))
    assert stated is not None
    assert (stated.moments, stated.are_usual) == (((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)), False)


def test_the_digest_is_that_of_the_content_not_of_the_path(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        save_file(state(seed), tmp_path / f"{name}.safetensors")
        asked = recipe({**CIFAR, "weights": str(tmp_path / f"{name}.safetensors")})
        digests.append(make_plan(asked, open_data(asked)).digest)
    plain = make_plan(recipe(), open_data(recipe())).digest
    assert digests[0] == digests[1]
    assert len({*digests, plain}) == 3


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_file(models.build("lenet5", 10, 16, width=0.1).state_dict(), tmp_path / "w.safetensors")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")})
    with pytest.raises(RecipeError, match=r"another architecture.*0 tensors fit"):
        make_plan(asked, open_data(asked))


def test_weights_that_hold_themselves_are_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match="damaged, or no file of tensors"):
        read_weights(models.params("resnet18_cifar")(**{**CIFAR, "weights": str(tmp_path / "w.pt")}))


def test_weights_under_other_names_fit_by_order_and_shape(tmp_path: Path) -> None:
    theirs = {f"layer{i:03d}": tensor for i, tensor in enumerate(state(classes=7).values())}
    torch.save(theirs, tmp_path / "w.pt")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.pt")})
    plan = make_plan(asked, open_data(asked))
    assert "by order and shape, since their names are others" in str(plan.notes)
    found = build_model(plan).state_dict()
    assert all(
        torch.equal(ours, theirs[f"layer{i:03d}"]) for i, ours in enumerate(found.values()) if i < len(found) - 2
    )
    torch.save(dict(reversed(theirs.items())), tmp_path / "w.pt")
    with pytest.raises(RecipeError, match="another architecture"):
        make_plan(asked, open_data(asked))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    content = state()
    content["conv1.weight"][0] = torch.nan
    save_file(content, tmp_path / "w.safetensors")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")})
    with pytest.raises(DataError, match=r"conv1\.weight holds numbers that are not finite"):
        make_plan(asked, open_data(asked))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("nowhere.pt", "no such file"),
        ("folder", "without a trained model"),
        ("w.txt", "no file of tensors"),
        ("resnet18.safetensors", "not a whole safetensors file"),
        ("default", "no pub"),
    ],
)
def test_a_place_without_weights_is_refused(tmp_path: Path, weights: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "w.txt").write_text("x")
    (tmp_path / "resnet18.safetensors").write_bytes(save(state())[:-100])
    place = weights if weights == "default" else str(tmp_path / weights)
    with pytest.raises((RecipeError, DataError), match=said):
        read_weights(models.params("resnet18_cifar")(**{**CIFAR, "weights": place}))


def test_the_network_of_a_file_that_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    for name in ("resnet18.pt", "w.safetensors", "run"):
        with pytest.raises(RecipeError, match="no such file or folder"):
            network_of(str(tmp_path / name))
    (tmp_path / "resnet18.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="not a whole safetensors file"):
        network_of(str(tmp_path / "resnet18.safetensors"))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"model\.json: cannot be read"):
        network_of(str(tmp_path))


@pytest.mark.parametrize("prefix", ["model.", "module.encoder_q.", "ema_model.", "backbone.body."])
def test_a_wrappers_prefix_is_taken_off_and_said(tmp_path: Path, prefix: str) -> None:
    theirs = state()
    others = {
        "criterion.weight": torch.zeros(9),
        f"{prefix}extra": torch.zeros(2),
        "encoder_k.fc.bias": torch.zeros(10),
    }
    torch.save({"state_dict": {f"{prefix}{k}": v for k, v in theirs.items()} | others}, tmp_path / "best.ckpt")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "best.ckpt")})
    plan = make_plan(asked, open_data(asked))
    (note,) = [note for note in plan.notes if "first weights" in note]
    assert f"names that begin with {prefix.removeprefix('module.')!r}, which was taken off" in note
    assert "1 unexpected: extra" in note
    model = build_model(plan)
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("of", "for_", "said"),
    [
        ("resnet34", "resnet18", r"it has blocks that this network lacks, such as layer1\.2, so it is of a deeper one"),
        ("resnet18", "resnet34", r"it lacks blocks of this network, such as layer1\.2, so it is of a shallower one"),
        ("densenet201", "densenet121", "denselayer25, so it is of a deeper one"),
        ("convnext_small", "convnext_tiny", r"features\.5\.9, so it is of a deeper one"),
        ("efficientnet_b1", "efficientnet_b0", "so it is of a deeper one"),
    ],
)
def test_weights_of_another_depth_are_refused_with_the_cause(of: str, for_: str, said: str) -> None:
    with torch.device("meta"):
        theirs, ours = (models.build(name, 10, 64) for name in (of, for_))
    found = match(ours, {k: torch.zeros(()).expand(v.shape) for k, v in theirs.state_dict().items()}, 10)
    assert not found.suffices
    assert re.search(said, found.cause)


def test_weights_of_another_depth_are_refused_by_the_plan(tmp_path: Path) -> None:
    theirs = {**state(), **{f"layer1.9.{name}": torch.zeros(99, 99) for name in ("conv1.weight", "conv2.weight")}}
    save_file(theirs, tmp_path / "w.safetensors")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")})
    with pytest.raises(RecipeError, match=r"such as layer1\.9, so it is of a deeper one; .*change model\.name"):
        make_plan(asked, open_data(asked))


NUMBERS = {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and with the file that it began from."""
    folder = tmp_path_factory.mktemp("trained")
    save_file(state(), folder / "w.safetensors")
    fewer.fit(
        recipe({**CIFAR, "weights": str(folder / "w.safetensors")}, normalize=NUMBERS), folder / "run", progress=False
    )
    return folder


def test_a_run_hands_its_model_and_its_statistics_on(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", symlinks=True)
    best = tmp_path / "run" / "checkpoints" / "best"
    about = json.loads((best / "model.json").read_text())
    assert (about["mean"], about["std"]) == (NUMBERS["mean"], NUMBERS["std"]), "what predict normalises by"
    about = json.loads((best / "model.json").read_text())
    asked = recipe({**CIFAR, "weights": str(tmp_path / "run")})
    session = open_session(asked, open_data(asked))
    assert (list(session.train_data.mean), list(session.train_data.std)) == (about["mean"], about["std"])
    theirs = read_tensors(best / "model.safetensors")
    assert all(torch.equal(v, theirs[k]) for k, v in session.run.workers[0].model.state_dict().items())
    weights = next(best.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="is not what was written"):
        read_weights(asked.model)


def test_a_resumed_run_keeps_its_first_weights(trained: Path) -> None:
    save_file(state(seed=8), trained / "w.safetensors")
    with pytest.raises(RecipeError, match="not the weights that the run began with"):
        fewer.resume(trained / "run", ["train.epochs=2"])


@pytest.mark.parametrize(
    ("asked", "mean"),
    [("auto", 0.25), ("imagenet", 0.485), ("dataset", None), (NUMBERS, 0.4)],
    ids=lambda value: str(value),
)
def test_images_are_normalised_as_asked(tmp_path: Path, asked: str | dict[str, Any], mean: float | None) -> None:
    said = {"mean": "[0.25, 0.25, 0.25]", "std": "[0.5, 0.5, 0.5]"}
    save_file(state(), tmp_path / "w.safetensors", metadata=said)
    chosen = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")}, normalize=asked)
    session = open_session(chosen, open_data(chosen))
    assert session.train_data.mean[0] == (mean or session.train_data.moments(16)[0][0])
    assert session.train_data.mean[0] != 0.25 or asked == "auto"
    assert isinstance(asked, str) or session.train_data.std == (0.1, 0.2, 0.3)
    assert ("normalised by" in str(session.plan.notes)) == (asked == "auto")


def test_the_last_layer_may_learn_faster_than_the_others() -> None:
    asked = recipe()
    train = asked.train.model_copy(update={"head_lr_scale": 10.0})
    plan = make_plan(asked.model_copy(update={"train": train}), open_data(asked))
    groups = build_optimizer(plan, build_model(plan)).param_groups
    assert {name for group in groups if group["base_lr"] == 10 * train.lr for name in group["names"]} == {
        "fc.weight",
        "fc.bias",
    }
    assert {group["base_lr"] for group in groups} == {train.lr, 10 * train.lr}


@pytest.mark.parametrize("std", ["[0, 1, 1]", "[1, 1]", "nothing", '["a", 1, 1]', "[NaN, 1, 1]"])
def test_statistics_that_are_none_are_refused(tmp_path: Path, std: str) -> None:
    save_file(state(), tmp_path / "w.safetensors", metadata={"mean": "[0, 0, 0]", "std": std})
    with pytest.raises(DataError, match="mean and std"):
        read_weights(models.params("resnet18_cifar")(**CIFAR, weights=str(tmp_path / "w.safetensors")))


@pytest.mark.parametrize(("name", "file"), [("resnet18", "resnet18-f37072fd.pth"), ("timm:resnet10t", ".safetensors")])
def test_without_a_network_the_error_names_the_file_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(DataError) as caught:
        read_weights(models.params(name)(name=name, weights="default"))
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)
    assert file in str(caught.value)
    assert "https://" in str(caught.value)
