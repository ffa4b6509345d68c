"""`fewer data`: inspection of a source before training."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fewer.cli.data_bench import bench
from fewer.cli.data_convert import convert
from fewer.cli.data_split import split
from fewer.cli.data_store import store
from fewer.cli.options import Json, Overrides, Processes
from fewer.cli.progress import reading_images

if TYPE_CHECKING:
    from fewer.inspection.findings import Finding
    from fewer.inspection.inventory import Inventory

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Inspect data before training: faults and figures. Split, convert, time it, build a store of smaller images.",
)
app.command("store")(store)
app.command("split")(split)
app.command("bench")(bench)
app.command("convert")(convert)
FOUND = 3  # exit code of `data check` if there is anything but infos
_FEW = 5  # findings shown of one code

Place = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A source such as folder:PATH or digits, a path, or a recipe.", show_default=False
    ),
]


@app.command()
def check(
    source: Place,
    overrides: Overrides = None,
    everything: Annotated[bool, typer.Option("--all", help="List every finding, not the first of a kind.")] = False,
    processes: Processes = None,
    as_json: Json = False,
) -> int:
    """Read every image and list all faults, with path and reason.

    Exit code 3 if there are errors or warnings. Errors stop a run (under data.damaged="error") or leak test images.
    Keys say how a source is read, such as data.ignore_index=11; a recipe takes any key.
    """
    inventory, text = _inventory(source, overrides)
    from fewer.inspection.check import check as checked
    from fewer.inspection.scan import scan

    with reading_images() as on_progress:
        found = checked(inventory, scan(inventory, processes, on_progress))
    counts = {level: sum(f.kind.severity == level for f in found) for level in ("error", "warning", "info")}
    if as_json:
        import json
        from collections import Counter

        images = Counter[str]()
        for part in inventory.parts:
            images[part.split] += len(part)
        print(json.dumps({"schema": 1, "source": text, "images": images, "classes": inventory.classes, "counts": counts,
                          "notes": inventory.notes, "findings": [finding.as_json() for finding in found]}))  # fmt: skip
    else:
        _show(found, inventory, counts, everything)
    return FOUND if counts["error"] or counts["warning"] else 0


@app.command()
def stats(
    source: Place,
    overrides: Overrides = None,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--html", help="Write a page with plots and sample images to this file.", show_default=False),
    ] = None,
    processes: Processes = None,
    as_json: Json = False,
) -> int:
    """Show class counts, image sizes, formats, and mean and deviation of the pixels."""
    inventory, text = _inventory(source, overrides)
    from fewer.inspection.scan import scan
    from fewer.inspection.stats import as_text, statistics
    from fewer.runs.record import publishing

    with ExitStack() as stack:
        # Opened first: a place that cannot be written is an error before all images are read.
        page = stack.enter_context(publishing(html)) if html else None
        with reading_images() as on_progress:
            figures = statistics(text, inventory, scan(inventory, processes, on_progress))
        if page:
            from fewer.inspection.statistics_page import statistics_page

            page.write(statistics_page(figures, inventory).encode())
    if as_json:
        import json

        print(json.dumps(figures))
    else:
        from fewer.core.errors import printable

        for line in as_text(figures):
            print(printable(line.replace("\N{NO-BREAK SPACE}", " ")))
        if html is not None:
            print(html)
    return 0


def _inventory(source: str, overrides: list[str] | None) -> tuple[Inventory, str]:
    import sys

    from fewer.core.errors import printable
    from fewer.data.sources import named
    from fewer.inspection.inventory import inventory_of

    text = named(source, Path.cwd())
    inventory = inventory_of(text, overrides or [])
    if text != source:
        print(printable(f"{source} is taken as {text}"), file=sys.stderr)
    return inventory, text


def _show(found: list[Finding], inventory: Inventory, counts: dict[str, int], everything: bool) -> None:
    from itertools import groupby

    from fewer.core.errors import printable
    from fewer.data.listing.class_summary import class_line

    for note in inventory.notes:
        print(f"note    {printable(note)}")

    for code, group in groupby(found, lambda finding: finding.code):
        findings = list(group)
        kind = findings[0].kind
        advice = "" if kind.severity == "info" else "fix: "
        print(f"{kind.severity:8}{code}: {kind.heading(len(findings))}; {advice}{kind.fix}")
        shown = findings if everything else findings[:_FEW]
        for finding in shown:
            where = f"[{finding.split}] " if finding.split not in ("", "all") else ""
            path = f"{printable(finding.path)}: " if finding.path else ""
            print(f"        {where}{path}{printable(finding.reason)}")
        if len(findings) > len(shown):
            print(f"        ... and {len(findings) - len(shown):,} more (--all lists them)")
    totals = ", ".join(f"{count:,} {level}{'' if count == 1 else 's'}" for level, count in counts.items())
    if classes := inventory.classes:
        print(printable(class_line(list(classes), list(classes.values()))))
    print(f"{len(inventory):,} images: {totals}")
