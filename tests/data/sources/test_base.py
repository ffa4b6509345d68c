"""Any source: its native side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from fewer.data.sources import open_source
from sources import folder


def test_native_side_is_the_median_short_side(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 3})
    Image.new("RGB", (9, 40)).save(root / "a" / "000.png")
    (root / "a" / "001.png").write_bytes(b"broken")
    Image.new("RGB", (70, 11)).save(root / "a" / "002.png")
    assert open_source(f"folder:{root}").native_side_px() == 10
