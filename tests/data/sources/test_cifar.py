"""CIFAR's archives as sources: downloaded once, checked, and refused if hostile."""

from __future__ import annotations

import gzip
import http.server
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifar
from fewer.data.sources import open_source
from sources import source_refusal


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
        message = source_refusal("cifar10")
        for word in ("cifar-10-python.tar.gz", str(own_cache / "cifar10"), CIFAR10.tgz_md5, "cannot be downloaded"):
            assert word in message
        assert str(tmp_path / "mine") in source_refusal(f"cifar10:{tmp_path / 'mine'}")
    monkeypatch.setattr(CIFAR10, "url", "file:///etc/hostname")
    assert not list((tmp_path / "mine").iterdir())


def test_other_content_than_the_hash_says_is_not_kept(
    served: tuple[Path, str, list[str]], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, address, _ = served
    packed = cifar.packed_files("10")
    archive = cifar.place(root, "10", packed[:-1])
    cifar.publish(monkeypatch, "10", cifar.files("10"), packed, f"{address}/{archive.name}")
    assert "bytes came with the md5" in source_refusal("cifar10")
    assert not list((own_cache / "cifar10").iterdir())
    place = cifar.place(own_cache / "cifar10", "10", packed[:-1])
    assert f"{place}: not the published file" in source_refusal("cifar10")
    cifar.publish(monkeypatch, "10", cifar.files("10"), packed, f"{address}/none")
    place.unlink()
    assert "404" in source_refusal("cifar10")


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_hostile_cifar_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewer.data.reading import cifar as reader

    files = cifar.files("10")

    def said(packed: bytes, members: dict[str, bytes] = files) -> str:
        cifar.place(tmp_path / "c", "10", packed)
        cifar.publish(monkeypatch, "10", {**files, **members}, packed, "http://127.0.0.1:9/")
        message = source_refusal(f"cifar10:{tmp_path / 'c'}")
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
        assert "test_batch: not the layout" in source_refusal(f"cifar10:{tmp_path / f'{i}'}")
    members = {**files, "test_batch": cifar.pickled({**sound, b"filenames": [b"../x.png"] * 6})}
    packed = cifar.packed_files("10", members)
    cifar.place(tmp_path / "names", "10", packed)
    cifar.publish(monkeypatch, "10", members, packed, "http://127.0.0.1:9/")
    source = open_source(f"cifar10:{tmp_path / 'names'}")
    assert source.names[0] == "test/airplane/test_batch-00000.png"
