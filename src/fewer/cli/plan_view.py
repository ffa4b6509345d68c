"""A plan for a person: what `fewer plan` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fewer.core.errors import printable
from fewer.core.types import Stage
from fewer.plan.plan import Plan
from fewer.plan.savings import StageCost, together
from fewer.plan.table import table
from fewer.plan.traffic import RoundTraffic, Traffic, round_traffic, step_traffic
from fewer.report import units

if TYPE_CHECKING:
    from fewer.session.probe import Outlook

_SHOWN = 0.005  # of an epoch: FEE have two decimals


def show_plan(plan: Plan, outlook: Outlook | None, everything: bool) -> None:
    """Prints what a run would do and what it would cost, on stdout.

    Args:
        plan: The plan.
        outlook: Time and memory on this machine; None where they were not asked for.
        everything: Also the device's settings, every stage's steps and rates, and every predicted count.
    """
    console = Console(highlight=False)
    for text in _sentences(plan, outlook):
        console.print(printable(text.replace(units.NBSP, " ")), markup=False, soft_wrap=not console.is_terminal)
    for note in plan.notes:
        console.print(printable(f"- {note}"), markup=False, soft_wrap=not console.is_terminal)
    if everything:
        _show_details(console, plan)


def _sentences(plan: Plan, outlook: Outlook | None) -> Iterator[str]:
    data, machine = plan.facts.data, plan.facts.machine
    ranks = f" with {machine.processes} processes" if machine.processes > 1 else ""
    model = f"{plan.recipe.model.name} ({units.count(plan.facts.model.parameters)} parameters)"
    weights = " with given weights" if plan.facts.model.weights else ""
    yield f"{model}{weights}, trained on {machine.device}{ranks} in {plan.precision}"
    splits = {"training": data.train_images, "validation": data.val_images, "test": data.test_images}
    yield ", ".join(f"{count:,} {name}" for name, count in splits.items() if count) + " images"
    yield from (_stage(plan, stage) for stage in plan.stages)
    if len(plan.stages) > 1:
        yield from _costs(plan, outlook)
    yield _cost(plan)
    if traffic := list(step_traffic(plan.recipe, plan.facts)):
        yield f"each process sends in a step: {', '.join(map(_sent, traffic))}"
    if rounds := round_traffic(plan.recipe, plan.facts, plan.predicted["optimizer_steps"][1]):
        yield _rounds(rounds)
    if outlook:
        yield _outlook(plan, outlook)


def _stage(plan: Plan, stage: Stage) -> str:
    """What a stage does, such as `epochs 1 to 10: 32 px, batches of 128, learning rate 0.01 to 0.1 to 0.0009`."""
    first, last = stage.first_epoch, stage.first_epoch + stage.epochs - 1
    epochs = f"epochs {first + 1} to {last + 1}" if stage.epochs > 1 else f"epoch {first + 1}"
    batches = f"batches of {stage.batch_text.replace('-', ' to ')}"
    parts = [_sides(stage), batches, f"learning rate {_rates(plan, stage)}"]
    if stage.data_share < 1:
        parts.insert(0, f"{stage.data_share:.2%}".replace(".00%", "%") + " of the images")
    if stage.frozen_layers:
        parts.append(f"{stage.frozen_layers} of {len(plan.facts.model.layers)} layers frozen")
    strengths = stage.strength, stage.strength_at(last)
    if min(strengths) < 1:
        parts.append(f"augmentation at {_span(*strengths)}")
    if mixing := _mixing(plan, stage):
        parts.append(mixing)
    if stage.sides_px != (stage.evaluation_side_px,):
        parts.append(f"evaluated at {stage.evaluation_side_px} px")
    return f"{epochs}: {', '.join(parts)}"


def _sides(stage: Stage) -> str:
    """The side of a stage's images, or those that its batches draw."""
    if not stage.ramp:
        return f"{stage.side_px} px"
    return f"{', '.join(map(str, stage.sides_px[:-1]))} or {stage.side_px} px by timm's ramp"


def _mixing(plan: Plan, stage: Stage) -> str:
    """How the batches of a stage are mixed, such as `mixup or CutMix in 80% of the batches until 90% of the run`."""
    moments = [plan.at(stage.first_epoch + epoch) for epoch in range(stage.epochs)]
    rules = [rule for rule in map(plan.mix_rule, moments) if rule]
    if not rules:
        return ""
    text = " or ".join(rules[0].kinds)
    if rules[0].share < 1:
        text += f" in {_span(rules[0].share, rules[-1].share)} of the batches"
    until, end = plan.recipe.augment.mix_until, stage.first_epoch + stage.epochs
    return f"{text} until {until} of the run" if until.in_epochs(plan.epochs) < end else text


def _span(first: float, last: float) -> str:
    """A share that may change, such as `30% to 100%`."""
    return " to ".join(dict.fromkeys((f"{first:.0%}", f"{last:.0%}")))


def _rates(plan: Plan, stage: Stage) -> str:
    """The learning rate at both ends of a stage, and at its peak where that lies between."""
    epochs, parts = range(stage.first_epoch, stage.first_epoch + stage.epochs), 20  # moments of an epoch
    moments = (plan.at(epoch, part, parts).progress for epoch in epochs for part in range(parts))
    rates = [(plan.lr or 1.0) * plan.lr_factor(progress, stage) for progress in moments]
    peak = max(rates)
    ends = [rates[0], *([peak] if peak > 1.05 * max(rates[0], rates[-1]) else []), rates[-1]]
    texts = [f"{rate:.2g}" for rate in ends]
    return " to ".join(dict.fromkeys(texts)) + ("" if plan.lr else " times the one that is found")


