"""`fewer plan`: stages and predicted cost of a recipe, without training."""

from fewer.cli.options import Devices, Json, Overrides, RecipeFile


def plan(recipe: RecipeFile, overrides: Overrides = None, devices: Devices = 1, as_json: Json = False) -> int:
    """Show stages, schedule and predicted cost of a recipe; trains nothing."""
    from fewer.recipe.parse import load_recipe

    checked = load_recipe(recipe, overrides or [])
    from fewer.session.build import make_plan, open_data

    compiled = make_plan(checked, open_data(checked), devices)
    if as_json:
        import json

        from fewer.plan.document import plan_json

        print(json.dumps(plan_json(compiled), indent=1))
    else:
        from fewer.cli.plan_view import show_plan

        show_plan(compiled)
    return 0
