"""Names of a library's models, read from its files without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fewer.models.listing import registered


def test_registered_functions_are_listed_whatever_stands_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "a_library" / "models"
    models.mkdir(parents=True)
    (tmp_path / "a_library" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (models / "b.py").write_text(
        "@register_model\ndef plain(x):\n    ...\n\ndef helper(x):\n    ...\n\n"
        "@register_model()\n@handle(\n    weights=1,\n)\ndef with_weights(x):\n    ...\n"
    )
    (models / "a.py").write_text("@register_model\ndef another(x):\n    ...\n@other\ndef no_model(x):\n    ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registered("a_library") == ["another", "plain", "with_weights"]
    assert "a_library" not in sys.modules
    assert registered("no_such_library") == []
