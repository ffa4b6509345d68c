"""idx files, CIFAR's archives, Hugging Face data sets: what is listed and read, and what is refused."""

from __future__ import annotations

import gzip
import http.server
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cifar
from fewer.core.errors import DataError, RecipeError
from fewer.data.listing.splits import open_splits
from fewer.data.sources import absolute, is_source, kinds, open_source, unpickle
from fewer.recipe.parse import parse_recipe


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fewer"


def refusal(text: str) -> str:
    with pytest.raises(DataError) as caught:
        open_source(text)
    assert "fix:" in str(caught.value)
    return str(caught.value)


# --- names ---------------------------------------------------------------------------------------------------------


def test_kinds_are_found_by_their_files() -> None:
    assert kinds() == ["cifar10", "cifar100", "digits", "folder", "hf", "idx", "tar"]
    for text in ("digits", "cifar10", "cifar100:x", "folder:x", "hf:a/b:c?label=d", "idx:x"):
        assert is_source(text)
    for kind in ("folder", "tar", "idx", "cifar10", "hf"):
        refusal(f"{kind}:/{'x' * 5000}")
    refusal("x" * 5000)
    for text in ("", "digit", "digits:x", "folder", "folder:", "hf", "idx", "cifar", "base:x", "unpickle", "download"):
        assert not is_source(text)


def test_recipes_take_every_kind_with_paths_of_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    for given, wanted in {
        "idx:mnist": f"idx:{tmp_path}/mnist",
        "cifar10": "cifar10",
        "cifar10:here": f"cifar10:{tmp_path}/here",
        "hf:ylecun/mnist": "hf:ylecun/mnist",
        "hf:local?label=x": f"hf:{tmp_path}/local?label=x",
        "hf:./other": f"hf:{tmp_path}/other",
        "5%": "5%",
    }.items():
        assert absolute(given, tmp_path) == wanted
    content = {"data": {"source": "cifar1"}, "model": {"name": "lenet5"}}
    with pytest.raises(RecipeError, match=r'unknown data.source "cifar1"; allowed: .*hf:NAME.*fix: cifar10'):
        parse_recipe(content)
    content["data"] = {"source": "idx:a", "test": "idx:b", "labels": {"csv": "l.csv", "column": "c"}}  # type: ignore[dict-item]
    data = parse_recipe(content, base=tmp_path).data
    assert (data.source, data.test) == (f"idx:{tmp_path}/a", f"idx:{tmp_path}/b")
    assert data.labels is not None
    assert (data.labels.csv, data.labels.key, data.labels.column) == (f"{tmp_path}/l.csv", "file", "c")


# --- idx -----------------------------------------------------------------------------------------------------------


def idx(values: np.ndarray[Any, Any], stated: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    shape = stated or values.shape
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()


def digits(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 5, 4), dtype=np.uint8)
    return images, (np.arange(count) * 7 % 12).astype(np.uint8)


def write_idx(folder: Path, stem: str, count: int, spelling: str = "-idx", packed: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    for name, values in zip(("images-idx3", "labels-idx1"), digits(count, count), strict=True):
        content = idx(values)
        path = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}".replace("-idx", spelling)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
def test_idx_files_are_read_as_written(tmp_path: Path, packed: bool, spelling: str) -> None:
    write_idx(tmp_path / "m", "train", 36, spelling, packed)
    write_idx(tmp_path / "m", "t10k", 12, spelling, packed)
    source = open_source(f"idx:{tmp_path / 'm'}")
    assert source.classes == [str(number) for number in range(12)], "by value, not by letters"
    assert list(source.names) == sorted(source.names)
    for part, count in (("train", 36), ("test", 12)):
        images, labels = digits(count, count)
        ids = source.parts[part]
        assert np.array_equal(np.stack([source.read(i) for i in ids.tolist()]), images)
        assert source.labels[ids].tolist() == labels.tolist()
        assert source.names[int(ids[3])] == f"{part}/03"
    assert source.native_side_px() == 4
    splits = open_splits(f"idx:{tmp_path / 'm'}")
    assert splits.test is not None
    assert (len(splits.test), len(splits.train)) == (12, 24), "one image of each of twelve classes validates"


