"""Published files: fetched once and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fewer.core.errors import DataError
from fewer.models.hub import downloaded, file_hash
from first_weights import state


def test_published_weights_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.save(state(), tmp_path / "there.pth")
    url, prefix = (tmp_path / "there.pth").as_uri(), file_hash(tmp_path / "there.pth")[:8]
    place = downloaded(url, f"net-{prefix}.pth", prefix)
    assert place.is_relative_to(tmp_path / "home")
    (tmp_path / "there.pth").unlink()
    assert downloaded(url, f"net-{prefix}.pth", prefix) == place  # from the folder
    place.write_bytes(b"another file")
    with pytest.raises(DataError, match="not the file that was published"):
        downloaded(url, f"net-{prefix}.pth", prefix)
