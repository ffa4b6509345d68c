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
