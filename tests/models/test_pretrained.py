"""First weights: what is read, what fits, what is said of the rest, and what hostile files get."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fewer
from fewer import models
from fewer.core.errors import CheckpointError, DataError, RecipeError
from fewer.models.files import read_tensors
from fewer.models.hub import downloaded, file_hash
from fewer.models.matching import load_matched, match
from fewer.models.pretrained import read_weights
from fewer.recipe.parse import parse_recipe
from fewer.recipe.schema import Recipe
from fewer.session.build import make_plan, open_data, open_session

CIFAR = {"name": "resnet18_cifar", "width": 0.125}


def recipe(model: dict[str, Any] = CIFAR, **data: Any) -> Recipe:
    return parse_recipe(
        {
            "data": {"source": "digits", "test": "93%", "val": "none", **data},
            "model": model,
            "train": {"batch_size": 40, "precision": "fp32"},
            "stages": [{"epochs": 1, "side_px": 16}],
        }
    )


def state(seed: int = 7, classes: int = 10, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    content = {"width": 0.125, **options}
    return {k: v.clone() for k, v in models.build("resnet18_cifar", classes, 16, **content).state_dict().items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("nesting", [[], ["state_dict"], ["model"], ["ema", "module"]])
def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path, suffix: str, nesting: list[str]) -> None:
    path, content = tmp_path / f"w{suffix}", state()
    if suffix == ".safetensors":
        save_file(content, path)
    else:
        saved: Any = {f"module._orig_mod.{name}": value for name, value in content.items()}
        for key in reversed(nesting):
            saved = {key: saved, "epoch": 3}
        torch.save(saved, path)
    read = read_tensors(path)
    assert read.keys() == content.keys()
    assert all(torch.equal(read[name], value) for name, value in content.items())


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code of the file's",))


def hostile(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / ("w.safetensors" if kind.startswith("safe") else "w.pt")
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Evil()}))
    elif kind == "zip":
        torch.save({"a": Evil()}, path)
    elif kind == "truncated":
        torch.save(state(), path)
        path.write_bytes(path.read_bytes()[:20_000])
    elif kind == "safe truncated":
        save_file(state(), path)
        path.write_bytes(path.read_bytes()[:20_000])
    elif kind == "safe header":
        path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "numbers":
        torch.save({"epoch": 3}, path)
    else:
        path.mkdir()
        path = path / "nothing.pt"
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pickle", "could run code"),
        ("zip", "could run code"),
        ("truncated", "damaged"),
        ("safe truncated", "not a whole safetensors"),
        ("safe header", "not a whole safetensors"),
        ("empty", "damaged"),
        ("list", "no named tensors"),
        ("numbers", "'epoch'"),
        ("missing", "cannot be read"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, kind: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_tensors(hostile(tmp_path, kind))
    assert len(str(caught.value)) < 600
    assert "code of the file's" not in capsys.readouterr().out


def test_a_run_begins_with_the_weights_and_a_head_of_its_own(tmp_path: Path) -> None:
    theirs = state(classes=3)
    save_file(theirs, tmp_path / "w.safetensors")
    asked = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")})
    session = open_session(asked, open_data(asked))
    (note,) = [note for note in session.plan.notes if "first weights" in note]
    assert "100% of the network" in note
    assert "fc.weight" in note
    ours = session.run.workers[0].model.state_dict()
    plain = open_session(recipe(), open_data(recipe())).run.workers[0].model.state_dict()
    for name, value in ours.items():
        assert torch.equal(value, plain[name] if name.startswith("fc.") else theirs[name]), name


def test_the_digest_is_that_of_the_content_not_of_the_path(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        save_file(state(seed), tmp_path / f"{name}.safetensors")
        asked = recipe({**CIFAR, "weights": str(tmp_path / f"{name}.safetensors")})
        digests.append(make_plan(asked, open_data(asked)).digest)
    plain = make_plan(recipe(), open_data(recipe())).digest
    assert digests[0] == digests[1]
    assert len({*digests, plain}) == 3


def test_what_does_not_fit_is_counted_and_named() -> None:
    model = models.build("resnet18_cifar", 10, 16, width=0.125)
    tensors = {**state(), "conv1.weight": torch.zeros(8, 3, 7, 7), "extra": torch.zeros(2)}
    del tensors["bn1.weight"], tensors["bn1.num_batches_tracked"]
    found = match(model, tensors, 10)
    assert found.missing == ["bn1.weight"]
    assert found.unexpected == ["extra"]
    assert found.reshaped == [("conv1.weight", (8, 3, 7, 7), (8, 3, 3, 3))]
    assert found.suffices
    for part in ("1 missing: bn1.weight", "1 unexpected: extra", "conv1.weight 8x3x7x7 for 8x3x3x3"):
        assert part in found.describe()
    before = model.conv1.weight.clone()
    load_matched(model, found)
    assert torch.equal(model.conv1.weight, before)
    assert torch.equal(model.layer1[0].conv1.weight, tensors["layer1.0.conv1.weight"])


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
        ("w.txt", "ends in"),
        ("default", "no pub"),
    ],
)
def test_a_place_without_weights_is_refused(tmp_path: Path, weights: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "w.txt").write_text("x")
    place = weights if weights == "default" else str(tmp_path / weights)
    with pytest.raises(RecipeError, match=said):
        read_weights(models.params("resnet18_cifar")(**{**CIFAR, "weights": place}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and with the file that it began from."""
    folder = tmp_path_factory.mktemp("trained")
    save_file(state(), folder / "w.safetensors")
    fewer.fit(recipe({**CIFAR, "weights": str(folder / "w.safetensors")}), folder / "run")
    return folder


