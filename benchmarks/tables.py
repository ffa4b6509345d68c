"""Tables of README.md and docs/results.md, filled from benchmarks/results/*.jsonl.

    python benchmarks/tables.py

A table stands between `<!-- results:NAME -->`, or `results:NAME:STUDY`, and `<!-- /results -->`, and is made of
results/NAME.jsonl alone; `summary` is the short table of results/selection.jsonl, and `paces` compares pairs of its
variants. The pages are rewritten; a smoke run prints the tables instead.
"""

from __future__ import annotations

import json
import re
import runpy
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.compare.verdict import Evidence, Sample, judge, over_curve, paired, whole_curves

HERE = Path(__file__).resolve().parent
PAGES = (HERE.parent / "README.md", HERE.parent / "docs" / "results.md")
_BLOCK = re.compile(r"(<!-- results:(\w+)(?::(\w+))? -->\n).*?(<!-- /results -->)", re.DOTALL)

Line = dict[str, Any]
Arm = dict[int, Line]  # the runs of a variant, by seed
EVERY_STEP = "every step"  # how the baselines of the sync methods are called


def main() -> None:
    from common import parsed, parser  # beside this file, so only where it is run as a script

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

    def block(match: re.Match[str]) -> str:
        path = results / f"{_FILES.get(match[2], match[2])}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
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
                _spread([100 * run["metrics"]["test/top1"] for run in runs]) + " %",
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
                _spread([100 * run["top1"] for run in runs]) + " %",
                f"{_mean(runs, 'effective_epochs'):.2f}",
                f"{fee:.2f}",
                f"{1 - fee / baseline:.0%}" if fee != baseline else "–",
                f"{_mean(runs, 'seconds'):.1f}",
                f"{_mean(runs, 'steps'):.0f}",
            )
        )
    return markdown(head, rows)


METRICS = {"longtail": ("macro_f1", "few_shot")}  # a study's own metrics, the one that decides first; else top-1
IMAGES = {"digits_uniform": 719}  # that test a study; else those of CIFAR-10
CIFAR10_IMAGES = 10_000
NAMES = {"top1": "top-1", "macro_f1": "macro-F1", "few_shot": "few-shot"}


def selection(lines: Sequence[Line]) -> str:
    """A row a variant of a study, by cost: metrics, difference from plain training of the same cost, verdict."""
    metrics = METRICS.get(lines[0]["study"], ("top1",))
    arms = _arms(lines)
    plain = _plain(arms)
    rows = []
    for name, runs in sorted(arms.items(), key=lambda arm: _fee(arm[1])):
        done = {seed: run for seed, run in runs.items() if "error" not in run}
        if not done:
            rows.append((name, str(len(runs)), "failed", *[""] * (len(metrics) + 5)))
            continue
        told = [_spread([100 * run["metrics"][key] for run in done.values()]) for key in metrics]
        images = IMAGES.get(lines[0]["study"], CIFAR10_IMAGES)
        at_equal, verdict = _judged(name, runs, done, plain, metrics[0], images)
        costs = (f"{_mean(list(done.values()), key):.2f}" for key in ("effective_epochs", "full_epoch_equivalents"))
        seconds = f"{statistics.median(run['seconds']['total'] for run in done.values()):.0f}"
        rows.append((name, str(len(done)), *told, at_equal, *costs, seconds, verdict))
    names = [f"{NAMES[key]}, %" for key in metrics]
    head = ("variant", "seeds", *names, "over plain at equal FEE", "EE", "FEE", "s", "verdict")
    return f"{markdown(head, rows)}\n\n{_made(lines)}"


@dataclass(frozen=True)
class Case:
    """A row of the short table: one variant of a study, beside plain training.

    Attributes:
        text: What was trained on.
        study, variant: Where its runs are.
        do: The setting, as a reader writes it.
    """

    text: str
    study: str
    variant: str
    do: str


CASES = (
    Case("digits, 40 % of the labels wrong at random", "digits_uniform", "auto", '`select.method = "auto"`'),
    Case(
        "CIFAR-10N, 40 % of the labels mistaken, long training",
        "noisy40",
        "dbpd, threshold 0.95, noise cap 0.41",
        "[`dbpd` with a noise cap](docs/choosing.md#wrong-labels)",
    ),
    Case("CIFAR-10, right labels, short training", "tier1", "srd 0.6", "`srd`, the best of twenty settings"),
    Case("CIFAR-10, long tail (macro-F1)", "longtail", "logit adjustment", '`task.loss = "logit_adjustment"`'),
)


