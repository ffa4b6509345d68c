"""`fewer recipes`: the recipes that come with the package, and what each was measured to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fewer.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fewer.recipe.shipped import Card


def recipes(
    name: Annotated[Optional[str], typer.Argument(help="One recipe.", show_default=False)] = None,  # noqa: UP045
    as_json: Json = False,
) -> int:
    """List the ready recipes and what each was measured to do, or print one."""
    from fewer.core.errors import RecipeError
    from fewer.recipe import shipped

    try:
        cards = [shipped.card(each) for each in ([name] if name else shipped.names())]
    except KeyError as error:
        raise RecipeError(f"recipes: {error.args[0]}") from None
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(card) for card in cards], indent=1))
    elif name:
        print(shipped.text(name), end="")
    else:
        _show(cards)
    return 0


def _show(cards: Sequence[Card]) -> None:
    """A recipe's name and what it is for; below it what was measured."""
    width = max(len(card.name) for card in cards)
    for card in cards:
        print(f"{card.name:{width}}  {card.purpose}")
        measured = {"result": card.result, "time": card.time}
        known = [f"{key}: {text}" for key, text in measured.items() if not text.startswith("not ")]
        print(f"{'':{width}}  {'; '.join(known) or card.result}")
    print("\nfewer recipes NAME prints one; fewer init SOURCE --recipe NAME > mine.toml fits it to images and machine")