def test_idx_takes_one_file_of_images_and_maps_plain_ones(tmp_path: Path) -> None:
    write_idx(tmp_path / "m", "t10k", 12)
    path = tmp_path / "m" / "t10k-images-idx3-ubyte"
    lone = open_source(f"idx:{path}")
    assert not lone.parts
    assert list(lone.names)[:2] == ["00", "01"]
    assert list(lone.names) == list(open_source(f"idx:{tmp_path / 'm'}").names), "a lone test set is no part"
    changed = bytearray(path.read_bytes())
    changed[16] ^= 1
    before = int(lone.read(0)[0, 0])
    with path.open("r+b") as file:
        file.write(changed)
    assert int(lone.read(0)[0, 0]) == before ^ 1, "mapped, not copied"


@pytest.mark.parametrize("packed", [False, True])
def test_hostile_idx_files_are_refused(tmp_path: Path, packed: bool) -> None:
    write_idx(tmp_path / "m", "train", 20)
    images, labels = digits(20, 20)
    ending = ".gz" if packed else ""
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        path = tmp_path / "m" / name
        content = path.read_bytes()
        path.unlink()
        path.with_name(name + ending).write_bytes(gzip.compress(content) if packed else content)
    path = tmp_path / "m" / f"train-images-idx3-ubyte{ending}"
    for bad, word in (
        (idx(images, kind=9), "begins with 00 00 09 03"),
        (idx(labels), "begins with 00 00 08 01"),
        (b"", "begins with nothing"),
        (idx(images)[:9], "begins with 00 00 08 03"),
        (idx(images)[:-1], "the file holds 399"),
        (idx(images) + b"x", "the file holds"),
        (idx(images, (1 << 31, 1 << 31, 1 << 31)), "2,147,483,648 x 2,147,483,648"),
        (idx(images, (10, 10, 4)), "20 labels, but"),
        (idx(images[:0]), "20 labels, but"),
    ):
        path.write_bytes(gzip.compress(bad) if packed else bad)
        message = refusal(f"idx:{tmp_path / 'm'}")
        assert word in message
    if packed:
        whole = gzip.compress(idx(images))
        for bad in (whole[:-9], whole[:30], b"\x1f\x8b", whole[:25] + b"\xff\xff" + whole[27:], b"plain"):
            path.write_bytes(bad)
            assert "train-images" in refusal(f"idx:{tmp_path / 'm'}")
        path.write_bytes(gzip.compress(idx(images) + bytes(50_000_000)))
        assert "the file holds more" in refusal(f"idx:{tmp_path / 'm'}"), "a bomb is not unpacked"


def test_missing_idx_files_are_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(f"idx:{tmp_path / 'none'}")
    assert "holds no idx files" in refusal(f"idx:{tmp_path}")
    write_idx(tmp_path / "m", "train", 12)
    (tmp_path / "m" / "train-labels-idx1-ubyte").unlink()
    assert "no train-labels-idx1-ubyte" in refusal(f"idx:{tmp_path / 'm'}")
    assert "labels are missing" in refusal(f"idx:{tmp_path / 'm' / 'train-images-idx3-ubyte'}")