def _costs(plan: Plan, outlook: Outlook | None) -> Iterator[str]:
    """A table of what each stage costs beside plain training, no wider than 80 characters."""
    spans = [*outlook.stages, outlook.seconds] if outlook else []
    wide = max([6, *(len(stage.sides_text) + 1 for stage in plan.stages)])
    room = max([7, *(len(stage.batch_text) + 1 for stage in plan.stages)])
    shape = f"{'':9}{'epochs':>9}{'px':>{wide}}{'batch':>{room}}"
    yield f"{shape}{'FEE':>16}{'saves':>14}{'time' if spans else '':>17}".rstrip()
    for place, (stage, cost) in enumerate(zip(plan.stages, plan.stage_costs, strict=True)):
        first, last = stage.first_epoch + 1, stage.first_epoch + stage.epochs
        epochs = f"{first}-{last}" if last > first else str(first)
        what = f"{f'stage {place + 1}':9}{epochs:>9}{stage.sides_text:>{wide}}{stage.batch_text:>{room}}"
        yield what + _cells(plan, cost, spans[place] if spans else None)
    stages, (low, high) = together(plan.stage_costs), plan.predicted["flops"]
    if high - stages.high_flops >= _SHOWN * plan.plain_epoch_flops:
        parts = low - stages.low_flops, high - stages.high_flops
        yield f"{'besides':9}{'':{9 + wide + room}}{_fee(plan, *parts):>16}  scores, statistics"
    whole = StageCost(low, high, stages.plain_flops)
    yield f"{'the run':9}{plan.epochs:>9}{'':{wide + room}}" + _cells(plan, whole, spans[-1] if spans else None)


def _cells(plan: Plan, cost: StageCost, span: tuple[float, float] | None) -> str:
    """FEE of some epochs, what they save, and their time."""
    saves = _between(*(f"{saved:.0%}" for saved in cost.saved))
    time = _between(*map(units.clock, span)) if span else ""
    return f"{_fee(plan, cost.low_flops, cost.high_flops):>16}{saves:>14}{time:>17}".rstrip()


def _fee(plan: Plan, *flops: float) -> str:
    return _between(*(f"{each / plan.plain_epoch_flops:.2f}" for each in flops))


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _cost(plan: Plan) -> str:
    """The cost in one sentence, beside that of plain training."""
    low, high = plan.predicted["full_epoch_equivalents"]
    plain = together(plan.stage_costs).plain_flops / plan.plain_epoch_flops
    shares = list(dict.fromkeys(_share(fee / plain) for fee in (low, high)))
    share = "as much as" if shares == ["100%"] else f"{' to '.join(shares)} of"
    which = "training on every image in every epoch"
    if plan.recipe.stages:
        which = f"plain training, {plan.epochs} epochs of all images at {plan.largest_side_px} px"
    own = f"; the arithmetic of {plan.recipe.train.optimizer} itself is in it" if any(plan.budget.step_flops) else ""
    return f"cost: {_between(f'{low:.2f}', f'{high:.2f}')} full-epoch equivalents (FEE), {share} {which}{own}"


def _share(share: float) -> str:
    """A share of plain training; 100% is exact, to a tenth of a percent."""
    text = f"{share:.0%}"
    return f"{share:.1%}" if text == "100%" and f"{share:.1%}" != "100.0%" else text


def _sent(traffic: Traffic) -> str:
    """What a process sends of one kind, such as `gradients 3.3 MB in 1 exchange`."""
    exchanges = f"{traffic.exchanges:,} exchange{'' if traffic.exchanges == 1 else 's'}"
    return f"{traffic.what} {units.amount(traffic.bytes_sent, 'B')} in {exchanges}"


def _rounds(traffic: RoundTraffic) -> str:
    """What a worker sends, such as `each of 4 workers sends 4.9 MB in a sync, every 16 steps: 20 syncs, 98 MB`."""
    each = units.amount(traffic.bytes_sent, "B")
    text = f"each of {traffic.workers} workers sends {each} in a sync, every {traffic.every_steps} steps"
    if traffic.syncs is None:
        return f"{text} at first"
    return f"{text}: {traffic.syncs:,} syncs, {units.amount(traffic.bytes_sent * traffic.syncs, 'B')}"


def _outlook(plan: Plan, outlook: Outlook) -> str:
    time = units.roughly_between(*outlook.seconds)
    plain = f" (plain training {units.roughly_between(*outlook.plain)})" if len(plan.stages) > 1 else ""
    memory = f"memory up to about {outlook.memory_bytes / 2**30:.1f} GiB"
    memory += " a process" if plan.facts.machine.processes > 1 else ""
    return f"time: {time} on this machine{plain}, by a probe of a few steps; loading comes on top; {memory}"


# --- Everything ------------------------------------------------------------------------------------------------------


def _show_details(console: Console, plan: Plan) -> None:
    train, machine = plan.recipe.train, plan.facts.machine
    console.print(
        f"{'channels-last' if plan.channels_last else 'channels-first'}, "
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
