"""One comparison, from question to files: check everything, train the missing runs, judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol, get_args

from fewer import tasks
from fewer.compare.arms import BUDGETS, Arm, Curve, arms_of, at_end, distinct, epochs_of
from fewer.compare.grid import Cell, Watch, complete, read_cell
from fewer.compare.outlook import Outlook
from fewer.compare.output import write
from fewer.compare.results import Criteria, Results, chosen, summarised
from fewer.compare.reuse import Prepared, refuse_foreign
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.core.errors import INTERRUPTED, RecipeError, Stopped
from fewer.core.messages import nearest
from fewer.recipe.parse import load_recipe
from fewer.recipe.places import require_present
from fewer.recipe.schema import changed_keys
from fewer.runs.folder import RunFolder
from fewer.runs.record import publish, writing

BASELINE = "baseline.toml"
RUNS_LEAST = 2  # of an arm: one has no spread
APART = ("out.*", "train.seed")  # keys that do not change what is trained


@dataclass(frozen=True)
class Question:
    """A question about variants of a recipe, as the user gives it.

    Attributes:
        recipe: The recipe's file.
        overrides: `key=value` texts for all arms.
        vary: Axes, such as `select.threshold=0.3,0.5`.
        variants: A file of named variants.
        seeds: Seeds of every arm, from the recipe's own seed on.
        budgets: Those of the curves of plain and random training, such as `25%,50%`; empty for no curves.
        margin: Loss of quality that still counts as none, in points.
        metric: The deciding metric; empty for the task's primary one on validation images, or on test where there are
            none.
        confirm: Fresh seeds for the variants that passed; 0 for none.
        curve: How plain training at smaller budgets is trained: "runs" of their own, or a "ladder" of one trunk.
    """

    recipe: Path
    overrides: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    variants: Path | None = None
    seeds: int = 5
    budgets: str = BUDGETS
    margin: float = 0.5
    metric: str = ""
    confirm: int = 0
    curve: Curve = "runs"


@dataclass(frozen=True)
class Round:
    """Arms, seeds and metric of one stage of a comparison: the choice is one round, its confirmation another."""

    base: Base
    arms: list[Arm]
    seeds: range
    metric: str
    margin: float


class Observer(Watch, Protocol):
    """Follower of a comparison: a watch that also takes notes."""

    def note(self, text: str) -> None: ...


def compare(question: Question, out: Path, watch: Observer) -> dict[str, Any]:
    """Compares variants of a recipe with plain training, seed by seed and at equal cost.

    Args:
        question: Recipe, variants, seeds and metric.
        out: Folder of the comparison; finished runs in it are used, and unfinished ones resumed.
        watch: Follows the progress.

    Returns:
        The content of `compare.json`.

    Raises:
        RecipeError: The question is wrong (raised before anything is trained), or plain training itself fails.
        DataError: The data cannot be opened.
        Stopped: By a signal; the same call continues.
    """
    choice = _round(question)
    for arm in choice.arms:
        require_present(arm.recipe)
        for key in arm.variant.left_out:
            watch.note(f"{arm.name}: its method has no {key}, which is left out")
    if choice.arms[0].recipe.train.patience != "off":
        watch.note("train.patience is off in a comparison: its runs are evaluated once, at the end")
    _checked_confirmation(question, choice)
    prepared = _prepared(choice.arms, choice.metric)
    _require_known(choice.metric, prepared[choice.arms[0].key])
    folder = RunFolder(out)
    _claim(out, choice)
    folder.lock()
    try:
        return _carried_out(question, choice, prepared, out, watch)
    finally:
        folder.release()


def _carried_out(
    question: Question, choice: Round, prepared: Mapping[str, Prepared], out: Path, watch: Observer
) -> dict[str, Any]:
    """Trains and judges, and writes all files after each seed: a comparison may take days."""
    digest = prepared[choice.arms[0].key].plan.digest
    about = {"recipe": question.recipe.stem, "baseline_digest": digest, "curve": question.curve, "confirmation": None}
    for results in _by_seed(choice, prepared, out, watch):
        summary = {**summarised(results), **about}
        write(summary, [("choice", results)], out)
    names = chosen(summary) if question.confirm else []
    if question.confirm and not names:
        watch.note("no variant passed: there is nothing to confirm")
    if names:
        watch.note(f"confirming {', '.join(names)} with {question.confirm} fresh seeds, on test images")
        again = _confirmation(question, choice, names)
        for fresh in _by_seed(again, _prepared(again.arms, again.metric), out, watch):
            summary["confirmation"] = {**summarised(fresh), "curve": question.curve}
            write(summary, [("choice", results), ("confirmation", fresh)], out)
    return summary


def _round(question: Question) -> Round:
    problems = []
    if question.seeds < RUNS_LEAST:
        problems.append(f"--seeds {question.seeds}: spread needs {RUNS_LEAST} or more; 5 is a good number")
    if question.confirm and question.confirm < RUNS_LEAST:
        problems.append(f"--confirm {question.confirm}: spread needs {RUNS_LEAST} seeds or more; or leave it out")
    if not 0 <= question.margin <= 100:
        problems.append(f"--margin {question.margin:g}: percentage points between 0 and 100, such as 0.5")
    if question.curve not in get_args(Curve):
        problems.append(f"--curve {question.curve}: {' or '.join(get_args(Curve))}, for shorter plain training")
    if problems:
        raise RecipeError(problems)
    base = Base.read(question.recipe, question.overrides)
    plain, variants = variants_of(base, changes_of(question.vary, question.variants))
    budgets = epochs_of(question.budgets, plain.recipe.epochs) if question.budgets else []
    arms = arms_of(base, plain, variants, budgets, question.curve)
    first = plain.recipe.train.seed
    return Round(base, arms, range(first, first + question.seeds), _metric(question, arms[0]), question.margin)


def _metric(question: Question, baseline: Arm) -> str:
    """The deciding metric, as split/name."""
    data = baseline.recipe.data
    splits = [name for name in ("val", "test") if getattr(data, name) != "none"]
    if not baseline.recipe.evaluate.test:
        splits = [name for name in splits if name != "test"]
    if not splits:
        fix = 'set data.val = "10%"' if baseline.recipe.evaluate.test else "set evaluate.test = true"
        raise RecipeError(f"there are no validation images and no test: nothing to compare by; {fix}")
    task = tasks.module(baseline.recipe.task.name)
    split, _, name = (question.metric or f"{splits[0]}/{task.PRIMARY.name}").partition("/")
    if split not in splits or not name:
        allowed = ", ".join(f"{each}/{metric.name}" for each in splits for metric in task.METRICS[:3])
        raise RecipeError(f"--metric {question.metric}: a split and its metric: {allowed}, ...")
    return f"{split}/{name}"


def _checked_confirmation(question: Question, choice: Round) -> None:
    """Raises before anything is trained if the confirmation is impossible."""
    if not question.confirm:
        return
    data = choice.arms[0].recipe.data
    if not choice.metric.startswith("val/"):
        reason = f'data.val = "{data.val}"' if data.val == "none" else f"--metric {choice.metric}"
        raise RecipeError(
            f'--confirm {question.confirm} chooses on validation images, but {reason}; set data.val = "10%"'
        )
    if data.test == "none":
        raise RecipeError(f'--confirm {question.confirm} judges on test images, but data.test = "none"; give some')
    if not choice.arms[0].recipe.evaluate.test:
        raise RecipeError(
            f"--confirm {question.confirm} judges on test images, but evaluate.test = false; leave it out"
        )
    _confirmation(question, choice, [arm.name for arm in choice.arms])


def _confirmation(question: Question, choice: Round, names: Sequence[str]) -> Round:
    """The variants of these names again: fresh seeds, trained on all, judged on test."""
    all_images = ('data.val="none"', 'train.patience="off"')
    again = _round(replace(question, overrides=(*question.overrides, *all_images), metric="", seeds=question.confirm))
    arms = [arm for arm in again.arms if arm.kind != "variant" or arm.name in names]
    first = choice.seeds.stop
    metric = f"test/{choice.metric.partition('/')[2]}"
    return replace(again, arms=arms, seeds=range(first, first + question.confirm), metric=metric)


def _prepared(arms: Sequence[Arm], metric: str) -> dict[str, Prepared]:
    """Plan and data of every arm, by its key.

    Args:
        arms: The arms, the baseline first.
        metric: What decides, as split/name: its images and labels must be the baseline's.

    Raises:
        RecipeError: With the problems of all arms.
    """
    from fewer.data.listing.splits import Splits
    from fewer.session.batch_size import left_open
    from fewer.session.build import make_plan, open_data

    listed: dict[str, Splits] = {}
    found: dict[str, Prepared] = {}
    problems: list[str] = []
    for arm in distinct(arms):
        if (budget := arm.recipe.train.budget) != "off":
            text = f'train.budget = "{budget}": a comparison states epochs, which its curve shortens'
            problems.append(f"{arm.name}: {text}; give the train.epochs that `fewer plan` says it becomes")
            continue
        if left_open(arm.recipe):
            text = 'batch_size = "auto": memory would choose other batches for other runs of a comparison'
            problems.append(f"{arm.name}: {text}; give the number that `fewer plan` says it becomes")
            continue
        try:
            data = arm.recipe.data.model_dump_json()
            if data not in listed:
                listed[data] = open_data(arm.recipe)
            found[arm.key] = Prepared(make_plan(at_end(arm.recipe), listed[data]), listed[data])
        except RecipeError as error:
            problems += [f"{arm.name}: {problem}" for problem in error.problems]
    if not problems and len(listed) > 1:
        problems = _judged_otherwise(arms, found, metric.partition("/")[0])
    if problems:
        raise RecipeError(problems)
    return found


def _judged_otherwise(arms: Sequence[Arm], prepared: Mapping[str, Prepared], split: str) -> list[str]:
    """What is wrong with arms whose deciding images, or their labels, are not the baseline's."""
    first, *others = (prepared[arm.key].splits for arm in arms)
    return [
        f"{arm.name}: its {split} images or their labels are not those of plain training, so nothing compares; "
        f'give both data.{split} = "folder:PATH", a set of its own'
        for arm, splits in zip(arms[1:], others, strict=True)
        if splits is not first and splits.manifest().digest(split) != first.manifest().digest(split)
    ]


