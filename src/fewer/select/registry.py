"""The registry of selection methods: `select.method` names one."""

from __future__ import annotations

from fewer.core.registry import Registry

METHODS = Registry("fewer.select.methods", "selection method", "fewer.select", "method", aliases={"everything": "full"})
