"""`fewer plan`: what a recipe, or the choice for a source, would do and cost, without training."""

from typing import Annotated

import typer

from fewer.cli.options import Devices, Json, Overrides, RecipeOrSource


def plan(
    recipe: RecipeOrSource,
    overrides: Overrides = None,
    devices: Devices = 1,
    everything: Annotated[
        bool, typer.Option("--all", help="Also device settings, steps and rates of stages, and all predicted counts.")
    ] = False,
    probes: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Time a few steps for the minutes and the memory.")
    ] = True,
    as_json: Json = False,
) -> int:
    """Say what a recipe would do, what it would cost and how long it would take; trains nothing."""
    from fewer.cli.given import recipe_given

    found = recipe_given(recipe, overrides or [], devices, probes)
    from fewer.session.build import make_plan, open_data
    from fewer.session.probe import outlook
    from fewer.session.time_budget import guessed

    compiled = found.plan
    if compiled is None:
        splits = open_data(found.recipe)
        compiled = make_plan(guessed(found.recipe, splits, devices) if probes else found.recipe, splits, devices)

    expected = (found.outlook or outlook(compiled)) if probes else None
    if as_json:
        import json
        from dataclasses import asdict

        from fewer.plan.document import plan_json

        print(json.dumps({**plan_json(compiled), **({"outlook": asdict(expected)} if expected else {})}, indent=1))
    else:
        from fewer.cli.plan_view import show_plan

        show_plan(compiled, expected, everything)
    return 0
