"""`fewer advise`: which sync method is cheapest for a recipe on a network that is measured or given."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fewer.cli.options import Devices, Gpus, Json, Overrides, RecipeOrSource, devices_asked

if TYPE_CHECKING:
    from fewer.sync.network import Network

_LATENCY = "0.1ms"  # of a message between machines of one room


def advise(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    devices: Devices = 1,
    gpus: Gpus = "",
    bandwidth: Annotated[
        str,
        typer.Option(
            "--bandwidth", help="Bandwidth of the network, such as 100Mbit; left out: measured.", show_default=False
        ),
    ] = "",
    latency: Annotated[
        str,
        typer.Option(
            "--latency", help="One-way latency of a message, with --bandwidth: 1ms, 50us.", show_default=_LATENCY
        ),
    ] = "",
    workers: Annotated[
        Optional[int],  # noqa: UP045 (typer reads this at run time)
        typer.Option("--workers", help="Machines on that network, with --bandwidth.", show_default=False),
    ] = None,
    local_steps: Annotated[
        str, typer.Option("--local-steps", metavar="H,...", help="Lengths of rounds of local methods.")
    ] = "4,16,64",
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, help="For how long each method is rehearsed.")] = 1.0,
    as_json: Json = False,
) -> int:
    """Say which sync method trains a recipe fastest on a network, and what it may cost; trains nothing that is kept.

    Each method is rehearsed for some steps: what it computes is timed, what it sends is counted, and its time on
    the network is predicted.
    """
    from fewer.cli.given import recipe_given
    from fewer.core.errors import printable
    from fewer.sync.joining import joined
    from fewer.sync.launch import launch
    from fewer.sync.place import is_rank

    lengths, devices = _lengths(local_steps), devices_asked(devices, gpus)
    network = _network(bandwidth, latency)
    found = recipe_given(recipe, overrides or [], devices, probes=False)
    if devices > 1 and not is_rank():
        flags = ["--local-steps", local_steps, "--seconds", str(seconds), *(["--json"] if as_json else [])]
        flags += ["--bandwidth", bandwidth] if bandwidth else []
        flags += ["--latency", latency] if latency else []
        flags += ["--workers", str(workers)] if workers else []
        with found.kept(recipe) as place:
            return launch(devices, ["advise", place, *found.left(overrides or []), *flags])
    with joined() as comm:
        from fewer.tune.advise import Wish
        from fewer.tune.advise import advise as rehearse

        def note(text: str) -> None:
            if comm.rank == 0:
                print(printable(text), file=sys.stderr, flush=True)

        if bandwidth and not latency:
            note(f"--latency is left out: {_LATENCY} a message, one way, is taken")
        document = rehearse(found.recipe, Wish(network, workers, lengths, seconds), comm, note)
        if comm.rank == 0:
            _print(document, as_json)
    return 0


def _network(bandwidth: str, latency: str) -> "Network | None":
    """The network that is given; None where it is to be measured.

    Raises:
        RecipeError: There is a latency alone, or a number cannot be read.
    """
    from fewer.core.errors import RecipeError
    from fewer.sync.network import Network

    if bandwidth:
        return Network.given(bandwidth, latency or _LATENCY)
    if latency:
        raise RecipeError(f"--latency {latency} needs --bandwidth, such as --bandwidth 1Gbit; or leave it out")
    return None


def _lengths(text: str) -> tuple[int, ...]:
    """Lengths of rounds, ascending.

    Raises:
        RecipeError: They are none.
    """
    from fewer.core.errors import RecipeError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 1_000_000 for part in parts):
        raise RecipeError(
            f'--local-steps "{text}": allowed are whole numbers from 1 to 1,000,000 with commas between them; '
            "for example --local-steps 4,16,64"
        )
    return tuple(sorted({int(part) for part in parts}))


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(document, indent=1))
        return
    _show(document)


def _show(document: dict[str, Any]) -> None:
    """What was measured, a row a method, and the advice."""
    from rich.console import Console
    from rich.table import Table

    from fewer.report.units import NBSP, duration
    from fewer.tune.advice import milliseconds, sent

    def plain(text: str) -> str:
        return text.replace(NBSP, " ")

    network, stage, compute = document["network"], document["stage"], document["compute"]
    share, timed = document["images_a_worker"], document["timed_images"]
    part = f"; timed on {timed} images" if timed < share else ""
    print(
        f"{document['workers']} workers, batches of {stage['batch_size']} images of {stage['side_px']} px, "
        f"{share} a worker, {document['batches']:,} steps an epoch{part}"
    )
    how = "measured" if network["measured"] else "given"
    print(
        plain(
            f"network, {how}: {sent(network['bandwidth'])}/s of payload each way, "
            f"{milliseconds(network['latency'])} a message"
        )
    )
    parts = ", ".join(f"{name} {milliseconds(compute[name])}" for name in ("forward", "backward", "rest"))
    print(plain(f"a worker computes {milliseconds(compute['step'])} a step: {parts}\n"))
    grid = Table("method", "step", "epoch", "waits", "own", "sends", "epoch sends", box=None, pad_edge=False)
    for column in grid.columns[1:]:
        column.justify = "right"
    for row in document["methods"]:
        step, waits, own = (milliseconds(row[f"{name}_seconds"]) for name in ("step", "waited", "own"))
        cells = step, duration(row["epoch_seconds"]), waits, own, sent(row["sent_bytes"]), sent(row["epoch_bytes"])
        grid.add_row(row["name"], *map(plain, cells))
    Console(highlight=False).print(grid)
    for line in (*_of_first_steps(document["methods"]), *_left_out(document["refused"])):
        print(plain(line))
    print(f"\nadvice: {document['advised']} ({' '.join(document['keys'])})")
    print(plain(f"   {document['why']}"))
    print(f"   accuracy: {document['accuracy']}")
    if document["gentler"]:
        print(plain(f"   gentler: {document['gentler']}"))


def _of_first_steps(methods: list[dict[str, Any]]) -> list[str]:
    """What the figures of methods that begin with plain exchanges stand for."""
    lines = []
    for row in methods:
        method, first, steps = row["sync"]["method"], row["first_steps"], row["run_steps"]
        if first is None:
            lines.append(f"{method}: behind its first steps, which exchange gradients as they are")
        elif first:
            part = f"first {first:,} of {steps:,} steps"
            lines.append(f"{method}: mean over the run, whose {part} exchange gradients as they are")
    return list(dict.fromkeys(lines))


def _left_out(refused: dict[str, str]) -> list[str]:
    """What is left out, a line for each reason."""
    names = {reason: [name for name, why in refused.items() if why == reason] for reason in refused.values()}
    return [f"left out: {', '.join(each)}: {reason}" for reason, each in names.items()]
