"""One search, from question to files: check everything, train trial after trial, write what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

from fewer import tasks
from fewer.core.errors import INTERRUPTED, PREEMPTED, FewerError, RecipeError, ResourceError, Stopped
from fewer.core.evaluation import Metric
from fewer.recipe.parse import parse_recipe
from fewer.recipe.places import is_move, require_present
from fewer.recipe.schema import Recipe, changed_keys
from fewer.runs.folder import RunFolder
from fewer.runs.record import publish, writing
from fewer.tune.search import storage
from fewer.tune.search.keeping import drop_checkpoints
from fewer.tune.search.pruning import SPARED, lags
from fewer.tune.search.results import FILES, Searched, document, write
from fewer.tune.search.space import Space, as_trial
from fewer.tune.search.storage import Sampling, Store
from fewer.tune.search.trials import Trial, spent_on

if TYPE_CHECKING:
    from fewer.data.listing.splits import Splits
    from fewer.plan.plan import Plan
    from fewer.session.progress import Display

BASE = "base.toml"
TRIALS = 20  # where nothing else is said
FAILED_MOST = 3  # trials that fail while none succeeds: then something else is wrong
_APART = ("out.*", "evaluate.test", "data.in_memory", "data.processes", "data.cache")


@dataclass(frozen=True)
class Question:
    """What a user asks of a search.

    Attributes:
        recipe: The recipe's file.
        overrides: `key=value` texts for all trials.
        search: Axes beside those of the recipe's section `[search]`.
        trials: Trials of the study in all, those of earlier calls included; 0: every combination of lists, else 20.
        sampler: How values are chosen; empty: `grid` for every combination of lists, else `tpe`.
        prune: Whether trials that lag behind at their cost are ended.
        budget: Full-epoch equivalents after which no trial begins; 0: any.
        storage: A database's URL, for several machines; empty: a journal file in the folder.
        study: The study's name; empty: that of the folder.
        keep_checkpoints: Whether trials that are over keep their checkpoints; else only the best one does.
    """

    recipe: Path
    overrides: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    trials: int = 0
    sampler: str = ""
    prune: bool = True
    budget: float = 0.0
    storage: str = ""
    study: str = ""
    keep_checkpoints: bool = False


class Watch(Protocol):
    """Follower of a search's progress."""

    def note(self, text: str) -> None: ...

    def training(self, title: str) -> AbstractContextManager[Display | None]: ...

    def tried(self, trial: Trial, metric: Metric, over: int, total: int, left_s: float | None) -> None: ...


def tune(question: Question, out: Path, watch: Watch, until: datetime | None = None) -> dict[str, Any]:
    """Searches for the values that do best on validation images, and writes `FILES`; one that was stopped goes on.

    Args:
        question: Recipe, axes, and how they are searched.
        out: Folder of the search; trials in it that were interrupted go on.
        watch: Follows the progress.
        until: When the sitting ends.

    Returns:
        The content of `tune.json`.

    Raises:
        RecipeError: The question is wrong (raised before anything is trained), or the folder holds another search.
        DataError: The data cannot be opened.
        ResourceError: Disk or storage cannot be written.
        Stopped: By a signal, or at the end of the sitting; the same call goes on.
        FewerError: Every trial failed; it has the exit code of the last.
    """
    storage.require()
    space = Space.read(question.recipe, question.overrides, question.search)
    sampling, total = _sampling(question, space)
    require_present(space.recipe)
    from fewer.session.build import make_plan, open_data

    splits = open_data(space.recipe)
    plan = make_plan(as_trial(space.recipe, {}), splits)
    if not plan.facts.data.val_images:
        raise RecipeError(f'data.val = "{space.recipe.data.val}" gives no validation images to choose by; give "10%"')
    _claim(out)
    folder = RunFolder(out)
    folder.lock()
    try:
        store = Store(question.storage, question.study or out.resolve().name, out, space.metric.higher_is_better)
        _require_same(store, space, plan, splits, out)
        publish(out / BASE, space.recipe.to_toml())
        return _Search(question, space, plan, store, out, watch, until, sampling, total).run()
    finally:
        folder.release()


