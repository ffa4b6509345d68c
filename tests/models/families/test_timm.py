"""timm as an extra."""

from __future__ import annotations

import pytest

from fewer import models


def test_timm_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    monkeypatch.setattr(models, "_family_of", lambda: {"lenet5": "lenet5"})
    with pytest.raises(KeyError) as caught:
        models.params("timm:resnet10t")
    assert "pip install timm" in caught.value.args[0]
