"""Pickles of plain data; all others are refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifar
from fewer.core.errors import DataError
from fewer.data.reading import unpickle


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
