"""Headers of a tar: hostile, damaged, compressed and cut ones are refused."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.data.listing.splits import open_splits
from fewer.data.listing.tar import members
from sources import folder, member, packed, png, refusal, tar_of


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


def obey(message: str, made: Path, cwd: Path) -> int:
    """Runs the command that a message advises; the images of what it makes, which is listed without fault."""
    (command,) = re.findall("`(.+)`", message)
    subprocess.run(["bash", "-ec", command], check=True, cwd=cwd)
    text = f"folder:{made.with_suffix('')}" if made.with_suffix("").is_dir() and not made.exists() else f"tar:{made}"
    return len(open_splits(text, test="none", val="none").train)


@pytest.mark.parametrize("tool", ["gzip", "bzip2", "xz", "zip"])
@pytest.mark.parametrize("name", ["x.tar", "x y.tar.gz", "x.tgz"])
def test_a_packed_tar_is_refused_with_a_command_that_helps(tmp_path: Path, tool: str, name: str) -> None:
    if shutil.which(tool if tool != "zip" else "python3") is None:
        pytest.skip(f"there is no {tool} here")
    root, path = folder(tmp_path / "f", {"a": 1, "b": 1}), tmp_path / name
    if tool == "zip":
        with zipfile.ZipFile(path, "w") as out:
            for file in root.rglob("*.png"):
                out.write(file, file.relative_to(root))
    else:
        mode = {"gzip": "w:gz", "bzip2": "w:bz2", "xz": "w:xz"}[tool]
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            tar.add(root, arcname=".")
    made = {"x.tar": "x-unpacked.tar", "x y.tar.gz": "x y-unpacked.tar", "x.tgz": "x.tgz-unpacked.tar"}[name]
    assert obey(refusal(f"tar:{path}"), tmp_path / made, tmp_path) == 2


@pytest.mark.parametrize("kind", ["hard", "symbolic", "absolute", "joined", "no tar"])
def test_a_tar_that_is_refused_comes_with_a_command_that_helps(tmp_path: Path, kind: str) -> None:
    root, path = folder(tmp_path / "f", {"a": 1, "b": 1}), tmp_path / "x.tar"
    if kind == "hard":
        os.link(root / "a" / "000.png", root / "a" / "other.png")
    if kind == "symbolic":
        (root / "a" / "other.png").symlink_to("000.png")
    packed(path, root)
    if kind == "joined":
        path.write_bytes(path.read_bytes() + packed(tmp_path / "2.tar", folder(tmp_path / "2", {"c": 1})).read_bytes())
    if kind == "absolute":
        tar_of(path, member("a/1.png"), member("/b/other.png"), member("c/1.png"))
    if kind == "no tar":
        path.write_bytes(b"hello" * 500)
    message = refusal(f"tar:{path}")
    assert obey(message, tmp_path / "x-unpacked.tar", root) == (2 if kind == "no tar" else 3)


@settings(max_examples=40, deadline=None)
@given(keep=st.floats(0, 0.999))
def test_a_tar_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    tmp_path = tmp_path_factory.mktemp("cut")
    whole = packed(tmp_path / "x.tar", folder(tmp_path / "f", {"a": 2, "b": 1})).read_bytes()
    end = whole.rstrip(b"\0")  # what lies behind is the end mark and its padding
    (tmp_path / "cut.tar").write_bytes(end[: int(len(end) * keep)])
    refusal(f"tar:{tmp_path / 'cut.tar'}")


def test_members_beyond_what_octal_digits_can_tell_are_found(tmp_path: Path) -> None:
    """From 8 GiB on, GNU tar writes sizes to base 256. The file is sparse: it takes no room."""
    size, path = 2**33 + 513, tmp_path / "x.tar"
    big, small = tarfile.TarInfo("a/big.png"), tarfile.TarInfo("a/small.png")
    big.size, small.size = size, 3
    padded = -(-size // 512) * 512
    with path.open("wb") as file:
        file.write(big.tobuf(tarfile.GNU_FORMAT))
        file.seek(512 + padded)
        file.write(small.tobuf(tarfile.GNU_FORMAT) + b"xyz")
        file.truncate(512 + padded + 1024 + 1024)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = members(descriptor, "x.tar").files
    finally:
        os.close(descriptor)
    assert found == {"a/big.png": (512, size), "a/small.png": (512 + padded + 512, 3)}


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
