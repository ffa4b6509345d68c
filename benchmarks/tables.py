"""Tables of README.md and docs/results.md, filled from benchmarks/results/*.jsonl.

    python benchmarks/tables.py

A table stands between `<!-- results:NAME -->`, or `results:NAME:STUDY`, and `<!-- /results -->`, and is made of
results/NAME.jsonl alone; `summary` is the short table of many studies, and `paces` compares pairs of variants of
results/selection.jsonl. The pages are rewritten; a smoke run prints the tables instead.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peer_table
from common import parsed, parser
from matched_cost import arms_of, fee, finished, markdown, over_plain, plain_of, points, spread, table, time_ratio

from fewer.compare.verdict import Sample, paired
from fewer.core.text import quantity

HERE = Path(__file__).resolve().parent
PAGES = tuple(HERE.parent / page for page in ("README.md", "docs/results.md", "docs/boxes-and-masks.md"))
_BLOCK = re.compile(r"(<!-- results:(\w+)(?::(\w+))? -->\n).*?(<!-- /results -->)", re.DOTALL)

Line = dict[str, Any]
EVERY_STEP = "every step"  # how the baselines of the sync methods are called


def main() -> None:
    args = parsed(parser(__doc__))
    for page in PAGES:
        text = filled(page.read_text(encoding="utf-8"))
        if args.smoke:
            print(*(match[0] for match in _BLOCK.finditer(text)), sep="\n")
        else:
            page.write_text(text, encoding="utf-8")
            print(page.name)


def filled(text: str, results: Path = HERE / "results") -> str:
    """The text with a fresh table between every pair of markers."""

    def read(name: str) -> list[Line]:
        path = results / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def block(match: re.Match[str]) -> str:
        if match[2] == "summary":
            return f"{match[1]}{summary(read)}\n{match[4]}"
        lines = read(_FILES.get(match[2], match[2]))
        if match[3]:
            lines = [line for line in lines if line["study"] == match[3]]
        return f"{match[1]}{_TABLES[match[2]](lines) if lines else 'no finished run yet'}\n{match[4]}"

    return _BLOCK.sub(block, text)


def recipes(lines: Sequence[Line]) -> str:
    """A row a digest: accuracy and cost, means over its seeds."""
    head = ("recipe", "digest", "seeds", "test top-1", "EE", "FEE", "minutes", "where")
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        name = " ".join([line["recipe"], *(f"`{text}`" for text in line.get("overrides", []))])
        groups.setdefault((name, line["digest"]), []).append(line)
    rows = []
    for (recipe, digest), runs in sorted(groups.items()):
        ledgers = [run["ledger"] for run in runs]
        rows.append(
            (
                recipe,
                f"`{digest[:8]}`",
                str(len(runs)),
                spread([100 * run["metrics"]["test/top1"] for run in runs]) + " %",
                f"{_mean(ledgers, 'effective_epochs'):.2f}",
                f"{_mean(ledgers, 'full_epoch_equivalents'):.2f}",
                f"{statistics.fmean(ledger['seconds']['total'] for ledger in ledgers) / 60:.1f}",
                _where(runs[0]["environment"]),
            )
        )
    return markdown(head, rows)


def savings(lines: Sequence[Line]) -> str:
    """A row a variant, plain training first and the others beside it."""
    head = ("digits, lenet5", "seeds", "test top-1", "EE", "FEE", "FEE saved", "seconds", "steps")
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line["split"] == "test":
            groups.setdefault(line["variant"], []).append(line)
    baseline = _mean(next(iter(groups.values())), "full_epoch_equivalents")
    rows = []
    for variant, runs in groups.items():
        fee = _mean(runs, "full_epoch_equivalents")
        rows.append(
            (
                f"{variant}{_threshold(runs[0])}",
                str(len(runs)),
                spread([100 * run["top1"] for run in runs]) + " %",
                f"{_mean(runs, 'effective_epochs'):.2f}",
                f"{fee:.2f}",
                f"{1 - fee / baseline:.0%}" if fee != baseline else "–",
                f"{_mean(runs, 'seconds'):.1f}",
                f"{_mean(runs, 'steps'):.0f}",
            )
        )
    return markdown(head, rows)


METRICS = {  # of a study, the one that decides first; else top-1
    "longtail": {"macro_f1": "macro-F1", "few_shot": "few-shot"},
    "detect": {"ap": "AP", "ap50": "AP50"},
    "segment": {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"},
}
# Images that test a study, else those of CIFAR-10; 0: its metrics are no shares of images.
IMAGES = {"digits": 719, "digits_uniform": 719, "detect": 0, "segment": 0}
CIFAR10_IMAGES = 10_000
RECIPE = "the recipe as it is"  # in dense.jsonl, of another length than what is compared


def matched_cost(lines: Sequence[Line]) -> str:
    """A row a variant of a study, by cost, beside plain training of the same cost."""
    study, compared = lines[0]["study"], [line for line in lines if line["variant"] != RECIPE]
    return f"{table(compared, _metrics(study), _images(study))}\n\n{_made(compared)}"


def _metrics(study: str) -> dict[str, str]:
    return METRICS.get(study, {"top1": "top-1"})


def _images(study: str) -> int:
    return IMAGES.get(study, CIFAR10_IMAGES)


@dataclass(frozen=True)
class Case:
    """A row of the short table: one variant of a study, beside plain training.

    Attributes:
        text: What was trained on.
        study, variant: Where its runs are.
        do: The setting, as a reader writes it.
        script: What makes the runs, and the name of their file.
        is_timed: Other work beside them was the same for all.
        peers: The case of peers.py that goes with it, if any.
    """

    text: str
    study: str
    variant: str
    do: str
    script: str = "selection"
    is_timed: bool = True
    peers: str = ""


CASES = (
    Case(
        "CIFAR-10 from scratch, 20,000 images",
        "pixels",
        "20, 26, 32 px 0.66",
        "growing images ([`[[stages]]`](docs/strategies.md))",
    ),
    Case(
        "the same",
        "pixels",
        "Muon, SiLU, jitter; 20, 26, 32 px",
        "growing images, [Muon, SiLU, jitter](examples/fast_cifar.py)",
        is_timed=False,
    ),
    Case("digits, 40 % of the labels wrong at random", "digits_uniform", "auto", '`select.method = "auto"`'),
    Case(
        "CIFAR-10N, 40 % of the labels mistaken, long training",
        "noisy40",
        "dbpd, threshold 0.95, noise cap 0.41",
        "[`dbpd` with a noise cap](docs/choosing.md#wrong-labels)",
        is_timed=False,
        peers="labels",
    ),
    Case("CIFAR-10, long tail", "longtail", "logit adjustment", '`task.loss = "logit_adjustment"`', peers="longtail"),
    Case("CIFAR-10, right labels, short training", "tier1", "srd 0.6", "`srd`, the best of 25 selections"),
    Case("BCCD, boxes, short training", "detect", "growing pictures", "growing images", "dense", False, "detection"),
    Case("CamVid, masks, short training", "segment", "growing pictures", "growing images", "dense", False),
)


# Cases of peers.py that no study has, and what to do there.
ONE_LINES = {
    "photos": "`fewer train photos/ model.weights=FILE`",
    "cifar10": "`fewer train cifar10/ train.epochs=6`, six views of doubtful images",
}


def summary(read: Callable[[str], list[Line]]) -> str:
    """A row a case: what was reached in how many seconds, beside plain training, also of the same cost, and a peer."""
    head = (
        *("case", "do this", "result, %", "plain, %", "plain of the same cost, %"),
        *("a peer, %", "FEE", "time", "seeds", "script"),
    )
    rows = []
    for name, do in ONE_LINES.items():
        if ours := peer_table.runs_of(read("peers"), name, peer_table.FEWER):
            task, reached = peer_table.CASES[name], 100 * statistics.fmean(run["best"] for run in ours)
            cells = (f"{task.text} ({task.metric[1]})", do, f"{reached:.1f}", "–", "–", _peer(read("peers"), name))
            rows.append((*cells, "–", "–", str(len(ours)), "`peers.py`"))
    for case in CASES:
        runs = [line for line in read(case.script) if line["study"] == case.study]
        (metric, name), *_ = _metrics(case.study).items()
        arms = arms_of(runs)
        plain, done = plain_of(arms), finished(arms[case.variant])
        full = finished(plain["plain"])
        difference = over_plain(done, plain, metric, _images(case.study))
        time = time_ratio(done, full) if case.is_timed else None
        assert difference is not None
        reached, whole = (
            100 * statistics.fmean(run["metrics"][metric] for run in each.values()) for each in (done, full)
        )
        rows.append(
            (
                f"{case.text} ({name})",
                case.do,
                f"{reached:.1f}",
                f"{whole:.1f}",
                f"{reached - 100 * difference.mean:.1f} ({points(difference)})",
                _peer(read("peers"), case.peers),
                f"{fee(done) / fee(full):.2f}",
                "–" if time is None else f"{time:.2f}",
                str(len(difference.values)),
                f"`{case.script}.py`",
            )
        )
    return markdown(head, rows)


def _peer(lines: Sequence[Line], case: str) -> str:
    """What the best peer of a case reached, who that is, its CPU seconds over fewer's, and its seeds."""
    if not case:
        return "–"
    who, ours, theirs = peer_table.paired_with_best(lines, case)
    if not theirs:
        return "not run"
    reached = 100 * statistics.fmean(run["best"] for run in theirs)
    cpu = statistics.fmean(their["cpu_seconds"] / our["cpu_seconds"] for our, their in zip(ours, theirs, strict=True))
    return f"{reached:.1f} in {cpu:.1f} times the CPU time, {who} ({quantity(len(theirs), 'seed')})"


