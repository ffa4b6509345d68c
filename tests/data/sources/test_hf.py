"""Hugging Face data sets as sources."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fewer.data.listing.splits import open_splits
from fewer.data.sources import open_source
from sources import source_refusal


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (6, 5), (value % 256, value * 7 % 256, 3)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for parquet files, with caches of its own and no network."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "p").mkdir()
    return tmp_path / "p"


def parquet(path: Path, labels: list[Any], start: int = 0, features: Any = None, **more: list[Any]) -> None:
    import datasets

    rows = {"image": [{"bytes": png(start + i), "path": f"{i}.png"} for i in range(len(labels))], "label": labels}
    datasets.Dataset.from_dict({**rows, **more}, features=features).to_parquet(str(path))


def typed(names: list[str]) -> Any:
    import datasets

    return datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})


def test_a_folder_of_parquet_files_is_read_row_by_row(hub: Path) -> None:
    kind = typed(["T-shirt/top", "a <b>", "😀"])
    parquet(hub / "train-00000-of-00002.parquet", [2, 0, 1, 1], 0, kind)
    parquet(hub / "train-00001-of-00002.parquet", [0, 2, 0], 4, kind)
    parquet(hub / "validation-00000-of-00001.parquet", [1, 0], 20, kind)
    parquet(hub / "test-00000-of-00001.parquet", [-1, -1], 30, kind)
    source = open_source(f"hf:{hub}")
    assert source.classes == ["T-shirt/top", "a <b>", "😀"], "in the data set's own order"
    assert list(source.names) == sorted(source.names)
    assert {part: len(ids) for part, ids in source.parts.items()} == {"train": 7, "val": 2}
    assert any("test (no labels)" in note for note in source.notes)
    ids = source.parts["train"].tolist()
    assert [source.read(i) for i in ids] == [png(i) for i in range(7)]
    assert source.labels[ids].tolist() == [2, 0, 1, 1, 0, 2, 0]
    assert source.sizes[ids].tolist() == [len(png(i)) for i in range(7)]
    assert len({source.stamp(i) for i in range(len(source))}) == len(source)
    splits = open_splits(f"hf:{hub}", val="none")
    assert len(list(splits.manifest())) == 9
    assert splits.train.native_side_px() == 5


def test_string_labels_and_columns_without_types(hub: Path) -> None:
    parquet(hub / "data.parquet", ["dog", "cat", "dog"], more=[1, 2, 3])
    source = open_source(f"hf:{hub}")
    assert (source.classes, source.labels.tolist()) == (["cat", "dog"], [1, 0, 1])
    assert list(source.parts) == ["train"], "which is what the library calls files without a split"
    assert [source.read(i) for i in range(3)] == [png(i) for i in range(3)]
    by_other = open_source(f"hf:{hub}?label=more")
    assert (by_other.classes, by_other.labels.tolist()) == (["1", "2", "3"], [0, 1, 2])
    message = source_refusal(f"hf:{hub}?label=none")
    assert "label (string), more (int64)" in message
    assert "?label=COLUMN" in message
    assert "holds no images" in source_refusal(f"hf:{hub}?image=more")


def test_what_no_data_set_can_be_made_of_is_refused(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    assert "does not exist" in source_refusal(f"hf:{tmp_path / 'none'}")
    message = source_refusal("hf:nobody/has-this")
    assert "cannot be loaded" in message
    assert "HF_HOME" in message
    (hub / "x.parquet").write_bytes(b"PAR1 and no more")
    assert "cannot be loaded" in source_refusal(f"hf:{hub}")
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(1))
    rows = {"image": [{"bytes": None, "path": str(secret)}] * 2, "label": ["a", "b"]}
    kinds = datasets.Features(
        {
            "image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.Value("string"),
        }
    )
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(str(hub / "x.parquet"))
    source = open_source(f"hf:{hub}")
    with pytest.raises(OSError, match="holds no image"):
        source.read(0)
    parquet(hub / "x.parquet", [0, -1, 1], 0, typed(["a", "b"]))
    assert "1 of 3 images of the split train have no label" in source_refusal(f"hf:{hub}")
    parquet(hub / "test.parquet", [0], 0, typed(["a", "b"]))
    (hub / "x.parquet").rename(hub / "validation.parquet")
    assert "no split train" in source_refusal(f"hf:{hub}")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert "pip install datasets" in source_refusal(f"hf:{hub}")
