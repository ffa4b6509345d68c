"""Reading of the recipe that a run folder keeps: keys that came later mean what was done then."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fewer.core.messages import KeyPath
from fewer.data.sources import has_masks, marks_difficult
from fewer.recipe.toml_file import read_toml

_PLAN = "plan.json"


def read_recorded(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The content of a run folder's resolved recipe, and the line of each key, as for `read_toml`.

    Args:
        path: The file `recipe.resolved.toml`.

    Raises:
        RecipeError: It cannot be read.
    """
    content, lines = read_toml(path)
    complete(content, path.parent)
    return content, lines


def complete(content: dict[str, Any], run: Path) -> None:
    """Gives keys that came later the value that means what the run did.

    Before `data.store` all images came from their files. Before `data.class_level` the innermost folder was the class,
    and a share as `data.val` gave way to a folder `val/` of the source. Before `data.difficult` difficult objects were
    objects like any other. Before `data.strata` shares of images with masks were drawn by chance.

    Args:
        content: The content of a run's resolved recipe, which is changed.
        run: The run folder.
    """
    data = content.get("data")
    if isinstance(data, dict):
        data.setdefault("store", "none")
        if has_masks(str(data.get("source", ""))):
            data.setdefault("strata", "none")
        if any(marks_difficult(str(data.get(name, ""))) for name in ("source", "val", "test")):
            data.setdefault("difficult", "use")
    if isinstance(data, dict) and "class_level" not in data:
        data["class_level"] = "innermost"
        if re.fullmatch(r"5(\.0+)?%", str(data.get("val", ""))) or _validated_on_folder(run / _PLAN):
            data["val"] = "auto"


def _validated_on_folder(plan: Path) -> bool:
    """Whether the run's plan says that it validates on a folder of its source."""
    try:
        content: Any = json.loads(plan.read_bytes())
        return any(note.startswith("val is the folder ") and " of " in note for note in content["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