def test_a_run_hands_its_model_and_its_statistics_on(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run", symlinks=True)
    best = tmp_path / "run" / "checkpoints" / "best"
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
    ("asked", "mean"), [("auto", 0.25), ("imagenet", 0.485), ("dataset", None)], ids=lambda value: str(value)
)
def test_images_are_normalised_as_asked(tmp_path: Path, asked: str, mean: float | None) -> None:
    said = {"mean": "[0.25, 0.25, 0.25]", "std": "[0.5, 0.5, 0.5]"}
    save_file(state(), tmp_path / "w.safetensors", metadata=said)
    chosen = recipe({**CIFAR, "weights": str(tmp_path / "w.safetensors")}, normalize=asked)
    session = open_session(chosen, open_data(chosen))
    assert session.train_data.mean[0] == (mean or session.train_data.moments(16)[0][0])
    assert session.train_data.mean[0] != 0.25 or asked == "auto"


@pytest.mark.parametrize("std", ["[0, 1, 1]", "[1, 1]", "nothing", '["a", 1, 1]', "[NaN, 1, 1]"])
def test_statistics_that_are_none_are_refused(tmp_path: Path, std: str) -> None:
    save_file(state(), tmp_path / "w.safetensors", metadata={"mean": "[0, 0, 0]", "std": std})
    with pytest.raises(DataError, match="mean and std"):
        read_weights(models.params("resnet18_cifar")(**CIFAR, weights=str(tmp_path / "w.safetensors")))


def test_published_weights_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.save(state(), tmp_path / "there.pth")
    url, prefix = (tmp_path / "there.pth").as_uri(), file_hash(tmp_path / "there.pth")[:8]
    place = downloaded(url, f"net-{prefix}.pth", prefix)
    assert place.is_relative_to(tmp_path / "home")
    (tmp_path / "there.pth").unlink()
    assert downloaded(url, f"net-{prefix}.pth", prefix) == place  # from the folder
    place.write_bytes(b"another file")
    with pytest.raises(DataError, match="not the file that was published"):
        downloaded(url, f"net-{prefix}.pth", prefix)


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


@pytest.mark.parametrize(("name", "key"), [("vit_b_32", "encoder.pos_embedding"), ("timm:vit_tiny_patch16_224", "pos")])
def test_position_embeddings_are_interpolated_to_another_side(name: str, key: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    with torch.device("meta"):
        smaller, larger = (models.build(name, 5, side) for side in (64, 128))
    theirs = {k: torch.full(v.shape, 0.5) for k, v in larger.state_dict().items()}
    found = match(smaller, models.family(name).adapted(theirs, smaller), 5)
    assert not found.reshaped
    (embedding,) = [value for k, value in found.fitting.items() if k.startswith(key)]
    assert torch.allclose(embedding, torch.tensor(0.5), atol=1e-5)  # a constant stays one
