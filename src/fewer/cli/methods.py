"""`fewer methods`: the selection methods and their parameters."""

from typing import Annotated, Optional

import typer

from fewer.cli.options import Json


def methods(
    name: Annotated[Optional[str], typer.Argument(help="One method.", show_default=False)] = None,  # noqa: UP045
    as_json: Json = False,
) -> int:
    """List the selection methods, or show one with its parameters."""
    from fewer import select
    from fewer.core.errors import RecipeError
    from fewer.core.messages import nearest

    if name is not None and name not in select.names():
        raise RecipeError(f'methods: unknown method "{name}"; {nearest(name, select.names())}')
    cards = {each: select.card(each) for each in ([name] if name else select.names())}
    if as_json:
        import json

        print(json.dumps(cards, indent=1))
        return 0
    width = max(map(len, cards))
    for each, card in cards.items():
        print(f"{each:{width}}  {card['summary']}")
        if name:
            print(f"\n{card['description']}\n\nKeys of [select]:")
            for key, field in card["parameters"].items():
                print(f"  {key} = {field['default']}\n      {field['help']}")
    return 0