def _sampling(question: Question, space: Space) -> tuple[Sampling, int]:
    """How values are chosen, and how many trials there are in all."""
    problems = []
    if question.trials < 0:
        problems.append(f"--trials {question.trials}: 1 or more")
    if question.budget < 0:
        problems.append(f"--budget {question.budget:g}: full-epoch equivalents, more than 0")
    if question.sampler not in ("", "grid", "tpe", "random"):
        problems.append(f"--sampler {question.sampler}: grid, tpe or random")
    if question.sampler == "grid" and space.combinations is None:
        ranges = ", ".join(f"{axis.key}={axis.text}" for axis in space.axes if not axis.choices)
        problems.append(f"--sampler grid: every combination needs lists, and {ranges} is a range; list its values")
    if problems:
        raise RecipeError(problems)
    if space.combinations is not None and (question.sampler == "grid" or not (question.sampler or question.trials)):
        return "grid", min(question.trials or space.combinations, space.combinations)
    return ("random" if question.sampler == "random" else "tpe"), question.trials or TRIALS


def _claim(out: Path) -> None:
    """Makes the folder, or finds a search in it."""
    if (out / BASE).is_file():
        return
    if out.exists() and (not out.is_dir() or any(entry.name != ".lock" for entry in out.iterdir())):
        raise RecipeError(f"{out}: exists, and holds no search; give another folder with --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)


def _require_same(store: Store, space: Space, plan: Plan, splits: Splits, out: Path) -> None:
    """Refuses a study of another search: its trials would be chosen from as if they were of this one."""
    searched = {axis.key: axis.text for axis in space.axes}
    about = {
        "space": searched,
        "metric": f"val/{space.metric.name}",
        "seed": space.recipe.train.seed,
        "digest": plan.digest,
        "fingerprint": splits.fingerprint,
        "recipe": space.recipe.model_dump(mode="json", exclude_none=True),
    }
    known = store.claim(about)
    if all(known.get(key) == about[key] for key in about if key != "recipe"):
        return
    changed = [f"{key} was searched, and is not" for key in known["space"] if key not in searched]
    changed += [
        f"{key} was {known['space'].get(key, 'not searched')}, is {text}"
        for key, text in searched.items()
        if known["space"].get(key) != text
    ]
    changed += [f"{key} was {old}, is {new}" for key, old, new in _changes(parse_recipe(known["recipe"]), space.recipe)]
    if not changed:
        same_images = known["fingerprint"] == about["fingerprint"]
        changed = ["the version of fewer has changed" if same_images else "images or labels have changed"]
    where = f"{out} ({store.address}, study {store.name})"
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise RecipeError(f"{where}: holds another search: {'; '.join(changed[:3])}{more}; give another --out")


def _changes(before: Recipe, after: Recipe) -> list[tuple[str, Any, Any]]:
    return [
        (key, old, new)
        for key, old, new in changed_keys(before, after)
        if not is_move(key, old, new) and not any(fnmatch(key, pattern) for pattern in _APART)
    ]


@final
@dataclass
class _Search:
    """The trials of one call, one after another."""

    question: Question
    space: Space
    plan: Plan
    store: Store
    out: Path
    watch: Watch
    until: datetime | None
    sampling: Sampling
    total: int

    def run(self) -> dict[str, Any]:
        from fewer.session import signals

        self._announce()
        try:
            with signals.caught():
                if self.sampling == "grid":
                    self.store.lay_out(list(self.space.grid()), self._seed)
                while trial := self._next():
                    self._try(trial)
                    self._write()
        except Stopped as stop:
            self._write()
            word = {INTERRUPTED: "interrupted"}.get(stop.exit_code, "stopped")
            over = sum(trial.outcome != "begun" for trial in self.store.trials())
            text = f"{self.out}: {word} after {over} of {self.total} trials; the same command goes on"
            raise Stopped(text, stop.exit_code) from None
        return self._write()

    @property
    def _seed(self) -> int:
        return self.space.recipe.train.seed

    def _announce(self) -> None:
        """What will be searched, by what it is judged, and what that costs at most."""
        for axis in self.space.axes:
            kind = "" if axis.choices else ", whole numbers" if axis.whole else ", real numbers"
            self.watch.note(f"{axis.key}: {axis.text}{kind}")
        images, metric = self.plan.facts.data.val_images, self.space.metric.label
        each, prepared = self.plan.predicted["full_epoch_equivalents"][1], self.plan.facts.preparation
        less = ["some are pruned"] * self.question.prune + ([f"{prepared.name} may be shared"] if prepared else [])
        most = f" at most, as {' and '.join(less)}" if less else ""
        self.watch.note(
            f"{self.out}: {self.total} trials ({self.sampling}) of about {each:.3g} FEE, {self.total * each:.4g} in all"
            f"{most}; chosen by {metric} on {images:,} validation images, test images stay unseen"
        )
        if self.question.prune and not self.space.recipe.evaluate.every:
            self.watch.note("evaluate.every = 0: without validations on the way no trial can be pruned")

    def _next(self) -> Trial | None:
        """A trial that was interrupted, or a new one; None where there are enough, or enough was spent."""
        trials = self.store.trials()
        if going_on := self.store.interrupted():
            return going_on[0]
        if len(trials) >= self.total:
            return None
        spent = spent_on(trials)
        if self.question.budget and spent >= self.question.budget:
            self.watch.note(f"{spent:.4g} FEE are spent, --budget {self.question.budget:g}: no further trial begins")
            return None
        if self.until and datetime.now() >= self.until:
            raise Stopped("", PREEMPTED)
        return self.store.begin(self.space.axes, self.sampling, self._seed)

    def _try(self, trial: Trial) -> None:
        """Trains a trial, unless one of the same values is done."""
        number, before = trial.number, self.store.trials()
        twin = next((each for each in before if each.outcome == "done" and each.values == trial.values), None)
        if twin:
            message = f"the values of trial {twin.number}, not trained again"
            self.store.end(number, "done", twin.value, epoch=twin.epoch, interval=twin.interval, message=message)
        else:
            self._train(trial)
        trials = {each.number: each for each in self.store.trials()}
        over = [each for each in trials.values() if each.outcome != "begun"]
        self.watch.tried(trials[number], self.space.metric, len(over), self.total, self._left_s(over))
        self._require_any(trials[number], over)

    def _train(self, trial: Trial) -> None:
        from fewer.tune.search.training import train_trial

        number, name = trial.number, f"trials/{trial.number:04}"
        self.store.note(number, folder=name)
        title = f"trial {number} ({number + 1} of {self.total})  {in_words(trial.values)}"
        with self.watch.training(title) as display:
            try:
                recipe = self.space.trial(trial.values)
                outcome, value, known = train_trial(
                    recipe,
                    self.out / name,
                    self.space.metric.name,
                    self.plan.plain_epoch_flops,
                    partial(self._judge, number),
                    display,
                    self.until,
                )
            except RecipeError as error:  # values that are right one by one, and not together
                outcome, value, known = "failed", None, {"message": str(error), "exit_code": error.exit_code}
        self.store.end(number, outcome, value, **known)
        if known.get("exit_code") == ResourceError.exit_code:
            raise ResourceError(known["message"])

    def _judge(self, number: int, cost: float, value: float) -> bool:
        """Keeps a validation, and says whether its trial lags behind."""
        self.store.report(number, cost, value)
        if not self.question.prune:
            return False
        trials = self.store.trials()
        own = next(each.curve for each in trials if each.number == number)
        others = [each.curve for each in trials if each.outcome == "done" and each.curve]
        return lags(own, others, self.space.metric, SPARED * self.plan.predicted["full_epoch_equivalents"][1])

    def _require_any(self, last: Trial, over: Sequence[Trial]) -> None:
        """Ends a search all of whose trials fail."""
        failed = [each for each in over if each.outcome == "failed"]
        if last.outcome == "failed" and len(failed) == len(over) and len(failed) >= min(FAILED_MOST, self.total):
            error = FewerError(
                f"{self.out}: all {len(failed)} trials failed, the last one so: {last.message}; mend the recipe or the "
                "search, and give another --out"
            )
            error.exit_code = RecipeError.exit_code
            raise error

    def _left_s(self, over: Sequence[Trial]) -> float | None:
        """Seconds that the other trials will take, by those so far."""
        trained = [trial.seconds for trial in over if trial.seconds]
        left = self.total - len(over)
        return left * sum(trained) / len(trained) if trained and left > 0 else None

    def _write(self) -> dict[str, Any]:
        facts, recipe = self.plan.facts.data, self.space.recipe
        searched = Searched(
            recipe=self.question.recipe.stem,
            study=self.store.name,
            storage=self.store.address,
            metric=f"val/{self.space.metric.name}",
            task=tasks.description(recipe.task.name),
            images=facts.val_images,
            epochs=recipe.epochs,
            run_full_epoch_equivalents=self.plan.predicted["full_epoch_equivalents"][1],
            space={axis.key: axis.text for axis in self.space.axes},
            sampler=self.sampling,
            seed=self._seed,
            prunes=self.question.prune,
            asked=self.total,
        )
        found = document(searched, self.space.metric, self.store.trials())
        write(found, self.space, self.out)
        if not self.question.keep_checkpoints:
            drop_checkpoints(found, self.out)
        return found


def in_words(values: Mapping[str, str]) -> str:
    """Values on one line: `lr=0.1, batch_size=64`, by the last parts of their keys."""
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())


__all__ = ["FILES", "Question", "Watch", "in_words", "tune"]