PACES = (  # what differs, and the two variants of equal cost that differ by it
    ("`srd` over plain training", "srd 0.6", "plain 0.6"),
    ("its rates alone: plain training at the rates of `srd`", "plain 0.6, rates of srd", "plain 0.6"),
    ("its shares alone, both at the rates of `srd`", "srd 0.6", "plain 0.6, rates of srd"),
    ("its shares alone, both at the rates of plain training", "srd 0.6, rates of plain", "plain 0.6"),
    ("a steady random share over plain training", "random 0.6", "plain 0.6"),
    ("a random share that oscillates over a steady one", "random 0.6, oscillating", "random 0.6"),
)


def paces(lines: Sequence[Line]) -> str:
    """A row a difference between two variants of equal cost, over the seeds of both studies of one recipe."""
    lines = [line for line in lines if line["study"] in ("tier1", "confirm")]
    arms = {
        name: {seed: run["metrics"]["top1"] for seed, run in arm.items() if "error" not in run}
        for name, arm in arms_of(lines).items()
    }
    rows = []
    for text, one, other in PACES:
        if found := paired(arms.get(one, {}), arms.get(other, {}), images=CIFAR10_IMAGES):
            values = [100 * value for value in found.values]
            deviation = f"{statistics.stdev(values):.2f}" if len(values) > 1 else "–"
            higher = f"{sum(value > 0 for value in values)} of {len(values)}"
            rows.append((text, points(found), deviation, higher))
    return markdown(("difference", "top-1, points", "standard deviation of seeds", "seeds above 0"), rows)


