"""What a device does for speed gives way to determinism."""

from __future__ import annotations

from fewer.machine.device import DeviceSettings, choose_device_settings


def test_device_settings_give_way_to_determinism() -> None:
    assert choose_device_settings("cpu", False, False) == DeviceSettings()
    assert choose_device_settings("cuda", False, False) == DeviceSettings(True, True, True, True)
    assert choose_device_settings("cuda", True, True) == DeviceSettings()
