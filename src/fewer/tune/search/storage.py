"""Storage of a search's trials: a study of Optuna, in a journal file or in a database that several machines share."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from fewer.core.errors import RecipeError, ResourceError, printable
from fewer.recipe.search_section import Axis
from fewer.tune.search.trials import Outcome, Trial

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

JOURNAL = "study.journal"
Sampling = Literal["grid", "tpe", "random"]
_ABOUT = "fewer"  # attribute of a study: what it searches
_FIXED = "fixed_params"  # Optuna's attribute of a trial that was laid out
_SPARE = "spare"  # attribute of a trial that is none: its combination is another one's
_STEPS = 1000  # of Optuna's whole steps in a full-epoch equivalent
_SECRET = re.compile(r"(://[^:/@\s]*):[^@\s]*@")


def require() -> None:
    """Asks for the package that studies are kept with.

    Raises:
        RecipeError: It is not installed.
    """
    if find_spec("optuna") is None:
        raise RecipeError("fewer tune: the package optuna is missing; pip install optuna")


def masked(address: str) -> str:
    """A database's address without its password."""
    return _SECRET.sub(r"\1:***@", address)


@final
class Store:
    """The trials of one study. Values are drawn by (seed, trial number), so a resumed study draws as an unstopped one.

    Args:
        address: A database's URL; empty for a journal file in the folder.
        name: The study's name.
        out: Folder of the search.
        maximize: Whether a larger metric is better.

    Raises:
        RecipeError: The address is none.
        ResourceError: The file or the database cannot be opened.
    """

    def __init__(self, address: str, name: str, out: Path, maximize: bool) -> None:
        from optuna.study import StudyDirection, create_study

        logging.getLogger("optuna").setLevel(logging.WARNING)
        self.address, self.name = masked(address) if address else JOURNAL, name
        # Who holds the folder owns its journal; a trial in a database belongs to the machine and folder that began it.
        self.owner = f"{socket.gethostname()}:{out.resolve()}" if address else ""
        with self._reached():
            self._storage = _opened(address, out)
            direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
            self._study = create_study(storage=self._storage, study_name=name, direction=direction, load_if_exists=True)
            self._id = self._storage.get_study_id_from_name(name)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turns a storage's complaints into ours; a password in them is not repeated."""
        try:
            yield
        except (OSError, ImportError, json.JSONDecodeError) as error:
            raise ResourceError(
                f"{self.address}: {masked(printable(str(error)))}; check file, disk and packages"
            ) from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("optuna", "sqlalchemy"):
                raise
            said = masked(printable(str(error).partition("\n")[0]))
            text = f"{self.address}: {type(error).__name__}: {said}"
            raise ResourceError(f"{text}; check --storage, such as sqlite:////mnt/shared/study.db") from None

    # --- The study --------------------------------------------------------------------------------------------

    def claim(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """What the study searches; writes it down where it is new.

        Args:
            about: What this call searches.
        """
        with self._reached():
            known = self._study.user_attrs.get(_ABOUT)
            if known is None:
                self._study.set_user_attr(_ABOUT, dict(about))
        return dict(about) if known is None else dict(known)

    def trials(self) -> list[Trial]:
        """All trials that have begun, by their numbers."""
        from optuna.trial import TrialState

        with self._reached():
            found = self._study.get_trials(deepcopy=False)
        return [_read(each) for each in found if each.state != TrialState.WAITING and _SPARE not in each.user_attrs]

    def lay_out(self, grid: Sequence[Mapping[str, str]], seed: int) -> None:
        """Puts the combinations of a grid into the study that are not in it, in an order drawn by the seed."""
        from optuna.trial import TrialState

        with self._reached():
            there = self._study.get_trials(deepcopy=False)
            known = [_combination(each) for each in there]
            known += [each.params for each in there if each.state != TrialState.WAITING]
            missing = [dict(values) for values in grid if dict(values) not in known]
            for values in sorted(missing, key=lambda values: _hash(seed, json.dumps(values, sort_keys=True))):
                self._study.enqueue_trial(values)

    # --- One trial --------------------------------------------------------------------------------------------

    def begin(self, axes: Sequence[Axis], sampling: Sampling, seed: int) -> Trial | None:
        """A new trial, whose values are the next of the grid, or drawn; None where the grid has no further ones."""
        with self._reached():
            asked = self._asked(sampling)
            if asked is None:
                return None
            self._study.sampler = _sampler(sampling, _hash(seed, str(asked.number)))
            written = {}
            for axis in axes:
                if axis.choices:
                    drawn: Any = asked.suggest_categorical(axis.key, list(axis.choices))
                elif axis.whole:
                    drawn = asked.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
                else:
                    drawn = asked.suggest_float(axis.key, axis.low, axis.high, log=axis.log)
                written[axis.key] = axis.written(drawn)
            self.note(asked.number, values=written, owner=self.owner, machine=socket.gethostname())
        return Trial(asked.number, "begun", written)

    def _asked(self, sampling: Sampling) -> OptunaTrial | None:
        """The next trial whose combination no earlier one has: two machines may lay out a grid at the same time."""
        from optuna.trial import TrialState

        while True:
            asked = self._study.ask()
            there = self._study.get_trials(deepcopy=False)
            mine = next(each for each in there if each.number == asked.number)
            is_laid_out = _FIXED in mine.system_attrs
            earlier = [_combination(each) for each in there if each.number < asked.number]
            if _combination(mine) not in earlier if is_laid_out else sampling != "grid":
                return asked
            self.note(asked.number, **{_SPARE: True})
            self._study.tell(asked.number, state=TrialState.FAIL)
            if not is_laid_out:  # another machine has just taken the last of the grid
                return None

    def interrupted(self) -> list[Trial]:
        """Trials of this folder that have begun and are not over: they go on, since nobody else holds the folder."""
        from optuna.trial import TrialState

        with self._reached():
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            mine = [each for each in running if each.user_attrs.get("owner", "") == self.owner]
            for each in mine:
                if "values" not in each.user_attrs:  # killed while its values were drawn
                    self._study.tell(each.number, state=TrialState.FAIL)
        return [_read(each) for each in mine if "values" in each.user_attrs]

    def report(self, number: int, cost: float, value: float) -> None:
        """Keeps a validation: full-epoch equivalents so far, and the metric."""
        with self._reached():
            self._storage.set_trial_intermediate_value(self._of(number), round(_STEPS * cost), value)

    def note(self, number: int, **attributes: Any) -> None:
        """Keeps what is known of a trial beside its values."""
        with self._reached():
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(self._of(number), key, value)

    def end(self, number: int, outcome: Outcome, value: float | None = None, **attributes: Any) -> None:
        """Ends a trial. A diverged one counts as pruned for the sampler: such values are bad, not unknown."""
        from optuna.trial import TrialState

        states = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL}
        self.note(number, outcome=outcome, **attributes)
        with self._reached():
            values = value if outcome == "done" else None
            self._study.tell(number, values, state=states.get(outcome, TrialState.PRUNED))

    def _of(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def _opened(address: str, out: Path) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if address:
        # A trial may take longer than a server keeps a connection.
        return RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    file = out / JOURNAL
    _drop_torn_line(file)
    return JournalStorage(JournalFileBackend(str(file)))


def _drop_torn_line(file: Path) -> None:
    """Cuts what a killed process left half-written off a journal, which could not be read any more."""
    if not file.is_file():
        return
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        with file.open("r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)


def _sampler(sampling: Sampling, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    return TPESampler(seed=seed) if sampling == "tpe" else RandomSampler(seed=seed)


def _combination(trial: FrozenTrial) -> dict[str, Any]:
    """Values that a trial was laid out with, or drawn with."""
    found: dict[str, Any] = trial.system_attrs.get(_FIXED, trial.params)
    return found


def _hash(seed: int, what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}, tune, {what}".encode()).digest()[:4], "big")


def _read(trial: FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    known = trial.user_attrs
    begun: Outcome = "begun" if trial.state == TrialState.RUNNING else "failed"
    bounds = known.get("interval")
    return Trial(
        number=trial.number,
        outcome=begun if trial.state == TrialState.RUNNING else known.get("outcome", begun),
        values=known.get("values", {}),
        value=trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        curve=tuple((step / _STEPS, value) for step, value in sorted(trial.intermediate_values.items())),
        full_epoch_equivalents=known.get("full_epoch_equivalents", 0.0),
        shared_full_epoch_equivalents=known.get("shared_full_epoch_equivalents", 0.0),
        seconds=known.get("seconds", 0.0),
        epoch=known.get("epoch"),
        interval=(bounds[0], bounds[1]) if bounds else None,
        folder=known.get("folder", ""),
        machine=known.get("machine", ""),
        message=known.get("message", ""),
    )
