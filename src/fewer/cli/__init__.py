"""The command line, one file a verb. Nothing here imports torch before a verb has to train."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fewer.cli import (
    advise,
    branch,
    compare,
    data,
    doctor,
    init,
    ladder,
    launch,
    lr_find,
    methods,
    plan,
    predict,
    push,
    recipes,
    report,
    resume,
    runs,
    train,
    tune,
)
from fewer.cli import eval as evaluation
from fewer.core.errors import INTERRUPTED, FewerError, Stopped


class _Verbs(TyperGroup):
    """All verbs; a Ctrl-C in one of them is said, where typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("interrupted by Ctrl-C", INTERRUPTED) from None


app = typer.Typer(
    cls=_Verbs,
    name="fewer",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, which takes longer to import than all the rest
    help="Train vision models on fewer samples, pixels, steps and bytes, and see what it cost and whether it paid.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # as dear as all of the help

        print(f"fewer {version('fewer')}")
        raise typer.Exit


@app.callback()
def _flags(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    return


app.command()(train.train)
app.command()(resume.resume)
app.command()(branch.branch)
app.command("eval")(evaluation.evaluate)
app.command()(predict.predict)
app.command()(init.init)
app.command()(plan.plan)
app.command()(ladder.ladder)
app.command("lr-find")(lr_find.lr_find)
app.command()(advise.advise)
app.command()(tune.tune)
app.command()(compare.compare)
app.command()(push.push)
app.command()(report.report)
app.command()(runs.runs)
app.command()(methods.methods)
app.command()(recipes.recipes)
app.add_typer(data.app)
app.add_typer(launch.app)
app.command()(doctor.doctor)


def main() -> None:
    """Runs the command line and exits with one of the documented codes."""
    from fewer.machine.memory import keep_freed_memory

    keep_freed_memory()  # before torch is imported
    _prepare_terminal()
    try:
        code = app(standalone_mode=False)
    except FewerError as error:
        _complain(str(error))
        code = error.exit_code
    except typer.Exit as error:
        code = error.exit_code
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):  # usage errors
            show = getattr(error, "show", None)
            if type(error).__name__ == "NoSuchOption" and _takes_keys(error):
                error.message += "; keys of a recipe have no dashes: train.epochs=20"  # type: ignore[attr-defined]
            show() if show else _complain(str(error))
            code = getattr(error, "exit_code", 2)
        else:
            raise
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)


def _prepare_terminal() -> None:
    """What the terminal cannot show is escaped; remarks of Pillow's, which name no file, are `fewer data check`'s."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _takes_keys(error: Exception) -> bool:
    """Whether the command of a usage error takes keys of a recipe."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    return any("KEY=VALUE" in str(each.metavar) for each in getattr(command, "params", ()))


def _complain(text: str) -> None:
    for line in text.splitlines():
        # File names come from anywhere: they must not steer the terminal.
        shown = "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)
        print(f"fewer: {shown}", file=sys.stderr)
