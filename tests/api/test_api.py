"""The calls for Python: training shows progress and never takes another run's folder; models load and predict."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import fewer
from command_line import images
from paths import ROOT

RECIPE = """[data]
source = "folder:photos"
val = "none"
test = "25%"
cache = "no"
[model]
name = "squeezenet1_1"
[train]
epochs = 1
batch_size = 8
lr = 0.001
precision = "fp32"
[out]
plots = false
previews = false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    images(folder / "photos")
    (folder / "photos.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Any:
    """Two runs of one recipe: with progress from its file, then without from Python; results, and what was shown."""
    import contextlib
    import io

    results, shown = [], []
    with contextlib.chdir(home):
        recipe = fewer.load_recipe("photos.toml")
        for call in (lambda: fewer.fit("photos.toml"), lambda: fewer.fit(recipe, name="photos", progress=False)):
            with contextlib.redirect_stderr(io.StringIO()) as stderr:
                results.append(call())
            shown.append(stderr.getvalue())
    return results, shown


def test_a_second_call_has_a_folder_of_its_own(trained: Any, home: Path) -> None:
    first, second = trained[0]
    assert (first["folder"], second["folder"]) == (str(Path("runs/photos")), str(Path("runs/photos-2")))
    assert all((home / each["folder"] / "result.json").is_file() for each in (first, second))
    assert first["state"] == second["state"]


def test_progress_is_shown_unless_it_is_silenced(trained: Any) -> None:
    shown, silent = trained[1]
    assert re.search(r"runs/photos", shown), "the first line says where the run goes"
    assert re.search(r"epoch +1/1", shown)
    assert silent == ""


def test_the_result_is_what_its_type_says(trained: Any) -> None:
    assert trained[0][0].keys() <= fewer.RunResult.__annotations__.keys()


def test_a_folder_that_is_given_must_be_new(trained: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(fewer.FewerError, match="the run folder exists"):
        fewer.fit("photos.toml", "runs/photos", progress=False)


def test_images_are_predicted_one_by_one(trained: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (home / "broken.png").write_bytes(b"no image")
    *whole, broken = fewer.predict("runs/photos", ["photos/dark", "broken.png"], top=2)
    assert [Path(found.path).name for found in whole] == [f"{number:02}.png" for number in range(12)]
    answer = whole[0].answer
    assert answer["class"] == answer["top"][0]["class"]
    assert {top["class"] for top in answer["top"]} == {"dark", "light"}
    assert sum(top["probability"] for top in answer["top"]) == pytest.approx(1, abs=1e-6)
    assert broken.answer is None
    assert broken.fault


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plain-pytorch.md").read_text("utf-8"), re.DOTALL)


def test_the_page_on_plain_pytorch_gives_what_fewer_predicts(
    trained: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    shutil.copy("photos/light/03.png", "photo.png")
    plain, with_fewer, inputs = blocks()
    assert len(plain.strip().splitlines()) == 5, "an import, a blank line, and three lines"
    scope: dict[str, Any] = {}
    exec(plain + inputs, scope)
    (found,) = fewer.predict("runs/photos", "photo.png")
    expected = {top["class"]: top["probability"] for top in found.answer["top"]}
    assert scope["probabilities"] == pytest.approx(expected, abs=1e-5)
    own: dict[str, Any] = {}
    exec(with_fewer, own)
    assert isinstance(own["model"], torch.nn.Module)
    assert not own["model"].training
    weights = own["model"].state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in scope["model"].state_dict().items())