def _claim(out: Path, choice: Round) -> None:
    """Makes the folder, or finds in it a comparison with the same baseline.

    Raises:
        RecipeError: It holds something else.
        ResourceError: It cannot be written.
    """
    baseline, file = choice.arms[0].recipe, out / BASELINE
    if file.is_file():
        changed = [
            f"{key} was {old}, is {new}"
            for key, old, new in changed_keys(load_recipe(file), baseline)
            if not any(fnmatch(key, pattern) for pattern in APART)
        ]
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise RecipeError(
                f"{out}: holds a comparison with another baseline ({'; '.join(changed[:3])}{more}); "
                "give another folder with --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out}: exists, and holds no comparison; give another folder with --out")
    with writing(out):
        (out / "runs").mkdir(parents=True)
    publish(file, baseline.to_toml())


def _by_seed(round: Round, prepared: Mapping[str, Prepared], out: Path, watch: Observer) -> Iterator[Results]:
    """Trains the missing runs of a round; yields the results after each seed that lacked one, and all at the end."""
    from fewer.session import signals

    runs, given = out / "runs", round.base.content.get("out", {})
    arms, cells = list(distinct(round.arms)), []
    total = len(arms) * len(round.seeds)
    there = [read_cell(arm, seed, runs) for seed in round.seeds for arm in arms]
    lacking = {cell.seed for cell in there if cell.state in ("missing", "begun")}
    refuse_foreign(there, prepared, round.metric)
    outlook = Outlook(there, {key: each.plan for key, each in prepared.items()})
    watch.note(outlook.announced())
    try:
        with signals.caught():
            for cell in complete(arms, round.seeds, runs, given, watch, outlook.left_s, outlook.unit_flops):
                _require_metric(cell, round.metric)
                cells.append(cell)
                if len(cells) % len(arms) == 0 and (cell.seed in lacking or len(cells) == total):
                    yield Results(_criteria(round, prepared[arms[0].key]), round.arms, list(cells))
    except Stopped as stop:
        word = "interrupted" if stop.exit_code == INTERRUPTED else "stopped"
        text = f"{out}: {word} after {len(cells)} of {total} runs; the same command continues"
        raise Stopped(text, stop.exit_code) from None


def _criteria(round: Round, baseline: Prepared) -> Criteria:
    facts = baseline.plan.facts.data
    images = facts.val_images if round.metric.startswith("val/") else facts.test_images
    task = tasks.description(baseline.plan.recipe.task.name)
    return Criteria(round.metric, round.margin, round.seeds, baseline.plan.plain_epoch_flops, images, task)


def _require_known(metric: str, baseline: Prepared) -> None:
    plan = baseline.plan
    known = tasks.module(plan.recipe.task.name).metric_names(plan.facts.data.class_images)
    if (name := metric.rpartition("/")[2]) not in known:
        raise RecipeError(f'--metric {metric}: there is no metric "{name}"; {nearest(name, known)}')


def _require_metric(cell: Cell, metric: str) -> None:
    """A metric that exists may still be missing: `few_shot` of test images without a rare class, `raw` without EMA."""
    found = cell.result.get("metrics")
    if found and metric not in found:
        raise RecipeError(f'--metric {metric}: no run has "{metric}"; {nearest(metric, sorted(found))}')


__all__ = ["Observer", "Question", "compare"]