def _with_machines(table: Callable[[Sequence[Line]], str]) -> Callable[[Sequence[Line]], str]:
    """The same table, and below it on which machines and when its runs were made."""
    return lambda lines: f"{table(lines)}\n\n{_made(lines)}"


def _made(lines: Sequence[Line]) -> str:
    """Where and when runs were made."""
    machines = [line["machine"] for line in lines]

    def all_of(key: str) -> str:
        return ", ".join(sorted({str(machine[key]) for machine in machines if key in machine}))

    dates = sorted(machine["date"] for machine in machines)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    vectors = all_of("vectors")
    processor = all_of("processor") + (f" with {vectors}" if vectors else "")
    return f"{all_of('cores')} cores of {processor}, torch {all_of('torch')}, {when}."


@dataclass(frozen=True)
class SyncRow:
    """A variant beside agreeing at every step with as many workers, seed by seed.

    Attributes:
        variant: Its name.
        top1: Mean test accuracy, in percent.
        difference: Accuracy less that of every step, as a share.
        fewer: Bytes of every step over its own.
    """

    variant: str
    top1: float
    difference: Sample
    fewer: float

    @property
    def apart(self) -> str:
        """The difference in points, with half of its interval where there are several seeds."""
        return "–" if self.variant.startswith(EVERY_STEP) else points(self.difference)

    def text(self) -> str:
        seeds = len(self.difference.values)
        return f"{self.variant} | {seeds} | {self.top1:.2f} | {self.apart} | {self.fewer:.1f} x"


