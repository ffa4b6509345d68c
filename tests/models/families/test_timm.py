"""timm as an extra."""

from __future__ import annotations

import pytest

from fewer.models import registry


def test_timm_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    without = registry.Models("fewer.models.families", "model", "none", "name")
    monkeypatch.setattr(registry, "_listed", lambda family: [])
    with pytest.raises(KeyError) as caught:
        without.params("timm:resnet10t")
    assert "pip install timm" in caught.value.args[0]
