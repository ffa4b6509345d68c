"""The page: its sections in their order, the style sheet, and the frame around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import resources
from typing import Any

from fewer.report import units
from fewer.report.history import History, history
from fewer.report.load import Folder
from fewer.report.markup import Html, details, empty, esc, join, name, section, table, td
from fewer.report.metrics import metrics_of
from fewer.report.pictures import previews, suspects, watched, worst
from fewer.report.sections.cost import ledger
from fewer.report.sections.curves import curves, schedule
from fewer.report.sections.selection import over_classes
from fewer.report.sections.summary import head, metrics
from fewer.report.sections.tasks import part_of
from fewer.report.values import dig, mapping, number, sequence, whole

GLOSSARY = (
    ("FEE", "Full-epoch equivalents: the arithmetic of all that training did (scoring passes too, evaluation not), "
            "in units of one plain epoch: the whole model on all images at the plan's largest side."),
    ("EE", "Effective epochs: samples backpropagated, divided by the training images. The literature's number; it "
           "leaves out what choosing those samples cost, and is therefore shown with FEE and seconds only."),
    ("kept share", "The share of candidate samples that selection let through to training."),
    ("stage", "A part of training with its own image side and batch size."),
    ("published model", "The best on validation, or the last where there is none; the test metrics are its own."),
)  # fmt: skip
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STAGE_COLUMNS = (("side_px", "image side"), ("batch_size", "batch size"))
_USUAL = {  # what no stage needs a column to say
    "strength": 1,
    "lr_scale": 1,
    "data_share": 1,
    "frozen_layers": 0,
    "keeps_features": False,
    "lr_ramp_epochs": 0,
    "lr_ramp_start": 0.1,
}
GUARDS = {
    "class_floor": "samples were added by the class floor, over all epochs",
    "never_empty": "samples were added so that no epoch is empty",
}
ITEMS = 200  # of any list whose length the run decides
PAGE_BYTES = 1_940_000  # of all sections: with its frame the page stays below 2 MB, whatever the folder holds
PICTURES = ("Watched images", "Worst samples", "Suspected labels", "Previews")  # take the room that the others leave


def page(folder: Folder) -> str:
    """The whole page.

    Args:
        folder: What the run folder says.
    """
    story, task = history(folder), part_of(metrics_of(folder.plan).task)
    parts: dict[str, Callable[[int], Html]] = {
        "Head": lambda _: head(folder, story),
        "Curves": lambda _: curves(folder, story),
        "Schedule": lambda _: schedule(folder, story),
        "Ledger": lambda _: ledger(folder, story),
        "Selection by class": lambda _: over_classes(folder, story),
        "Metrics": lambda _: metrics(folder),
        **{title: partial(_of_task, draw, folder, story) for title, draw in task.sections.items()},
        "Watched images": lambda room_bytes: watched(folder, room_bytes, task.is_whole),
        "Worst samples": lambda room_bytes: worst(folder, room_bytes, task.verdict, task.is_whole),
        "Suspected labels": lambda room_bytes: suspects(folder, room_bytes, task.is_whole),
        "Previews": lambda room_bytes: previews(folder, room_bytes),
        "Plan": lambda _: plan(folder),
        "Events": lambda _: events(folder, story),
        "Recipe": lambda _: recipe(folder),
        "Environment": lambda _: environment(folder),
    }
    drawn: dict[str, Html] = {}
    room_bytes = PAGE_BYTES
    for title in sorted(parts, key=lambda title: title in PICTURES):
        drawn[title] = _guarded(title, parts[title], room_bytes)
        room_bytes -= len(drawn[title].encode())
    return frame(folder.name, join([*(drawn[title] for title in parts), glossary(GLOSSARY)]))


def _of_task(draw: Callable[[Folder, History], Html], folder: Folder, story: History, room_bytes: int) -> Html:
    return draw(folder, story)


def frame(title: str, body: Html, style: str = "") -> str:
    """A whole page around its sections, with the style sheet; nothing in it can be fetched or run.

    Args:
        title: Of the window.
        body: The sections.
        style: Further rules.
    """
    style = resources.files("fewer.report").joinpath("page.css").read_text(encoding="utf-8") + style
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{esc(title, 120)} · fewer</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}</main>\n</body>\n</html>\n"
    )


def _guarded(title: str, draw: Callable[[int], Html], room_bytes: int) -> Html:
    """A damaged folder may hold what no reader foresaw: then one section is lost, not the page."""
    try:
        html = draw(room_bytes)
        if len(html.encode()) <= room_bytes:
            return html
        text = "This section is left out: the page would be larger than 2 MB."
    except Exception as error:  # the rest of the report is worth more than a traceback
        text = f"This section could not be drawn: {type(error).__name__}: {error}"
    return section(
        title, Html(""), Html(f'<p class="failed">{esc(text)}</p>'), f"{title.lower().replace(' ', '-')}-failed"
    )


def plan(folder: Folder) -> Html:
    """Stages and notes of the plan."""
    stages = [mapping(stage) for stage in sequence(folder.plan.get("stages"))][:ITEMS]
    notes = [note for note in sequence(folder.plan.get("notes")) if isinstance(note, str)][:ITEMS]
    parts = []
    if stages:
        parts.append(_stages(stages))
    if notes:
        parts.append(Html(f'<ul class="notes">{join(Html(f"<li>{esc(note, 1000)}</li>") for note in notes)}</ul>'))
    if not parts:
        return Html("")
    return section("Plan", esc("Decided before the first step."), join(parts), "plan")


def _stages(stages: list[Mapping[str, Any]]) -> Html:
    known = {"index", "first_epoch", "epochs", *(key for key, _ in STAGE_COLUMNS)}
    said = {key for stage in stages for key, value in stage.items() if _scalar(value) and value != _USUAL.get(key)}
    further = sorted(said - known)
    columns = [*STAGE_COLUMNS, *((key, key.removesuffix("_px").replace("_", " ")) for key in further[:8])]
    rows = []
    for i, stage in enumerate(stages):
        first, length = whole(stage.get("first_epoch")), whole(stage.get("epochs"))
        span = "–" if first is None or length is None else f"{first + 1:,}–{first + length:,}"
        cells = [td(esc(i + 1)), Html(f'<td class="n">{esc(span)}</td>')]
        rows.append(cells + [_value(key, stage.get(key)) for key, _ in columns])
    return table(["stage", "epochs", *(title for _, title in columns)], rows, "Stages of the plan")


def _scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _value(key: str, value: object) -> Html:
    known = number(value)
    if known is not None:
        unit = f"{units.NBSP}px" if key.endswith("_px") else ""
        return td(esc(f"{units.plain(known)}{unit}"), value)
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return Html(f'<td class="n">{esc(value, 60)}</td>') if _scalar(value) else empty()


def events(folder: Folder, story: History) -> Html:
    """What happened besides training."""
    items = [
        Html(f"resumed after {units.epochs(mark.epochs)} epochs{_exactness(mark.row)}")
        for mark in story.resumes[:ITEMS]
    ]
    items += [
        Html(f"amended: <code>{esc(row.get('key'))}</code> from {esc(row.get('old'))} to {esc(row.get('new'))}")
        for row in story.amendments[:ITEMS]
    ]
    if text := _became(folder):
        items.append(text)
    counts = (
        (
            whole(dig(folder.result, "ledger", "skipped_steps")) or 0,
            "steps were skipped: no sample was kept, or gradients overflowed in fp16",
        ),
        (whole(folder.result.get("quarantined")) or 0, "images could not be read and were quarantined"),
        (whole(folder.result.get("suspected_labels")) or 0, "labels are suspected to be wrong: suspects.csv"),
        *((total, text) for key, text in GUARDS.items() if (total := _guarded_samples(story, key))),
        (len(story.checkpoints), "checkpoints were written"),
    )
    items += [Html(f"{value:,} {text}") for value, text in counts if value]
    if story.checkpoints:
        newest = story.checkpoints[-1].row.get("path")
        items.append(Html(f"newest checkpoint: {name(newest, 200)}"))
    if not items:
        return Html("")
    listed = join(Html(f"<li>{item}</li>") for item in items)
    return section("Events", esc("Besides training."), Html(f'<ul class="notes">{listed}</ul>'), "events")


def _became(folder: Folder) -> Html:
    """What a method that picks another one has picked."""
    became = mapping(folder.result.get("became"))
    keys, epoch = mapping(became.get("select")), whole(became.get("epoch"))
    if not keys or epoch is None:
        return Html("")
    stated = ", ".join(f"{key} = {value}" for key, value in list(keys.items())[:ITEMS])
    reason = esc(became.get("reason"), 300)
    return Html(f"selection from epoch {epoch + 1:,} on: <code>{esc(stated, 300)}</code>: {reason}")


def _guarded_samples(story: History, key: str) -> int:
    """How many samples a guard has added, over all epochs."""
    return round(sum(number(dig(mark.row, "counts", f"guard.{key}")) or 0.0 for mark in story.epochs))


def _exactness(row: Mapping[str, Any]) -> str:
    return ", no longer bit-identical to a run that never stopped" if row.get("exact") is False else ""


def recipe(folder: Folder) -> Html:
    """The recipe, as given and resolved."""
    if not folder.recipes:
        return Html("")
    shown = join(details(title, Html(f"<pre>{esc(text, 100_000)}</pre>")) for title, text in folder.recipes)
    return section("Recipe", esc("What was asked for."), shown, "recipe")


def environment(folder: Folder) -> Html:
    """The machine and the versions."""
    rows = [[td(esc(key, 60)), td(esc(value, 500))] for key, value in list(folder.env.items())[:ITEMS]]
    if not rows:
        return Html("")
    content = details("Versions and machine", table(["", ""], rows, "Environment", left=2))
    return section("Environment", esc("Where it ran."), content, "environment")


def glossary(words: Iterable[tuple[str, str]]) -> Html:
    """The words of a page, and what they mean on it."""
    terms = join(Html(f"<dt>{esc(term)}</dt><dd>{esc(text, 600)}</dd>") for term, text in words)
    return section("Glossary", esc("The words of this page."), Html(f'<dl class="glossary">{terms}</dl>'), "glossary")
