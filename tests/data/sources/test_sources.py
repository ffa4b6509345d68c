"""Listing, splitting and fingerprinting: the same ids from a folder and a tar, and clear words for bad input."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from fewer.core.errors import DataError
from fewer.data.listing.fingerprint import hashes as hashes_of
from fewer.data.listing.layout import PARTS, arranged, grouped
from fewer.data.listing.manifest import Entries, Manifest, difference
from fewer.data.listing.splits import Splits, open_splits, stratified
from fewer.data.listing.string_array import Names
from fewer.data.sources import Source, open_source


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fewer"


def png(value: int, side_px: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (value % 256, value * 7 % 256, 3)).save(out, "PNG")
    return out.getvalue()


def folder(root: Path, counts: dict[str, int]) -> Path:
    """Class folders with so many images each, old enough for their hashes to be cached."""
    for number, (path, count) in enumerate(counts.items()):
        (root / path).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            file = root / path / f"{i:03d}.png"
            file.write_bytes(png(number * 50 + i))
            os.utime(file, (1e9, 1e9))
    return root


def packed(tar: Path, root: Path, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(tar, "w", format=format) as out:
        out.add(root, arcname=".")
    os.utime(tar, (1e9, 1e9))
    return tar


def tar_of(tar: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(tar, "w") as out:
        for member in members:
            member.size = len(png(1)) if member.isreg() else 0
            out.addfile(member, io.BytesIO(png(1)))
    return f"tar:{tar}"


def member(name: str, type: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, target
    return info


def refusal(*args: str, **more: str) -> str:
    with pytest.raises(DataError) as caught:
        open_splits(*args, **more)
    assert "fix:" in str(caught.value)
    return str(caught.value)


def hashes(source: Source, cache: bool = True) -> list[bytes]:
    return list(hashes_of(source, cache))


def contents(source: Source) -> list[bytes]:
    return [bytes(source.read(i)) for i in range(len(source))]


# --- listing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_lists_and_reads_as_its_folder_does(tmp_path: Path, format: int) -> None:
    long = "a" * 60 + "/" + "b" * 80  # longer than a header's 100 bytes
    root = folder(tmp_path / "f", {"b": 3, "a": 2, f"deep/{long}": 2, "a-b": 1})
    (root / "a" / ".hidden.png").write_bytes(b"")
    (root / "a" / "notes.txt").write_text("no image")
    by_folder = open_source(f"folder:{root}")
    by_tar = open_source(f"tar:{packed(tmp_path / 'x.tar', root, format)}")
    assert list(by_tar.names) == list(by_folder.names) == sorted(by_folder.names)
    assert by_tar.classes == by_folder.classes == ["a", "a-b", "b", "b" * 80]
    assert by_tar.labels.tolist() == by_folder.labels.tolist()
    assert by_tar.sizes.tolist() == by_folder.sizes.tolist()
    assert contents(by_tar) == contents(by_folder)


def test_names_outside_utf_8_are_read_and_hashed(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1, "b": 1})
    (root / "a" / "000.png").rename(root / "a" / os.fsdecode(b"\xff\n\t.png"))
    tar = packed(tmp_path / "x.tar", root, tarfile.GNU_FORMAT)
    one, other = (open_splits(text, test="none", val="none") for text in (f"folder:{root}", f"tar:{tar}"))
    assert one.fingerprint == other.fingerprint
    assert all(len(line.split("\t")) == 5 and line.isascii() for line in one.manifest())


def test_digits() -> None:
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == [str(i) for i in range(10)]
    assert list(source.names) == sorted(source.names)
    image = source.read(0)
    assert image.shape == (8, 8)
    assert max(int(source.read(i).max()) for i in range(20)) == 255
    assert source.native_side_px() == 8


def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    by_file = contents(open_source("digits"))
    monkeypatch.setattr(Path, "exists", lambda *_, **__: False)
    assert contents(open_source("digits")) == by_file


def test_native_side_is_the_median_short_side(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 3})
    Image.new("RGB", (9, 40)).save(root / "a" / "000.png")
    (root / "a" / "001.png").write_bytes(b"broken")
    Image.new("RGB", (70, 11)).save(root / "a" / "002.png")
    assert open_source(f"folder:{root}").native_side_px() == 10


def test_links_in_folders_are_followed(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1})
    (root / "b").mkdir()
    (root / "b" / "link.png").symlink_to(root / "a" / "000.png")
    (root / "c").symlink_to(folder(tmp_path / "elsewhere", {"c": 2}) / "c")
    assert list(open_source(f"folder:{root}").names) == ["a/000.png", "b/link.png", "c/000.png", "c/001.png"]
    (root / "a" / "up").symlink_to(root)
    assert "links back" in refusal(f"folder:{root}")


NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=()), min_size=1, max_size=6)


@given(names=st.lists(NAMES, max_size=30))
def test_names_are_a_sequence_of_strings(names: list[str]) -> None:
    packed = Names(names)
    assert list(packed) == [packed[i] for i in range(len(packed))] == names
    assert packed[-2:] == names[-2:]
    for beyond in (len(names), -len(names) - 1):
        with pytest.raises(IndexError):
            packed[beyond]


@given(paths=st.sets(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=20))
def test_ids_are_positions_in_the_sorted_paths(paths: set[tuple[str, str, str]]) -> None:
    """However folders and characters sort: "a-b/" lies between "a!/" and "a/"."""
    files = {"/".join(path): (len(path[2]), number) for number, path in enumerate(sorted(paths))}
    assume(PARTS.keys().isdisjoint(name for path in paths for name in path))
    found = arranged("x", grouped(files), ())
    assert list(found.names) == sorted(files)
    assert [tuple(row) for row in found.columns.tolist()] == [files[name] for name in sorted(files)]
    assert [found.classes[label] for label in found.labels] == [name.split("/")[1] for name in sorted(files)]


def test_ten_thousand_classes_of_any_name(tmp_path: Path) -> None:
    odd = ["<script>alert(1)", "😀🏳️‍🌈", "&amp;", '"quoted"', "\u202egnp", "tab\there", "new\nline", "x" * 200]
    files = {f"{name}/{i}.png": (1,) for name in odd for i in range(2)}
    files |= {f"class {number:05d}/{i}.png": (1,) for number in range(10_000) for i in range(2)}
    found = arranged("x", grouped(files), ())
    assert len(found.classes) == 10_008
    assert set(odd) <= set(found.classes)
    label_N = torch.from_numpy(found.labels)
    chosen = stratified(torch.arange(len(label_N)), label_N, 0.05, 0, "val")
    assert torch.equal(label_N[chosen], torch.arange(10_008)), "one of two images each"
    root = folder(tmp_path, dict.fromkeys(odd, 1))
    splits = open_splits(f"folder:{root}", test="none", val="none")
    assert all(line.isprintable() for text in splits.manifest() for line in text.split("\t"))


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (member("/etc/cat.png"), "absolute"),
        (member("a/../../x.png"), "climbs"),
        (member("a/x.png", tarfile.SYMTYPE, "/etc/passwd"), "symbolic link"),
        (member("a/x.png", tarfile.LNKTYPE, "a/1.png"), "hard link"),
        (member("a/x.png", tarfile.CHRTYPE), "device"),
        (member("a/x.png", tarfile.FIFOTYPE), "pipe"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, bad: tarfile.TarInfo, word: str) -> None:
    text = tar_of(tmp_path / "x.tar", member("a/1.png"), bad)
    message = refusal(text)
    assert word in message
    assert bad.name in message
    assert "x.tar" in message


@pytest.mark.parametrize("size", [b"-0000002000\0", b"-1\0\0\0\0\0\0\0\0\0\0", b"+0000002000\0"])
def test_a_size_with_a_sign_is_damaged(tmp_path: Path, size: bytes) -> None:
    """Back to a header that was read before, for ever."""
    whole = bytearray(packed(tmp_path / "x.tar", folder(tmp_path / "f", {"a": 2})).read_bytes())
    header = next(at for at in range(512, len(whole), 512) if whole[at + 156 : at + 157] == b"0")
    whole[header + 124 : header + 136] = size
    whole[header + 148 : header + 156] = b" " * 8
    whole[header + 148 : header + 156] = b"%06o\0 " % sum(whole[header : header + 512])
    (tmp_path / "x.tar").write_bytes(whole)
    assert "damaged" in refusal(f"tar:{tmp_path / 'x.tar'}")


@pytest.mark.parametrize("record", [b"1" * 5000 + b" path=a", b"5013 size=" + b"1" * 5002 + b"\n"])
def test_numbers_of_thousands_of_digits_are_damaged(tmp_path: Path, record: bytes) -> None:
    about = tarfile.TarInfo("about")
    about.type, about.size = tarfile.XHDTYPE, len(record)
    with tarfile.open(tmp_path / "x.tar", "w") as out:
        out.addfile(about, io.BytesIO(record))
        out.addfile(member("a/1.png"))
    assert "damaged" in refusal(f"tar:{tmp_path / 'x.tar'}")


@pytest.mark.parametrize(("tool", "word"), [("gzip", "gunzip"), ("bzip2", "bunzip2"), ("xz", "unxz")])
def test_a_compressed_tar_is_refused_with_the_command(tmp_path: Path, tool: str, word: str) -> None:
    mode = {"gzip": "w:gz", "bzip2": "w:bz2", "xz": "w:xz"}[tool]
    with tarfile.open(tmp_path / "x.tar", mode) as out:  # type: ignore[call-overload]
        out.add(folder(tmp_path / "f", {"a": 1}), arcname=".")
    assert f"{word} {tmp_path / 'x.tar'}" in refusal(f"tar:{tmp_path / 'x.tar'}")


@settings(max_examples=40, deadline=None)
@given(keep=st.floats(0, 0.999))
def test_a_tar_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    tmp_path = tmp_path_factory.mktemp("cut")
    whole = packed(tmp_path / "x.tar", folder(tmp_path / "f", {"a": 2, "b": 1})).read_bytes()
    end = whole.rstrip(b"\0")  # what lies behind is the end mark and its padding
    (tmp_path / "cut.tar").write_bytes(end[: int(len(end) * keep)])
    refusal(f"tar:{tmp_path / 'cut.tar'}")


def test_other_files_are_no_tar(tmp_path: Path) -> None:
    for content, word in ((b"", "empty"), (b"hello" * 500, "no tar"), (png(1), "no tar"), (b"\0" * 1024, "no images")):
        (tmp_path / "x.tar").write_bytes(content)
        assert word in refusal(f"tar:{tmp_path / 'x.tar'}")
    one = packed(tmp_path / "1.tar", folder(tmp_path / "f", {"a": 2})).read_bytes()
    (tmp_path / "x.tar").write_bytes(one + one)
    assert "after the end mark" in refusal(f"tar:{tmp_path / 'x.tar'}")
    damaged = bytearray(one)
    damaged[1024 + 150] ^= 1
    (tmp_path / "x.tar").write_bytes(damaged)
    assert "damaged" in refusal(f"tar:{tmp_path / 'x.tar'}")


def test_bad_folders_and_texts(tmp_path: Path) -> None:
    assert "does not exist" in refusal(f"folder:{tmp_path / 'none'}")
    assert "No such file" in refusal(f"tar:{tmp_path / 'none.tar'}")
    assert "folder:PATH" in refusal(f"tar:{tmp_path}")
    assert "digits, folder:PATH" in refusal("imagenet")
    assert f"fix: folder:{tmp_path}" in refusal(str(tmp_path))
    assert "no images" in refusal(f"folder:{tmp_path}")
    root = folder(tmp_path / "f", {"a": 2, "b": 2})
    assert "is a file" in refusal(f"folder:{root / 'a' / '000.png'}")
    (root / "empty").mkdir()
    assert "class folder empty/ holds no images" in refusal(f"folder:{root}")
    (root / "empty").rmdir()
    (root / "x.png").write_bytes(png(1))
    assert "directly in the root (first: x.png)" in refusal(f"folder:{root}")
    (root / "x.png").unlink()
    os.mkfifo(root / "a" / "pipe.png")
    assert "no regular file" in refusal(f"folder:{root}")
    assert "directly in train/" in refusal(f"folder:{folder(tmp_path / 'g', {'train': 2})}")
    assert "no train/" in refusal(f"folder:{folder(tmp_path / 'h', {'val/a': 2, 'test/a': 2})}")
    for i, mixed in enumerate(({"x/train/a": 1, "x/test/a": 1, "y/b": 1}, {"x/train/a": 1, "x/val/a": 1, "b": 1})):
        assert "below other folders" in refusal(f"folder:{folder(tmp_path / f'mixed{i}', mixed)}")
    assert "directly in a/" in refusal(f"folder:{folder(tmp_path / 'nested', {'a': 1, 'a/b': 1})}")
    for share in ("0%", "100%", "250%"):
        assert share in refusal("digits", test=share)


def test_classes_must_agree(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", {"b": 4, "c": 4})
    test = folder(tmp_path / "test", {"a": 2, "c": 2})
    message = refusal(f"folder:{train}", test=f"folder:{test}")
    assert "'a'" in message
    assert "a/000.png" in message
    assert str(test) in message
    fewer = folder(tmp_path / "fewer", {"c": 2})
    splits = open_splits(f"folder:{train}", test=f"folder:{fewer}", val="none")
    assert splits.test is not None
    assert splits.test.label_N.tolist() == [1, 1]
    assert "the test set has no image of b" in splits.notes


# --- splits --------------------------------------------------------------------------------------------------------


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.val or ()), len(splits.test or ())


def test_layouts(tmp_path: Path) -> None:
    three = folder(tmp_path / "3", {f"{part}/{c}": 20 for part in ("train", "val", "test") for c in "ab"})
    assert sizes(open_splits(f"folder:{three}")) == (40, 40, 40)
    assert sizes(open_splits(f"folder:{three}", test="none", val="none")) == (40, 0, 0)
    assert sizes(open_splits(f"tar:{packed(tmp_path / '3.tar', three)}")) == (40, 40, 40)
    splits = open_splits(f"folder:{three}")
    assert splits.train.source.names[int(splits.train.ids_M[0])] == "train/a/000.png"
    imagenet = folder(tmp_path / "2", {f"x/{part}/{c}": 20 for part in ("train", "val", "extra") for c in "ab"})
    splits = open_splits(f"folder:{imagenet}")
    assert sizes(splits) == (38, 2, 40)
    assert any("test is the folder val/" in note for note in splits.notes)
    assert any("extra/" in note for note in splits.notes)
    assert sizes(open_splits(f"folder:{imagenet}", test="10%")) == (36, 40, 4)
    lone = folder(tmp_path / "1", {"train/a": 20, "train/b": 20})
    assert sizes(open_splits(f"folder:{lone}")) == (30, 2, 8)
    assert sizes(open_splits(f"folder:{lone}", test=f"folder:{three}", val=f"folder:{three}")) == (40, 40, 40)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), share=st.floats(0.01, 0.99), seed=st.integers(0, 99)
)
def test_held_out_shares_are_stratified_and_know_no_order(counts: list[int], share: float, seed: int) -> None:
    label_N = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    ids = torch.arange(len(label_N))
    chosen = stratified(ids, label_N, share, seed, "val")
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    for label, count in enumerate(counts):
        taken = int((label_N[chosen] == label).sum())
        assert taken == min(max(int(count * share + 0.5), 1), count - 1)
    assert torch.equal(chosen, stratified(ids[torch.randperm(len(ids))], label_N, share, seed, "val"))


def test_splits_are_disjoint_complete_and_repeatable() -> None:
    splits = open_splits("digits", test="20%", val="10%", split_seed=3)
    assert splits.val is not None
    assert splits.test is not None
    parts = [splits.train, splits.val, splits.test]
    ids = torch.cat([part.ids_M for part in parts])
    assert ids.sort().values.tolist() == list(range(1797))
    for part in parts:
        assert torch.equal(torch.nonzero(part.label_N >= 0).flatten(), part.ids_M)
        assert torch.bincount(part.label_N[part.ids_M]).float().std() < 4
    again = open_splits("digits", test="20%", val="10%", split_seed=3)
    assert torch.equal(again.train.ids_M, splits.train.ids_M)
    other = open_splits("digits", test="20%", val="10%", split_seed=4)
    assert other.val is not None
    assert not torch.equal(other.val.ids_M, splits.val.ids_M)
    small = splits.train.without(splits.train.ids_M[:5])
    assert len(small) == len(splits.train) - 5
    assert (small.label_N >= 0).sum() == len(small)


def test_a_class_with_one_image_keeps_it_for_training(tmp_path: Path) -> None:
    root = folder(tmp_path, {"lone": 1, "many": 9})
    splits = open_splits(f"folder:{root}")
    assert splits.train.label_N.tolist().count(0) == 1
    assert sizes(splits) == (7, 1, 2)
    for part in ("test", "val"):
        assert f"the {part} set has no image of lone" in splits.notes


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_the_fingerprint_sees_every_change_and_says_it(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})

    def now() -> tuple[str, list[str]]:
        splits = open_splits(f"folder:{root}", test="none", val="none")
        return splits.fingerprint, list(splits.manifest())

    first, lines = now()
    assert now() == (first, lines)
    assert difference(lines, lines) is None
    (root / "a" / "000.png").write_bytes(png(200))
    changed, changed_lines = now()
    assert difference(lines, changed_lines) == "1 with changed content (first: train a/000.png)"
    (root / "b" / "003.png").rename(root / "b" / "009.png")
    renamed, renamed_lines = now()
    said = difference(changed_lines, renamed_lines)
    assert said == "1 added (first: train b/009.png), 1 removed (first: train b/003.png)"
    assert len({first, changed, renamed}) == 3


def test_the_fingerprint_sees_labels_and_splits(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})
    lines = list(open_splits(f"folder:{root}", test="none", val="none").manifest())
    relabelled = [line.replace("\ta\t", "\tb\t") if i < 2 else line for i, line in enumerate(lines)]
    assert difference(lines, relabelled) == "2 with a changed label (first: train a/000.png)"
    cross = [line.replace("a/000", "a/0") for line in lines[:1]] + lines[2:]
    assert difference(lines, cross) == "1 added (first: train a/0.png), 2 removed (first: train a/000.png)"
    moved = list(open_splits(f"folder:{root}", test="25%", val="none").manifest())
    assert "2 moved to another split" in (difference(lines, moved) or "")


@given(seed=st.integers(0, 9), names=st.sets(NAMES, min_size=1, max_size=12))
def test_the_digest_is_that_of_the_sorted_lines(seed: int, names: set[str]) -> None:
    listed = Names(sorted(names))
    count = len(listed)
    random = np.random.default_rng(seed)
    content = [random.bytes(16) for _ in range(count)]
    part_N = random.integers(0, 3, count)
    entries = [
        Entries(
            part, np.flatnonzero(part_N == i), listed, np.arange(count), content, np.arange(count) % 2, ["a\t", "b"]
        )
        for i, part in enumerate(("train", "val", "test"))
    ]
    manifest = Manifest(entries)
    lines = list(manifest)
    assert len(lines) == count
    total = hashlib.blake2b(digest_size=16)
    for line in sorted(lines):
        assert line.isprintable() or line.replace("\t", "").isprintable()
        total.update(line.encode() + b"\n")
    assert manifest.digest() == total.hexdigest()
    assert gzip.decompress(manifest.packed()).decode().splitlines() == lines
    assert difference(manifest, Manifest(entries[::-1])) is None


def test_the_cache_is_used_but_never_trusted(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "f", {"a": 4, "b": 4})
    tar = packed(tmp_path / "x.tar", root)
    for text in (f"folder:{root}", f"tar:{tar}"):
        source = open_source(text)
        truth = hashes(source, cache=False)
        assert not own_cache.exists() or len(list(own_cache.iterdir())) == 1
        assert hashes(source) == truth
        with monkeypatch.context() as patch:
            patch.setattr(type(source), "read", lambda *_: pytest.fail("read although cached"))
            assert hashes(open_source(text)) == truth
    for file in own_cache.iterdir():
        sound = file.read_bytes()
        for bad in (b"", sound[:-1], sound[:60] + b"\xff" + sound[61:], b"somebody else's"):
            file.write_bytes(bad)
            assert hashes(open_source(f"folder:{root}"), cache=True) == truth
    assert not [file for file in own_cache.iterdir() if file.name.startswith(".new")]


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "plain"))
    source = open_source(f"folder:{folder(tmp_path / 'f', {'a': 3})}")
    assert hashes(source) == hashes(source, cache=False)


def test_what_was_just_written_is_not_cached(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", {"a": 1})
    file = root / "a" / "000.png"
    file.write_bytes(png(1))
    status = file.stat()
    before = hashes(open_source(f"folder:{root}"))
    file.write_bytes(png(2))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as on a disk whose clock ticks slowly
    assert file.stat().st_size == status.st_size
    assert hashes(open_source(f"folder:{root}")) != before


def test_listing_needs_no_torch() -> None:
    code = "import sys, fewer.data.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
