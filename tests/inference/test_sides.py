"""`fewer eval --sides`, and what it measures of a model with BatchNorm."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewer.core.errors import RecipeError
from fewer.inference import sides
from fewer.inference.evaluate import Opened, evaluate
from fewer.inference.sides import evaluate_sides
from fewer.recipe.parse import parse_recipe
from fewer.session.fit import fit
from fewer.testing.flops import FlopsFromShapes
from image_files import photo
from server import Ended, complains

TRAIN, VAL = 180, 36  # images


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a net with BatchNorm at 16 px, whose best model was chosen by its loss."""
    folder = tmp_path_factory.mktemp("sides") / "run"
    content = {
        "data": {"source": "digits", "test": "88%", "val": "16%", "cache": "no"},
        "model": {"name": "cnn", "width": 0.1, "logit_scale": 1.0},
        "train": {"epochs": 2, "side_px": 16, "batch_size": 32, "lr": 0.05, "precision": "fp32"},
        "evaluate": {"best": "loss"},
        "out": {"plots": False, "previews": False},
    }
    fit(parse_recipe(content), folder)
    return folder


def test_a_row_a_side_with_the_numbers_of_an_evaluation_at_that_side(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flops, original = FlopsFromShapes(), sides.measured

    def counted(opened: Opened, on_progress: Any) -> dict[str, Any]:
        with flops:
            return original(opened, on_progress)

    monkeypatch.setattr(sides, "measured", counted)
    found = evaluate_sides(trained, split="val", sides_px=[24, 16, 24])
    rows = {row["side_px"]: row for row in found["sides"]}
    assert list(rows) == [16, 24], "ascending, each once"
    for side_px, row in rows.items():
        assert row["metrics"] == evaluate(trained, split="val", side_px=side_px)["metrics"]
        low, high = row["intervals"]["val/top1"]
        assert low < row["metrics"]["val/top1"] < high
    assert found["published_side_px"] == 16
    # Counted from outside: the images' forwards, at both sides.
    assert flops.forward == found["images"] * sum(row["forward_flops"] for row in rows.values())
    assert rows[24]["forward_flops"] > 2 * rows[16]["forward_flops"]


def test_the_best_side_is_that_of_the_metric_which_chose_the_model(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By loss here, where less is better; of equal sides the smallest; on test images it is said to flatter."""
    losses = {16: 0.7, 20: 0.3, 24: 0.3, 28: 0.5}

    def invented(opened: Opened, on_progress: object) -> dict[str, Any]:
        side_px, split = opened.handed.side_px, opened.split
        metrics = {f"{split}/loss": losses[side_px], f"{split}/top1": side_px / 100}
        about = dict.fromkeys(("model", "epochs", "source", "damaged", "task"), "")
        return {**about, "split": split, "images": 10, "side_px": side_px, "metrics": metrics, "seconds": 0.0}

    monkeypatch.setattr(sides, "measured", invented)
    found = evaluate_sides(trained, split="val", sides_px=list(losses))
    assert (found["best_side_px"], found["metric"], found["notes"]) == (20, "val/loss", [])
    on_test = evaluate_sides(trained, sides_px=list(losses))
    assert (on_test["best_side_px"], on_test["metric"]) == (20, "test/loss")
    assert "flatters" in on_test["notes"][0]


def test_new_statistics_are_those_of_training_images_at_the_side(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first BatchNorm's mean is that of what it was given; what was published stays as it is."""
    seen: list[torch.nn.Module] = []
    means: list[torch.Tensor] = []
    original, renew = sides.measured, sides.reestimate

    def watched(opened: Opened, on_progress: Any) -> dict[str, Any]:
        seen.append(opened.handed.model)
        return original(opened, on_progress)

    def watched_renewal(model: torch.nn.Module, batches: Any, forward: Any) -> int:
        (batch,) = list(batches)
        assert (len(batch), batch.inputs.shape[-1]) == (TRAIN, 24)
        layer = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
        hook = layer.register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((0, 2, 3))))
        images = renew(model, [batch], forward)
        hook.remove()
        return images

    monkeypatch.setattr(sides, "measured", watched)
    monkeypatch.setattr(sides, "reestimate", watched_renewal)
    found = evaluate_sides(trained, split="val", sides_px=[24], batchnorm_images=100_000)
    assert found["batchnorm_images"] == TRAIN
    first = next(module for module in seen[0].modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert first.running_mean is not None
    assert torch.allclose(first.running_mean, means[0], atol=1e-4)
    as_published = evaluate(trained, split="val", side_px=24)["metrics"]
    assert found["sides"][0]["metrics"]["val/loss"] != as_published["val/loss"]


def test_new_statistics_are_of_the_run_s_images_whatever_it_is_evaluated_on(trained: Path, tmp_path: Path) -> None:
    for label in (0, 7):
        (tmp_path / str(label)).mkdir()
        photo(16, 16, label).save(tmp_path / f"{label}/one.png")
    found = evaluate_sides(trained, [f"data.test=folder:{tmp_path}"], sides_px=[24], batchnorm_images=50)
    assert (found["batchnorm_images"], found["images"]) == (50, 2)


def test_no_side_is_an_error(trained: Path) -> None:
    with pytest.raises(RecipeError, match="sides_px holds no side"):
        evaluate_sides(trained, sides_px=[])


def test_the_table_marks_the_best_side_and_the_published_one(at_home: Callable[..., Ended]) -> None:
    ended = at_home("eval", "done", "--sides", "36,24,48", "--split", "val")
    assert ended.code == 0, ended.stderr
    title, header, *rows, statistics = ended.stdout.splitlines()
    assert "on 12 images" in title
    assert header.split()[0] == "px"
    assert max(map(len, (header, *rows))) <= 80
    assert [row.split()[0] for row in rows] == ["24", "36", "48"]
    assert all("FLOP" in row and " to " in row for row in rows)
    assert sum("best" in row for row in rows) == 1
    assert statistics == "BatchNorm: as published"


def test_sides_of_images_in_a_tar(home: Path, at_home: Callable[..., Ended], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "more.tar", "w") as tar:
        tar.add(home / "more", "more")
    found = at_home("eval", "done", f"data.test=tar:{tmp_path / 'more.tar'}", "--sides", "24,40", "--json").json
    folder = at_home("eval", "done", "data.test=folder:more", "--sides", "24,40", "--json").json
    assert [row["metrics"] for row in found["sides"]] == [row["metrics"] for row in folder["sides"]]
    assert found["images"] == 70


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--sides", "24,big"], ['"big" is no side', "32,40,48"]),
        (["--sides", "4"], ['"4" is no side', "from 8 to 4096"]),
        (["--sides", ",".join(map(str, range(8, 48)))], ["40 sides", "up to 32"]),
        (["--sides", "24,32", "--side", "24"], ["--side", "leave one of the two out"]),
        (["--sides", "24", "--per-class"], ["--per-class", "leave one of the two out"]),
        (["--sides", "24,8"], ["side_px = 8", "lenet5"]),
        (["--batchnorm-images", "100"], ["--batchnorm-images 100 goes with --sides"]),
        (["--sides", "24", "--batchnorm-images", "9"], ["has no BatchNorm"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_sides_complain(at_home: Callable[..., Ended], arguments: list[str], parts: list[str]) -> None:
    complains(at_home("eval", "done", *arguments), 2, *parts)
