"""The head of the page: what this run is, how it ended, and the result with its cost in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewer.core.evaluation import Metric, interval
from fewer.report import units
from fewer.report.charts import judged_by
from fewer.report.history import History
from fewer.report.load import Folder
from fewer.report.markup import Html, empty, esc, join, section, table, td
from fewer.report.metrics import metrics_of
from fewer.report.sections.tasks import part_of
from fewer.report.values import dig, mapping, number, sequence, whole
from fewer.runs.folder import state_now

STATES = {
    "done": ("done", "Done"),
    "running": ("running", "Running"),
    "preempted": ("paused", "Preempted"),
    "interrupted": ("paused", "Interrupted"),
    "pruned": ("paused", "Pruned"),
    "failed": ("failed", "Failed"),
    "killed": ("failed", "Killed"),
    "unfinished": ("paused", "Unfinished"),
    "empty": ("paused", "Empty"),
}
MEANINGS = {
    "done": "",
    "running": "It was still training when this page was written. ",
    "preempted": "It received a signal to stop, saved itself and can be resumed. ",
    "interrupted": "It was interrupted, saved itself and can be resumed. ",
    "pruned": "A search ended it, as other trials had reached more at its cost; it can be resumed. ",
    "failed": "It ended with an error. ",
    "killed": "No process trains in this folder any more: it was killed, and can be resumed. ",
    "unfinished": "The folder does not say how it ended; it may have been killed. ",
    "empty": "Nothing has been recorded in this folder. ",
}
Cost = Mapping[str, float | None]


def state(folder: Folder, story: History) -> str:
    """The state of the run: that of status.json, else what the rest of the folder lets one conclude."""
    reported = state_now(folder.path, folder.status.get("state"), bool(folder.result))
    if isinstance(reported, str) and reported in STATES:
        return reported
    if folder.result:
        return "done"
    recorded = folder.rows or folder.plan or folder.recipes
    return "unfinished" if recorded or folder.problems else "empty"


def cost(folder: Folder, story: History) -> Cost:
    """FEE, EE and seconds: of the ledger, or as far as the rows go."""
    ledger = mapping(folder.result.get("ledger"))
    last = story.last
    row: Mapping[str, Any] = last.row if last else {}
    ends = (
        (number(ledger.get("full_epoch_equivalents")), number(row.get("fee"))),
        (number(ledger.get("effective_epochs")), number(row.get("effective_epochs"))),
        (number(dig(ledger, "seconds", "total")), number(row.get("seconds"))),
    )
    found = [total if total is not None else so_far for total, so_far in ends]
    return dict(zip(("fee", "ee", "seconds"), found, strict=True))


def headline(folder: Folder, story: History) -> Html:
    """The result in a sentence."""
    spent, now = cost(folder, story), state(folder, story)
    reached = _epochs_reached(folder, story)
    parts = [_quality(folder, story)]
    if reached is not None:
        planned = whole(folder.plan.get("epochs"))
        of = f" of {planned:,}" if now != "done" and planned is not None else ""
        best = whole(dig(folder.result, "best", "epoch"))
        if best is not None and best + 1 < reached:
            parts.append(f"by the best model, of epoch {best + 1:,} of {units.plain(reached)}")
        else:
            parts.append(f"after {units.plain(reached)}{of} {'epoch' if reached == 1 and not of else 'epochs'}")
    gain = " ".join(part for part in parts if part)
    # A run that is not over has spent on a part of an epoch too: it is compared with plain training up to there.
    price = _price(spent, reached if folder.result or story.last is None else story.last.epochs)
    sentence = "; ".join(part for part in (gain, price) if part)
    return esc(sentence[:1].upper() + sentence[1:] + "." if sentence else "There is no result yet.")


def _quality(folder: Folder, story: History) -> str:
    metric = judged_by(folder)
    metrics = mapping(folder.result.get("metrics"))
    for split, wording in (("test", "on test"), ("val", "on validation")):
        value = number(metrics.get(f"{split}/{metric.name}"))
        marks = story.evaluated(split)
        if value is None and marks:
            value = number(dig(marks[-1].row, "scalars", metric.name))
        if value is not None:
            return f"{units.metric(metric, value)} {metric.label} {wording}{_known_to(folder, split, metric, value)}"
    last = story.last
    value = number(last.row.get(metric.name)) if last else None
    return "" if value is None else f"{units.metric(metric, value)} {metric.label} in training"


def _known_to(folder: Folder, split: str, metric: Metric, value: float) -> str:
    """How exactly a set of this size tells a share of its images; empty for other metrics."""
    images = whole(folder.plan.get(f"{split}_images"))
    if not metric.counts_images or not images or not 0 <= value <= 1:
        return ""
    low, high = interval(value, images)
    between = f"{units.share(low).partition(units.NBSP)[0]} to {units.share(high)}"
    return f" (95{units.NBSP}% interval {between}, {units.count(images)} images)"


def _price(spent: Cost, epochs: float | None) -> str:
    """EE only ever in the company of FEE and seconds."""
    fee, ee, seconds = spent["fee"], spent["ee"], spent["seconds"]
    if fee is None:
        return "" if seconds is None else f"cost: {units.duration(seconds)}"
    amounts = [f"{units.epochs(fee)} full-epoch equivalents (FEE)"]
    if ee is not None and seconds is not None:
        amounts.append(f"{units.epochs(ee)} effective epochs (EE)")
    if seconds is not None:
        amounts.append(units.duration(seconds))
    compared = ""
    if epochs:
        compared = f" — {100 * fee / epochs:.0f}{units.NBSP}% of plain training's {round(epochs, 1):g} FEE"
    return f"cost: {', '.join(amounts)}{compared}"


def _epochs_reached(folder: Folder, story: History) -> float | None:
    done = number(folder.result.get("epochs"))
    if done is not None:
        return done
    return story.epochs[-1].epochs if story.epochs else None


def head(folder: Folder, story: History) -> Html:
    """Title, state, sentence, tiles and facts."""
    kind, word = STATES[state(folder, story)]
    message = folder.status.get("message")
    why = MEANINGS[state(folder, story)]
    notice = f"<p class=state-note>{esc(why)}{esc(message, 2000) if message else ''}</p>" if why or message else ""
    return Html(
        f'<header class="top"><p class="brand">fewer · report of a run</p>'
        f'<h1><bdi>{esc(folder.name, 120)}</bdi> <span class="state {kind}">{word}</span></h1>'
        f'<p class="headline">{headline(folder, story)}</p>{notice}{_problems(folder)}'
        f"{_tiles(folder, story)}{_facts(folder)}</header>\n"
    )


def _problems(folder: Folder) -> Html:
    if not folder.problems:
        return Html("")
    items = join(Html(f"<li>{esc(text, 500)}</li>") for text in folder.problems)
    return Html(f'<ul class="problems" aria-label="Files that could not be read">{items}</ul>')


def _tiles(folder: Folder, story: History) -> Html:
    metrics, known = mapping(folder.result.get("metrics")), metrics_of(folder.plan)
    split = "test" if any(str(key).startswith("test/") for key in metrics) else "val"
    tiles = [
        (units.metric(known[key], value), f"{known[key].label} · {split}", value)
        for key in (known.primary.name, *part_of(known.task).tiles, "loss")
        if (value := number(metrics.get(f"{split}/{key}"))) is not None
    ]
    spent = cost(folder, story)
    fee, ee, seconds = spent["fee"], spent["ee"], spent["seconds"]
    prices = []
    if fee is not None:
        prices.append((units.epochs(fee), "FEE", fee))
        if ee is not None and seconds is not None:
            prices.append((units.epochs(ee), "EE", ee))
    if seconds is not None:
        prices.append((units.duration(seconds), "wall time", seconds))
    groups = [_group("quality", tiles), _group("cost", prices)]
    return Html(f'<div class="tiles">{join(groups)}</div>' if tiles or prices else "")


def _group(kind: str, tiles: list[tuple[str, str, float]]) -> Html:
    if not tiles:
        return Html("")
    cells = join(
        Html(f'<div><dd title="{esc(raw)}">{esc(text)}</dd><dt>{esc(label)}</dt></div>') for text, label, raw in tiles
    )
    return Html(f'<dl class="{kind}">{cells}</dl>')


def _facts(folder: Folder) -> Html:
    plan = folder.plan
    model, select = mapping(plan.get("model")), mapping(plan.get("select"))
    facts: list[tuple[str, str]] = []
    if model.get("name"):
        size = number(model.get("parameters"))
        facts.append(("model", f"{model['name']}{f', {units.count(size)} parameters' if size is not None else ''}"))
    counts = [
        f"{units.count(value)} {split}"
        for split in ("train", "val", "test")
        if (value := number(plan.get(f"{split}_images")))
    ]
    if counts:
        facts.append(("images", " · ".join(counts)))
    if sequence(plan.get("classes")):
        facts.append(("classes", f"{len(plan['classes']):,}"))
    if select.get("method"):
        facts.append(("selection", _method(select)))
    if plan.get("optimizer"):
        facts.append(("optimizer", str(plan["optimizer"])))
    sync = dict(mapping(plan.get("sync")))
    workers = whole(sync.pop("workers", None)) or 1
    if workers > 1:
        facts.append(("workers", f"{workers:,} by {_method(sync)}"))
    if plan.get("precision"):
        layout = ", channels last" if plan.get("channels_last") is True else ""
        facts.append(("precision", f"{plan['precision']}{layout}"))
    digest = plan.get("digest") or folder.result.get("digest")
    if digest:
        facts.append(("digest", str(digest)))
    items = join(Html(f"<div><dt>{esc(key)}</dt><dd>{esc(value)}</dd></div>") for key, value in facts)
    return Html(f'<dl class="facts">{items}</dl>' if facts else "")


def _method(section: Mapping[str, Any]) -> str:
    """A method with its keys."""
    options = {key: value for key, value in section.items() if key != "method" and value != "0ep" and _short(value)}
    others = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{section.get('method')}{f' ({others})' if others else ''}"


def _short(value: object) -> bool:
    return isinstance(value, (str, int, float)) and len(str(value)) < 40


def metrics(folder: Folder) -> Html:
    """Every metric of the result, one column for each split."""
    found: dict[str, dict[str, float]] = {}
    for name, value in mapping(folder.result.get("metrics")).items():
        split, _, key = name.rpartition("/")
        known = number(value)
        if known is not None:
            found.setdefault(key, {})[split] = known
    if not found:
        return Html("")
    by_name = metrics_of(folder.plan)
    splits = sorted({split for row in found.values() for split in row})[:12]
    rows = [
        [td(esc(by_name[key].label, 60))]
        + [td(esc(units.metric(by_name[key], row[split])), row[split]) if split in row else empty() for split in splits]
        for key, row in list(found.items())[:100]
    ]
    lead = "val and test are those of the model that was published."
    return section("Metrics", esc(_handed_over(folder) or lead), table(["metric", *splits], rows, "Metrics"), "metrics")


def _handed_over(folder: Folder) -> str:
    best = mapping(folder.result.get("best"))
    epoch, value, name = whole(best.get("epoch")), number(best.get("value")), best.get("metric")
    if epoch is None:
        return ""
    if isinstance(name, str) and value is None:
        return f"Of the model that was published: the one after epoch {epoch + 1:,} ({name})."
    reading = "" if value is None else units.metric(metrics_of(folder.plan)[str(name)], value)
    reason = f", {name} {reading}" if isinstance(name, str) and reading else ""
    return f"Of the model that was published: the one after epoch {epoch + 1:,}{reason}."
