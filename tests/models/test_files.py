"""Files of named tensors: every kind is read, and no code of theirs is run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fewer.core.errors import DataError
from fewer.models.files import read_tensors
from first_weights import state


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ""])
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
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer, .*`git lfs pull`"),
        (b"\n<!DOCTYPE html><html>not found</html>", "a page of HTML"),
        (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_what_holds_no_weights_is_called_by_its_name(tmp_path: Path, content: bytes, said: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"holds no weights: it is {said}"):
        read_tensors(tmp_path / name)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    """Whatever the length of their header looks like, such as the first bytes of a picture."""
    content = state()
    save_file(content, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt").keys() == content.keys()
    header = b"{" + b" " * (0x0AFF - 2) + b"}"
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DataError, match="holds no named tensors"):
        read_tensors(tmp_path / "x")


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