# --- cifar ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder on a loopback server, its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            asked.append(self.path)

    root = tmp_path / "served"
    root.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Handler(*args, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield root, f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("which", ["10", "100"])
def test_cifar_is_downloaded_once_and_read_as_published(
    served: tuple[Path, str, list[str]], own_cache: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    root, address, asked = served
    packed = cifar.packed_files(which)
    archive = cifar.place(root, which, packed)
    cifar.publish(monkeypatch, which, cifar.files(which), packed, f"{address}/{archive.name}")
    source = open_source(f"cifar{which}")
    assert asked == [f"/{archive.name}"]
    assert source.classes == cifar.CLASSES[which]
    assert list(source.names) == sorted(source.names)
    seeds = {"10": [("train", s, 6) for s in range(5)] + [("test", 5, 6)], "100": [("train", 0, 12), ("test", 1, 8)]}
    id_of = {name: i for i, name in enumerate(source.names)}
    for part, seed, count in seeds[which]:
        batch = cifar.batch(which, count, seed)
        for row, name in enumerate(batch[b"filenames"]):
            label = cifar.CLASSES[which][batch[b"labels" if which == "10" else b"fine_labels"][row]]
            id = id_of[f"{part}/{label}/{name.decode()}"]
            planes = batch[b"data"][row].reshape(3, 32, 32)
            assert np.array_equal(source.read(id), planes.transpose(1, 2, 0))
            assert source.classes[source.labels[id]] == label
            assert id in source.parts[part]
    again = open_source(f"cifar{which}")
    assert asked == [f"/{archive.name}"], "not asked for again"
    folder = own_cache / f"cifar{which}"
    (folder / archive.name).unlink()
    assert list(again.names) == list(open_source(f"cifar{which}:{folder}").names), "what is unpacked suffices"
    assert not list(folder.rglob(".new-*"))


def test_without_a_network_the_error_names_file_place_and_hash(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{unused.getsockname()[1]}/x.tar.gz")
        message = refusal("cifar10")
        for word in ("cifar-10-python.tar.gz", str(own_cache / "cifar10"), CIFAR10.tgz_md5, "cannot be downloaded"):
            assert word in message
        assert str(tmp_path / "mine") in refusal(f"cifar10:{tmp_path / 'mine'}")
    monkeypatch.setattr(CIFAR10, "url", "file:///etc/hostname")
    assert not list((tmp_path / "mine").iterdir())


def test_other_content_than_the_hash_says_is_not_kept(
    served: tuple[Path, str, list[str]], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, address, _ = served
    packed = cifar.packed_files("10")
    archive = cifar.place(root, "10", packed[:-1])
    cifar.publish(monkeypatch, "10", cifar.files("10"), packed, f"{address}/{archive.name}")
    assert "bytes came with the md5" in refusal("cifar10")
    assert not list((own_cache / "cifar10").iterdir())
    place = cifar.place(own_cache / "cifar10", "10", packed[:-1])
    assert f"{place}: not the published file" in refusal("cifar10")
    cifar.publish(monkeypatch, "10", cifar.files("10"), packed, f"{address}/none")
    place.unlink()
    assert "404" in refusal("cifar10")


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_hostile_cifar_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewer.data.sources import cifar as reader

    files = cifar.files("10")

    def said(packed: bytes, members: dict[str, bytes] = files) -> str:
        cifar.place(tmp_path / "c", "10", packed)
        cifar.publish(monkeypatch, "10", {**files, **members}, packed, "http://127.0.0.1:9/")
        message = refusal(f"cifar10:{tmp_path / 'c'}")
        assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["cifar-10-python.tar.gz"]
        return message

    assert "climbs" in said(cifar.packed_files("10", files, tarfile.TarInfo("../../evil")))
    assert "absolute" in said(cifar.packed_files("10", files, tarfile.TarInfo("/etc/evil")))
    assert "symbolic link" in said(cifar.packed_files("10", files, link("cifar-10-batches-py/x", "/etc/passwd")))
    assert "no cifar-10-batches-py/test_batch" in said(
        cifar.packed_files("10", {name: content for name, content in files.items() if name != "test_batch"})
    )
    assert "gzip file is damaged" in said(cifar.packed_files("10")[:-20])
    assert "gzip file is damaged" in said(b"no gzip at all")
    assert "no tar" in said(gzip.compress(b"no tar at all" * 100))
    assert "is damaged: md5" in said(cifar.packed_files("10", {**files, "test_batch": b"other"}))
    monkeypatch.setattr(reader, "_UNPACKED_MAX", 100_000)
    assert "unpacks to more than" in said(cifar.packed_files("10", {**files, "bomb": bytes(10_000_000)}))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch evil",)


def test_pickles_hold_plain_data_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    sound = {b"data": array, b"labels": [1, 2], b"name": b"caf\xe9", b"none": None, b"long": 1 << 80}
    written = cifar.pickled({key: sound[key] for key in (b"data", b"labels", b"name")})
    assert np.array_equal(pickle.loads(written, encoding="bytes")[b"data"], array), "what numpy makes of it, too"
    old = unpickle.load(written, "x")
    assert np.array_equal(old.pop("data"), array)
    assert old == {"labels": [1, 2], "name": b"caf\xe9"}
    for protocol in (0, 1, 2, 3, 4):
        read = unpickle.load(pickle.dumps(sound, protocol=protocol), "x")
        assert np.array_equal(read.pop("data"), array)
        assert read["name"] in (b"caf\xe9", "caf\xe9".encode("latin1"))
        assert read["long"] == 1 << 80
    huge = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(\x8a\x06\0\0\0\0\0\x10tU\x01btR."
    assert not isinstance(unpickle.load(huge, "x"), int), "a stated shape reserves nothing"
    for bad, word in (
        (pickle.dumps(Evil()), "names posix.system"),
        (pickle.dumps(print), "names builtins.print"),
        (b"cnumpy.f2py.diagnose\nrun_command\n.", "names numpy.f2py.diagnose.run_command"),
        (b"cnumpy\nload\n.", "names numpy.load"),
        (b"(S'touch evil'\nios\nsystem\n.", "instruction INST"),
        (pickle.dumps(Path("x")), "plain data"),
        (b"\x80\x02K\x01r\xff\xff\xff\x7f.", "more memory"),
        (pickle.dumps(array.astype(object)), "only bytes"),
        (pickle.dumps(array.astype(np.int64)), "only bytes"),
        (pickle.dumps(np.asfortranarray(array), protocol=2), "rows of bytes"),
        (b"", "plain data"),
        (cifar.pickled(sound[b"labels"])[:-3], "plain data"),
        (b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x0fx.", "plain data"),
    ):
        with pytest.raises(DataError, match="plain data") as caught:
            unpickle.load(bad, "file")
        assert word in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_misshapen_cifar_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = cifar.files("10")
    sound = cifar.batch("10", 6, 5)
    for i, bad in enumerate(
        (
            [1, 2],
            {**sound, b"data": sound[b"data"][:5]},
            {**sound, b"labels": [0, 1, 2, 0, 1, 3]},
            {**sound, b"labels": [0, 1, 2, 0, 1, b"x"]},
            {key: value for key, value in sound.items() if key != b"labels"},
        )
    ):
        members = {**files, "test_batch": cifar.pickled(bad)}
        packed = cifar.packed_files("10", members)
        cifar.place(tmp_path / f"{i}", "10", packed)
        cifar.publish(monkeypatch, "10", members, packed, "http://127.0.0.1:9/")
        assert "test_batch: not the layout" in refusal(f"cifar10:{tmp_path / f'{i}'}")
    members = {**files, "test_batch": cifar.pickled({**sound, b"filenames": [b"../x.png"] * 6})}
    packed = cifar.packed_files("10", members)
    cifar.place(tmp_path / "names", "10", packed)
    cifar.publish(monkeypatch, "10", members, packed, "http://127.0.0.1:9/")
    source = open_source(f"cifar10:{tmp_path / 'names'}")
    assert source.names[0] == "test/airplane/test_batch-00000.png"


# --- hf ------------------------------------------------------------------------------------------------------------


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
    message = refusal(f"hf:{hub}?label=none")
    assert "label (string), more (int64)" in message
    assert "?label=COLUMN" in message
    assert "holds no images" in refusal(f"hf:{hub}?image=more")


def test_what_no_data_set_can_be_made_of_is_refused(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    assert "does not exist" in refusal(f"hf:{tmp_path / 'none'}")
    message = refusal("hf:nobody/has-this")
    assert "cannot be loaded" in message
    assert "HF_HOME" in message
    (hub / "x.parquet").write_bytes(b"PAR1 and no more")
    assert "cannot be loaded" in refusal(f"hf:{hub}")
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
    assert "1 of 3 images of the split train have no label" in refusal(f"hf:{hub}")
    parquet(hub / "test.parquet", [0], 0, typed(["a", "b"]))
    (hub / "x.parquet").rename(hub / "validation.parquet")
    assert "no split train" in refusal(f"hf:{hub}")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert "pip install datasets" in refusal(f"hf:{hub}")