def summary(lines: Sequence[Line]) -> str:
    """A row a case: the metric, that of plain training in full and at the same cost, and the share of the cost."""
    head = ("case", "setting", "result, %", "plain training, %", "plain training of the same cost, %", "cost")
    rows = []
    for case in CASES:
        runs = [line for line in lines if line["study"] == case.study]
        metric = METRICS.get(case.study, ("top1",))[0]
        arms = _arms(runs)
        done, plain = arms[case.variant], _plain(arms)
        result, full = (
            100 * statistics.fmean(run["metrics"][metric] for run in each.values()) for each in (done, plain["plain"])
        )
        difference = _over_plain(done, plain, metric)
        assert difference is not None
        cost = f"{_fee(done) / _fee(plain['plain']):.2f}"
        rows.append((case.text, case.do, f"{result:.1f}", f"{full:.1f}", f"{result - 100 * difference.mean:.1f}", cost))
    return markdown(head, rows)


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
        for name, arm in _arms(lines).items()
    }
    rows = []
    for text, one, other in PACES:
        if found := paired(arms.get(one, {}), arms.get(other, {}), images=CIFAR10_IMAGES):
            values = [100 * value for value in found.values]
            half = "" if found.high is None else f" ± {100 * (found.high - found.mean):.2f}"
            spread = f"{statistics.stdev(values):.2f}" if len(values) > 1 else "–"
            higher = f"{sum(value > 0 for value in values)} of {len(values)}"
            rows.append((text, f"{100 * found.mean:+.2f}{half}", spread, higher))
    return markdown(("difference", "top-1, points", "standard deviation of seeds", "seeds above 0"), rows)


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
        difference = self.difference
        half = "" if difference.high is None else f" ± {100 * (difference.high - difference.mean):.2f}"
        return f"{100 * difference.mean:+.2f}{half}"

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
        if (difference := paired(values, others)) is None:
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
    return f"{markdown(head, rows)}\n\n{_made(lines)}"


def peers(lines: Sequence[Line]) -> str:
    """The table of peers.py: a row for each who trains, case after case."""
    return f"{runpy.run_path(str(HERE / 'peer_table.py'))['table'](lines)}\n\n{_made(lines)}"


def _arms(lines: Sequence[Line]) -> dict[str, Arm]:
    """The runs of each variant by seed."""
    arms: dict[str, Arm] = {}
    for line in lines:
        arms.setdefault(line["variant"], {})[line["seed"]] = line
    return arms


def _plain(arms: dict[str, Arm]) -> dict[str, Arm]:
    """Plain training of each length."""
    return {name: runs for name, runs in arms.items() if re.fullmatch(r"plain( [\d.]+)?", name)}


def _fee(runs: Arm) -> float:
    return statistics.fmean(run.get("full_epoch_equivalents", 0.0) for run in runs.values())


def _judged(name: str, runs: Arm, done: Arm, plain: dict[str, Arm], metric: str, images: int) -> tuple[str, str]:
    """Difference from plain training at equal cost with its interval, and the verdict; the curve has neither."""
    if name in plain:
        return "–", "plain training" if name == "plain" else "plain training, shortened"
    values = {seed: run["metrics"][metric] for seed, run in done.items()}
    full = {seed: run["metrics"][metric] for seed, run in plain["plain"].items()}
    difference = _over_plain(done, plain, metric, images)
    cost = _fee(done) / _fee(plain["plain"])
    over_full = paired(values, full, images=images)
    verdict = judge(Evidence(cost, over_full, difference, len(runs) - len(done), len(runs))).text
    if difference is None:
        return "–", verdict
    half = "" if difference.high is None else f" ± {100 * (difference.high - difference.mean):.2f}"
    return f"{100 * difference.mean:+.2f}{half}", verdict


def _over_plain(done: Arm, plain: dict[str, Arm], metric: str, images: int = 0) -> Sample | None:
    """The mean difference from plain training of the same cost, seed by seed; None where no length reaches it.

    Left out, `images` leaves their noise out of the interval.
    """
    values = {seed: run["metrics"][metric] for seed, run in done.items()}
    costs = {seed: run["full_epoch_equivalents"] for seed, run in done.items()}
    budgets = [
        {
            seed: (run["full_epoch_equivalents"], run["metrics"][metric])
            for seed, run in arm.items()
            if "error" not in run
        }
        for arm in plain.values()
    ]
    return over_curve(values, costs, whole_curves(budgets), images=images)


def _threshold(line: Line) -> str:
    """The threshold that a variant was given, where it was."""
    found = [text.partition("=")[2] for text in line["overrides"] if text.startswith("select.threshold=")]
    return f", threshold {found[0]}" if found else ""


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table without a final newline."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _mean(ledgers: Sequence[Line], name: str) -> float:
    return statistics.fmean(ledger[name] for ledger in ledgers)


def _spread(values: Sequence[float]) -> str:
    """Mean, and the standard deviation over seeds where there are several."""
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _where(environment: Line) -> str:
    """Processor, ranks and threads where there are several, and precision, as far as they are known."""
    parts = [str(environment[key]) for key in ("processor", "device") if environment.get(key)][:1]
    parts += [f"{environment[key]} {key}" for key in ("ranks", "threads") if environment.get(key, 1) > 1]
    parts += [environment["precision"]] if "precision" in environment else []
    return ", ".join(parts).replace("|", "/")


_TABLES = {
    "peers": peers,
    "recipes": recipes,
    "savings": savings,
    "paces": paces,
    "selection": selection,
    "summary": summary,
    "sync_methods": sync_methods,
}
_FILES = {"summary": "selection", "paces": "selection"}  # tables whose results have another name

if __name__ == "__main__":
    main()
