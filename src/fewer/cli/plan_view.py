"""A plan for a person: what `fewer plan` prints."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from fewer.plan.plan import Plan
from fewer.plan.table import table


def show_plan(plan: Plan) -> None:
    """Prints a plan's stages and predicted cost on stdout."""
    console = Console(highlight=False)
    data, machine, train = plan.facts.data, plan.facts.machine, plan.recipe.train
    console.print(
        f"{plan.recipe.model.name}, {plan.facts.model.parameters:,} parameters, {len(data.classes)} classes; "
        f"{data.train_images:,} training, {data.val_images:,} validation, {data.test_images:,} test images",
        soft_wrap=True,
    )
    console.print(
        f"{plan.precision}, {'channels-last' if plan.channels_last else 'channels-first'}, {machine.device}, "
        f"{machine.processes} rank(s) of {machine.threads} thread(s); {train.optimizer}, {train.schedule}"
        f"{', compiled' if train.compile != 'no' else ''}{', deterministic' if train.deterministic else ''}; "
        f"digest {plan.digest}",
        soft_wrap=True,
    )
    console.print(f"{_loading(plan)}; {_device_settings(plan)}", soft_wrap=True)
    header, *rows = table(plan)
    grid = Table(*header, box=None, pad_edge=False)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    cost = Table("predicted", "lowest", "highest", box=None, pad_edge=False)
    for name, (low, high) in plan.predicted.items():
        cost.add_row(name, _amount(name, low), _amount(name, high))
    console.print(cost)
    for note in plan.notes:
        console.print(f"- {note}", markup=False, soft_wrap=True)


def _loading(plan: Plan) -> str:
    loading = plan.loading
    if loading.in_memory:
        return f"images decoded once into memory by {loading.threads} thread(s)"
    if not loading.processes:
        return "images read in the training process"
    ahead = loading.prefetched_batches
    return f"images read by {loading.processes} loader process(es) a rank, {ahead} batches ahead"


def _device_settings(plan: Plan) -> str:
    settings = asdict(plan.device_settings)
    return ", ".join(f"{name.replace('_', ' ')} {'on' if value else 'off'}" for name, value in settings.items())


def _amount(name: str, value: float) -> str:
    if name in ("effective_epochs", "full_epoch_equivalents"):
        return f"{value:.2f}"
    return f"{value:.4g}" if name == "flops" else f"{value:,.0f}"
