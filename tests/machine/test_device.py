"""What a device does for speed gives way to determinism; GPUs are chosen among those that the process may use."""

from __future__ import annotations

import os

import pytest

from fewer.core.errors import RecipeError
from fewer.machine.device import DeviceSettings, choose_device_settings, choose_gpus, gpu_numbers


def test_device_settings_give_way_to_determinism() -> None:
    assert choose_device_settings("cpu", False, False) == DeviceSettings()
    assert choose_device_settings("cuda", False, False) == DeviceSettings(True, True, True)
    assert choose_device_settings("cuda", True, True) == DeviceSettings()


def test_gpus_are_chosen_among_those_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5,7")
    assert gpu_numbers() == ["4", "5", "7"]
    assert choose_gpus("0,2") == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    for asked, said in (("0,2", "shows 2 GPUs; allowed: numbers from 0 to 1"), ("1,1", "twice"), ("a", "allowed")):
        with pytest.raises(RecipeError, match=said):
            choose_gpus(asked)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RecipeError, match="shows no GPU"):
        choose_gpus("0")
