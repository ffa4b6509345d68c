"""A small comparison: a recipe, variants, and the arguments that compare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECIPE = """[data]
source = "digits"
subset = 300
val = "20%"
cache = "no"

[model]
name = "lenet5"
width = 0.2

[train]
epochs = 2
batch_size = 64
lr = 0.05
"""

EVIL = "<script>alert(1)</script>"

VARIANTS = f"""
[variants."some {EVIL}"]
select.method = "random"
select.share = 0.7

[variants.starving]
select = {{ method = "dbpd", threshold = 1e-6, guards = "off" }}
"""

ASKED = ("compare", "recipe.toml", "--variants", "variants.toml", "--seeds", "2", "--budgets", "1,100%", "--out", "cmp")

LEAN = ("select.method=random", "--vary", "select.share=0.5", "--seeds", "2", "--no-curve")


def arm_of(summary: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (arm for arm in summary["arms"] if arm["name"] == name)
    return found


def results(home: Path) -> dict[Path, dict[str, Any]]:
    return {
        path.parent: json.loads(path.read_text()) for path in sorted((home / "cmp" / "runs").glob("*/*/result.json"))
    }
