"""Images in object storage: fetched once, verified, and then as those of a folder or a tar."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import images
from fewer import parse_recipe
from fewer.core.errors import DataError, RecipeError, RemoteError
from fewer.data.sources import Source, form_of, open_source
from fewer.recipe.places import is_move
from fewer.session.build import make_plan, open_data
from storage import BUCKET, SECRET, Proxy, StorageServer, environment, found_by


@pytest.fixture(autouse=True)
def _reached(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with found_by(monkeypatch, {**environment(proxy.url), "XDG_CACHE_HOME": str(tmp_path / "cache")}):
        yield


@pytest.fixture
def prefix() -> str:
    return f"data/{uuid.uuid4().hex}"


@pytest.fixture
def photos(tmp_path: Path, storage: StorageServer, prefix: str) -> Path:
    """A folder of six photos, and the same below the prefix."""
    folder = images(tmp_path / "photos", per_class=3)
    for path in folder.rglob("*.png"):
        storage.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return folder


def same(found: Source, expected: Source) -> None:
    assert list(found.names) == list(expected.names)
    assert [found.read(id) for id in range(len(found))] == [expected.read(id) for id in range(len(expected))]
    assert found.classes == expected.classes


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewer.runs.remote.retry.delay_seconds", lambda tries: 0.0)


def test_a_folder_is_fetched_once_and_then_only_what_is_new(
    photos: Path, storage: StorageServer, proxy: Proxy, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"s3://{BUCKET}/{prefix}"
    for name in ("dark/notes.txt", "dark/.hidden.png"):
        storage.put(f"{prefix}/{name}", b"no image")
    same(open_source(text), open_source(f"folder:{photos}"))
    assert f"{text}, 6 files: 0.0 MB" in capsys.readouterr().err
    same(open_source(text), open_source(f"folder:{photos}"))
    assert capsys.readouterr().err == "", "nothing is fetched again"
    (photos / "dark" / "00.png").write_bytes((photos / "light" / "00.png").read_bytes())
    storage.put(f"{prefix}/dark/00.png", (photos / "dark" / "00.png").read_bytes())
    (photos / "light" / "02.png").unlink()
    storage.delete(f"{prefix}/light/02.png")
    same(open_source(text), open_source(f"folder:{photos}"))
    assert "1 file:" in capsys.readouterr().err
    proxy.set("drop")
    same(open_source(text), open_source(f"folder:{photos}"))
    said = capsys.readouterr().err
    assert "no answer" in said
    assert "what was fetched from there earlier is used" in said


def test_a_class_that_is_gone_there_is_gone_here(
    photos: Path, storage: StorageServer, prefix: str, tmp_path: Path
) -> None:
    text = f"s3://{BUCKET}/{prefix}"
    for name in ("grey/00.png", "grey/01.png"):
        storage.put(f"{prefix}/{name}", (photos / "dark" / "00.png").read_bytes())
    assert open_source(text).classes == ["dark", "grey", "light"]
    (record,) = tmp_path.glob("cache/fewer/s3/*/synced.json")
    for name in ("grey/00.png", "grey/01.png"):
        storage.delete(f"{prefix}/{name}")
    same(open_source(text), open_source(f"folder:{photos}"))
    assert not (record.parent / "files" / "grey").exists()
    assert "grey" not in record.read_text()


def test_a_tar_is_fetched_whole_though_a_bit_turns_on_the_way(
    photos: Path, storage: StorageServer, proxy: Proxy, prefix: str, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(photos, arcname=".")
    storage.put(f"{prefix}.tar", packed.getvalue())
    (tmp_path / "photos.tar").write_bytes(packed.getvalue())
    proxy.set("flip", after_bytes=3000, times=1)
    same(open_source(f"s3://{BUCKET}/{prefix}.tar"), open_source(f"tar:{tmp_path / 'photos.tar'}"))
    assert proxy.hits == 1


def test_a_transfer_that_fails_goes_on_where_it_was(
    photos: Path, proxy: Proxy, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fewer.data.reading.object_storage._THREADS", 1)
    text = f"s3://{BUCKET}/{prefix}"
    from fewer.runs.remote.bucket import Bucket

    get_range, read = Bucket.get_range, []

    def failing(self: Bucket, key: str, start: int, length: int) -> bytes:
        read.append(key)
        if len(read) == 4:
            proxy.set("drop")
        return get_range(self, key, start, length)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "get_range", failing)
        with pytest.raises(RemoteError, match="no answer") as caught:
            open_source(text)
    assert caught.value.exit_code == 7
    with pytest.raises(RemoteError, match="no answer"):
        open_source(text)
    proxy.reset()
    capsys.readouterr()
    same(open_source(text), open_source(f"folder:{photos}"))
    assert "3 files" in capsys.readouterr().err


def test_a_run_on_storage_has_the_digest_of_one_on_the_same_files(photos: Path, prefix: str) -> None:
    def digest(source: str) -> str:
        content = {"data": {"source": source, "val": "none"}, "model": {"name": "lenet5", "width": 0.1}}
        recipe = parse_recipe({**content, "train": {"epochs": 1, "batch_size": 4}})
        assert SECRET not in recipe.to_toml()
        return make_plan(recipe, open_data(recipe)).digest

    text = f"s3://{BUCKET}/{prefix}"
    assert digest(text) == digest(f"folder:{photos}")
    assert (form_of(text), form_of(f"{text}.tar"), form_of("digits")) == ("folder", "tar", "digits")
    assert is_move("data.source", f"folder:{photos}", text)
    assert not is_move("data.source", f"tar:{photos}", text)


@pytest.mark.parametrize(
    ("place", "problem"), [("nothing/here", "nothing lies there"), ("nothing.tar", "no such object")]
)
def test_an_address_with_nothing_there_is_an_error_of_data(place: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        open_source(f"s3://{BUCKET}/{place}")


def test_a_text_that_is_no_address_is_found_with_the_recipe() -> None:
    with pytest.raises(RecipeError, match="no name of a bucket"):
        parse_recipe({"data": {"source": "s3://No/x"}, "model": {"name": "lenet5"}})