def sync_rows(lines: Sequence[Line]) -> list[SyncRow]:
    """A row a variant whose baseline is on record, those that send least first."""
    runs: dict[str, dict[int, Line]] = {}
    for line in lines:
        if "error" not in line:
            runs.setdefault(line["variant"], {})[line["seed"]] = line
    rows = []
    for variant, arm in runs.items():
        workers = next(text.split()[1] for text in variant.split(", ") if text.startswith("K "))
        base = runs.get(f"{EVERY_STEP}, K {workers}", {})
        values, others = ({seed: run["metrics"]["top1"] for seed, run in each.items()} for each in (arm, base))
        if (difference := paired(values, others, images=CIFAR10_IMAGES)) is None:
            continue
        pairs = [(arm[seed], base[seed]) for seed in sorted(arm.keys() & base.keys())]
        rows.append(
            SyncRow(
                variant,
                100 * statistics.fmean(ours["metrics"]["top1"] for ours, _ in pairs),
                difference,
                statistics.fmean(theirs["bytes_sent"] / max(1, ours["bytes_sent"]) for ours, theirs in pairs),
            )
        )
    return sorted(rows, key=lambda row: -row.fewer)


def sync_methods(lines: Sequence[Line]) -> str:
    """A row a method, those that send least first, beside agreeing at every step with as many workers."""
    head = ("method", "seeds", "top-1, %", "against every step, points", "times fewer bytes")
    rows = [
        (row.variant, str(len(row.difference.values)), f"{row.top1:.2f}", row.apart, f"{row.fewer:.1f}")
        for row in sync_rows(lines)
    ]
    return markdown(head, rows)


def _threshold(line: Line) -> str:
    """The threshold that a variant was given, where it was."""
    found = [text.partition("=")[2] for text in line["overrides"] if text.startswith("select.threshold=")]
    return f", threshold {found[0]}" if found else ""


def _mean(ledgers: Sequence[Line], name: str) -> float:
    return statistics.fmean(ledger[name] for ledger in ledgers)


def _where(environment: Line) -> str:
    """Processor, ranks and threads where there are several, and precision, as far as they are known."""
    parts = [str(environment[key]) for key in ("processor", "device") if environment.get(key)][:1]
    parts += [f"{environment[key]} {key}" for key in ("ranks", "threads") if environment.get(key, 1) > 1]
    parts += [environment["precision"]] if "precision" in environment else []
    return ", ".join(parts).replace("|", "/")


_TABLES = {
    "best_peers": _with_machines(peer_table.best),
    "dense": matched_cost,
    "paces": paces,
    "peers": _with_machines(peer_table.table),
    "recipes": recipes,
    "savings": savings,
    "selection": matched_cost,
    "sync_methods": _with_machines(sync_methods),
}
_FILES = {"paces": "selection", "best_peers": "peers"}  # tables whose results have another name

if __name__ == "__main__":
    main()
