"""Arguments and flags that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from fewer.recipe.schema import Recipe

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)]
RecipeOrSource = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|SOURCE",
        help="A recipe, or images to choose one for: a folder, a tar, digits, cifar10, ...",
        show_default=False,
    ),
]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer reads this at run time)
    typer.Argument(metavar="[KEY=VALUE]...", help="Keys to change, such as train.epochs=20.", show_default=False),
]
EvaluationKeys = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Argument(metavar="[KEY=VALUE]...", help="Keys to change, such as data.test=folder:PATH.", show_default=False),
]
Model = Annotated[
    Path, typer.Argument(help="A run folder, or one of the models in its checkpoints/.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Processes = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--processes", min=0, max=256, help="Decoding processes; by default one a core.", show_default=False),
]
Devices = Annotated[int, typer.Option("--devices", min=1, help="Processes that train together on this machine.")]
Gpus = Annotated[
    str,
    typer.Option(
        "--gpus",
        metavar="0,2",
        help="Train on these of the machine's GPUs, a process each; --devices is then left out.",
        show_default=False,
    ),
]
Until = Annotated[
    str,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Save and stop at this time, to be resumed: 07:00, or 2026-11-30T07:00.",
        show_default=False,
    ),
]
For = Annotated[
    str,
    typer.Option(
        "--for", metavar="LENGTH", help="Save and stop after so long, to be resumed: 90min, 2h.", show_default=False
    ),
]


def present_recipe(file: Path, overrides: Sequence[str] | None) -> Recipe:
    """A recipe whose sources and files are there: a wrong path or key ends a verb before torch is imported."""
    from fewer.recipe.parse import load_recipe
    from fewer.recipe.places import require_present

    recipe = load_recipe(file, overrides or [])
    require_present(recipe)
    return recipe


def devices_asked(devices: int, gpus: str) -> int:
    """How many processes train together, once the GPUs are chosen."""
    from fewer.core.errors import RecipeError
    from fewer.machine.device import choose_gpus

    if not gpus:
        return devices
    count = choose_gpus(gpus)
    if devices not in (1, count):
        raise RecipeError(f"--gpus {gpus} and --devices {devices}: a process each makes {count}; leave out --devices")
    return count


def sitting(until: str, length: str) -> tuple[datetime | None, list[str]]:
    """When the sitting ends, and the flags that tell processes which are launched."""
    from fewer.core.sitting import end_of_sitting
    from fewer.sync.place import is_rank

    ends = end_of_sitting(until, length, may_be_over=is_rank())
    return ends, ["--until", ends.isoformat()] if ends else []


def print_document(
    document: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None], folder: Path, files: Sequence[str]
) -> None:
    """Prints what a verb has found: one JSON document, or for people, and then which files hold it."""
    if as_json:
        import json

        print(json.dumps(document, indent=1))
        return
    from fewer.core.errors import printable

    show(document)
    print(printable(f"{folder}: {', '.join(files)}"))
