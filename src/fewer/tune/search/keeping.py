"""Checkpoints of a search's trials: those of the best trial stay, those of all others go once it is over."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewer.runs.folder import RunFolder


def drop_checkpoints(found: Mapping[str, Any], out: Path) -> None:
    """Removes the checkpoints of trials that are over and are not the best; their records and reports stay.

    A trial that was interrupted goes on from its checkpoints, so it keeps them. Trials of other machines lie in other
    folders, which are left to these. What cannot be removed stays, and the search goes on.

    Args:
        found: The content of `tune.json`, which is written by now: a kill in between costs no result.
        out: Folder of the search.
    """
    for trial in found["trials"]:
        if trial["folder"] and trial["outcome"] != "begun" and trial["number"] != found["best"]:
            shutil.rmtree(RunFolder(out / trial["folder"], writes=False).checkpoints, ignore_errors=True)
