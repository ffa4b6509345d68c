"""HTML page of a comparison: self-contained, a pure function of `compare.json`, in the style of a run's report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from fewer.compare import formatting
from fewer.compare.arms import LADDER
from fewer.compare.verdict import CHEAPER, CONFIDENCE, SEEDS_LEAST
from fewer.report import units
from fewer.report.charts import NAMES, NO_NUMBERS, TIME, Chart, Panel, Role, Spot
from fewer.report.history import Line
from fewer.report.markup import Html, empty, esc, join, name, section, table, td
from fewer.report.metrics import Metrics
from fewer.report.page import frame, glossary
from fewer.report.plots import svg
from fewer.report.styles import swatch

Arm = Mapping[str, Any]
Summary = Mapping[str, Any]
CURVES: tuple[Role, ...] = ("plain", "random", "variant")
LISTED = 100  # failed runs
GLOSSARY = (
    ("plain", "The recipe without selection: all images in every epoch. It is the baseline of every difference."),
    ("±", f"Half of the {CONFIDENCE:.0%} interval of the mean over seeds (Student's t). Differences are taken seed by "
          "seed, so effects of the seed alone cancel; their interval is never narrower than the binomial noise of the "
          "images that judge."),
    ("FEE", "Full-epoch equivalents: the arithmetic of the whole training, scoring included, in units of one plain "
            "epoch of the baseline."),
    ("EE", "Effective epochs: samples backpropagated / training images; leaves out the cost of choosing them."),
    ("cost", "FEE as a share of the baseline's."),
    ("non-inferior", f"Cheaper than plain training by {1 - CHEAPER:.0%} or more, and not worse by more than the "
                     f"margin (one-sided, {CONFIDENCE:.0%})."),
    ("beats plain at equal cost", "Better than plain training of the same FEE, shortened and annealed to its end: the "
                                  "curve between the budgets, seed by seed (the same test against 0)."),
    ("no saving", f"Not cheaper by {1 - CHEAPER:.0%}, or worse than plain training by more than the margin, or worse "
                  "than plain training of the same cost."),
    ("undecided", "So few seeds, or so few images, decide none of these; a verdict takes "
                  f"{SEEDS_LEAST} seeds or more."),
)  # fmt: skip
STYLE = """
.verdict{min-width:12rem;max-width:24rem}
.passed{color:var(--ok);font-weight:600}
.broken{color:var(--bad)}
.pair{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));gap:1rem}
"""


def comparison_page(summary: Summary) -> str:
    """The whole page.

    Args:
        summary: The content of `compare.json`.
    """
    parts = [_head(summary), *_round(summary, "")]
    if confirmation := summary.get("confirmation"):
        parts += _round(confirmation, "confirmation")
    return frame(f"{summary['recipe']}, compared", join([*parts, _changes(summary), glossary(GLOSSARY)]), STYLE)


def _head(summary: Summary) -> Html:
    judged = summary.get("confirmation") or summary
    is_confirmed, seeds, metrics = judged is not summary, summary["seeds"], Metrics(summary["task"])
    facts = [
        ("decides", formatting.metric_title(metrics, summary["metric"])),
        ("images", f"{summary['images']:,}"),
        ("margin", f"{summary['margin']:g} points"),
        ("seeds", f"{seeds[0]}–{seeds[-1]}, paired"),
        ("epochs", f"{summary['epochs']:,}"),
        ("baseline's digest", summary["baseline_digest"]),
    ]
    if is_confirmed:
        fresh = judged["seeds"]
        title = formatting.metric_title(metrics, judged["metric"])
        facts.insert(4, ("confirmed by", f"{title}, seeds {fresh[0]}–{fresh[-1]}"))
    items = join(Html(f"<div><dt>{esc(key)}</dt><dd>{esc(value)}</dd></div>") for key, value in facts)
    headline = ("On fresh seeds: " if is_confirmed else "") + formatting.headline(judged)
    note = formatting.caution(judged, is_confirmed)
    return Html(
        f'<header class="top"><p class="brand">fewer · comparison</p>'
        f"<h1><bdi>{esc(summary['recipe'], 120)}</bdi>{_progress(judged)}</h1>"
        f'<p class="headline">{esc(headline, 1000)}</p><p class="state-note">{esc(note)}</p>'
        f'<dl class="facts">{items}</dl></header>\n'
    )


def _progress(summary: Summary) -> Html:
    """Progress of a comparison that was still running when the page was written."""
    runs = summary["runs"]
    if runs["there"] == runs["asked"]:
        return Html("")
    return Html(f' <span class="state running">{runs["there"]:,} of {runs["asked"]:,} runs</span>')


def _way(summary: Summary) -> str:
    return "Up" if Metrics(summary["task"])[summary["metric"]].higher_is_better else "Down"


def _round(summary: Summary, prefix: str) -> list[Html]:
    """The sections of a choice, or of its confirmation."""
    number = {arm["name"]: i for i, arm in enumerate(_variants(summary), start=1)}
    caution = formatting.caution(summary, confirms=True) if prefix else "The conclusion for each variant."
    all_lead = "Means over the seeds. Plain and random training at smaller budgets make the curves."
    if summary.get("curve") == LADDER:
        all_lead += " Plain training below the whole budget is a constant rate with a cooldown, off one trunk a seed."
    cost_lead = (
        f"{_way(summary)} and to the left is better. Beyond the plain curve, shorter plain training does as well."
    )
    cost_lead += " Bars are 95 % intervals, cut where they are longer than half of the spread of all means."
    if shared := formatting.shared(summary):
        cost_lead += f" {shared}"
    parts = {
        "Verdicts": (caution, _verdicts(summary, number)),
        "Cost": (
            cost_lead,
            _curves(summary, number, prefix),
        ),
        "All arms": (all_lead, _all(summary, number)),
        "Failed runs": ("A variant with a failed run gets no verdict.", _failures(summary["arms"])),
    }
    before = "Confirmed: " if prefix else ""
    return [
        section(f"{before}{title}", esc(lead), content, f"{prefix}{title.split()[0].lower()}")
        for title, (lead, content) in parts.items()
        if content
    ]


def _failures(arms: Sequence[Arm]) -> Html:
    items = [
        Html(f"<li>{name(arm['name'])}, seed {esc(failed['seed'])}: {esc(failed['message'], 600)}</li>")
        for arm in arms
        for failed in arm["failed"]
    ]
    return Html(f'<ul class="notes">{join(items[:LISTED])}</ul>' if items else "")


def _variants(summary: Summary) -> list[Arm]:
    return [arm for arm in summary["arms"] if arm["kind"] == "variant"]


def _verdicts(summary: Summary, number: Mapping[str, int]) -> Html:
    head = ["variant", "verdict", "cost", "over plain, points", "at equal FEE", "at equal seconds", "over random"]
    keys = ("difference", "over_plain_at_equal_fee", "over_plain_at_equal_seconds", "over_random_at_equal_fee")
    rows = []
    for arm in _variants(summary):
        mark = "passed" if arm["holds"] else "broken" if arm["failed"] else ""
        rows.append(
            [
                td(_named(arm, number)),
                Html(f'<td class="verdict {mark}">{esc(arm["verdict"])}</td>'),
                _cell(formatting.ratio(arm), arm.get("cost")),
                *(_cell(formatting.gain(arm.get(key)), (arm.get(key) or {}).get("mean")) for key in keys),
            ]
        )
    return table(head, rows, "Verdicts", kind="wide", left=2)


def _named(arm: Arm, number: Mapping[str, int]) -> Html:
    """An arm's name, a variant's with its number in the plots."""
    mark = f"{number[arm['name']]}.{units.NBSP}" if arm["kind"] == "variant" else ""
    return Html(f"{mark}{name(arm['name'])}")


def _cell(text: str, raw: object) -> Html:
    return empty() if raw is None else td(esc(text), raw)


def _all(summary: Summary, number: Mapping[str, int]) -> Html:
    arms, metric, known = summary["arms"], summary["metric"], Metrics(summary["task"])
    test = f"test/{metric.partition('/')[2]}"
    has_test = test != metric and any(test in arm["metrics"] for arm in arms)
    metrics = [metric, *([test] if has_test else [])]
    head = ["", *(formatting.metric_title(known, key) for key in metrics), "EE", "FEE", "time", "steps", "runs"]
    rows = []
    for arm in arms:
        estimates = {key: arm["metrics"].get(key) for key in metrics}
        cells = [_cell(formatting.level(known[key], each), each and each["mean"]) for key, each in estimates.items()]
        for key, form in (
            ("effective_epochs", formatting.epochs), ("full_epoch_equivalents", formatting.epochs),
            ("seconds", units.duration), ("optimizer_steps", units.count),
        ):  # fmt: skip
            cells.append(_cell(formatting.spent(arm[key], form), arm[key] and arm[key]["mean"]))
        done = arm["runs"] - len(arm["failed"])
        cells.append(td(esc(f"{done} of {arm['runs']}" if arm["failed"] else done), done))
        rows.append([td(_named(arm, number)), *cells])
    note = "Test metrics are for the record: they decided nothing." if has_test else ""
    shown = table(head, rows, "All arms", kind="wide")
    return join([shown, Html(f'<p class="note">{esc(note)}</p>' if note else "")])


def _changes(summary: Summary) -> Html:
    rows = [
        [td(name(arm["name"])), Html(f"<td>{join(map(_setting, arm['changes'].items()), ', ')}{_left_out(arm)}</td>")]
        for arm in _variants(summary)
    ]
    lead = "Keys in which a variant differs from plain training."
    return section("Variants", esc(lead), table(["variant", "keys"], rows, "Variants", left=2), "variants")


def _setting(item: tuple[str, object]) -> Html:
    key, value = item
    return Html(f"<code>{esc(key)} = {esc(json.dumps(value, ensure_ascii=False, default=str))}</code>")


def _left_out(arm: Arm) -> Html:
    return esc(f"; without {', '.join(arm['left_out'])}" if arm["left_out"] else "")


# --- Curves --------------------------------------------------------------------------------------------------------


def _curves(summary: Summary, number: Mapping[str, int], prefix: str) -> Html:
    shown = [role for role in CURVES if any(arm["kind"] == role for arm in summary["arms"])]
    items = join(Html(f"<li>{swatch(role)}{NAMES[role]}</li>") for role in shown)
    charts = (chart(summary, number, axis, f"{prefix}cost-{axis}") for axis in ("full_epoch_equivalents", "seconds"))
    drawn = join(Html(f"<figure>{svg(chart)}</figure>\n") for chart in charts)
    return Html(f'<ul class="legend">{items}</ul><div class="pair">{drawn}</div>')


def _pieces(summary: Summary, role: Role, there: Mapping[str, tuple[float, float]]) -> Iterator[Line]:
    """A curve, interrupted at every budget all of whose runs failed: what training reaches there is unknown."""
    arms = [arm for arm in summary["arms"] if arm["kind"] in (role, "baseline")]
    arms.sort(key=lambda arm: arm.get("budget_epochs", summary["epochs"]))
    for is_there, piece in groupby((there.get(arm["name"]) for arm in arms), lambda point: point is not None):
        if is_there:
            yield sorted(point for point in piece if point)


def chart(summary: Summary, number: Mapping[str, int], axis: str, key: str) -> Chart:
    """The metric against one kind of cost: both curves, and the variants by number."""
    metric, metrics = summary["metric"], Metrics(summary["task"])
    done = [arm for arm in summary["arms"] if arm["metrics"].get(metric) and arm[axis]]
    scale, unit = 1.0, "FEE (full-epoch equivalents)"
    if axis == "seconds":
        longest = max((arm[axis]["mean"] for arm in done), default=0.0)
        scale, unit = next((scale, unit) for least, scale, unit in TIME if longest >= least)
    places = [(arm, arm[axis]["mean"] / scale, arm["metrics"][metric]) for arm in done]
    there = {arm["name"]: (x, estimate["mean"]) for arm, x, estimate in places}
    curves = [(role, line) for role in CURVES[:2] for line in _pieces(summary, role, there)]
    # Few seeds make intervals that would flatten all the rest: they are cut at half the spread of the means.
    means = [estimate["mean"] for _, _, estimate in places] or [0.0]
    room = max((max(means) - min(means)) / 2, 0.005)
    lowest, highest = min(means) - room, max(means) + room
    spots = [
        Spot(
            "plain" if arm["kind"] == "baseline" else arm["kind"],
            x,
            estimate["mean"],
            max(lowest, estimate["mean"] - formatting.half(estimate)),
            min(highest, estimate["mean"] + formatting.half(estimate)),
            str(number.get(arm["name"], "")),
        )
        for arm, x, estimate in places
    ]
    percent, title = metrics[metric].is_share, formatting.metric_title(metrics, metric)
    panel = Panel(f"{title}{', %' if percent else ''}", curves, percent, spots=spots)
    text = "; ".join(f"{arm['name']}: {formatting.level(metrics[metric], mean)}" for arm, _, mean in places)
    return Chart(key, [panel], unit, text, NO_NUMBERS)
