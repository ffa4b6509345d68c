"""Pictures of the run: augmented training views and the worst samples, embedded from `previews/`."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fewer.report.load import Folder
from fewer.report.markup import Html, details, esc, join, name, section
from fewer.report.values import dig, mapping, sequence, whole

SHEETS, WORST, SUSPECTS = 4, 24, 60  # embedded at most
SHEET_BYTES, THUMBNAIL_BYTES = 250_000, 20_000  # each, at most; those of a run are smaller
FRAME_BYTES = 2_000  # of a section, for its title and the like
Verdict = Callable[[Folder, Mapping[str, Any]], tuple[str, Html]]
_SQUARES = "Validation images, a row each: the true class, then the predicted one and its probability after some epochs"
_WHOLE = "Validation images, a row each: as annotated, then with what was found in them after some epochs"
_SAFE = re.compile(r"previews/((worst|suspects)/)?[\w-]+\.jpg")


def previews(folder: Folder, room_bytes: int) -> Html:
    """A sheet for each stage, as many as there is room for."""
    found = [(stage, _embedded(folder.path, f"previews/stage-{stage}.jpg", SHEET_BYTES)) for stage in range(1, 100)]
    sheets = [(stage, data) for stage, data in found if data]
    if not sheets:
        return Html("")
    shown = _fitting((_sheet(stage, data) for stage, data in sheets[:SHEETS]), room_bytes)
    rest = len(sheets) - len(shown)
    if rest:
        note = f"{rest} {'more ' if shown else ''}in the folder previews."
        shown.append(Html(f'<p class="note">{note}</p>'))
    return section("Previews", esc("Training images as the model saw them."), join(shown), "previews")


def _sheet(stage: int, data: str) -> Html:
    alt = f"Training images of stage {stage}: a row each, first as evaluated, then as successive epochs show them"
    return details(f"Stage {stage}", Html(f'<img class="sheet" alt="{esc(alt)}" src="{data}">'))


def watched(folder: Folder, room_bytes: int, is_whole: bool = False) -> Html:
    """The strip of a few validation images over the epochs."""
    data = _embedded(folder.path, "previews/validation.jpg", SHEET_BYTES)
    if not data:
        return Html("")
    image = Html(f'<img class="sheet" alt="{esc(_WHOLE if is_whole else _SQUARES)}" src="{data}">')
    lead = "The same few images of validation after every evaluation."
    return section("Watched images", esc(lead), join(_fitting([image], room_bytes)), "watched")


def worst(folder: Folder, room_bytes: int, verdict: Verdict, is_whole: bool = False) -> Html:
    """The samples of highest loss, with what the model made of them, as many as there is room for."""
    how = "annotated on the left, and on the right with what was found" if is_whole else "as the model saw them"
    for split in ("test", "val"):
        samples = sequence(dig(folder.result, "tables", f"{split}/worst_samples"))
        files = sequence(dig(folder.result, "tables", f"{split}/worst"))
        listed = zip(map(mapping, samples[:WORST]), files, strict=False)
        drawn = (_figure(folder, sample, file, verdict) for sample, file in listed)
        figures = [figure for figure in _fitting(drawn, room_bytes) if figure]
        if figures:
            lead = f"The images of {split} with the highest loss, the worst first, {how}."
            return section("Worst samples", esc(lead), _gallery(figures, is_whole), "worst")
    return Html("")


def suspects(folder: Folder, room_bytes: int, is_whole: bool = False) -> Html:
    """Training images whose labels look wrong, each with its label and what the model predicts, worst first."""
    samples = [mapping(each) for each in sequence(dig(folder.result, "tables", "suspects"))[:SUSPECTS]]
    drawn = (_suspect(folder, sample) for sample in samples)
    figures = [figure for figure in _fitting(drawn, room_bytes) if figure]
    if not figures:
        return Html("")
    total = max(len(figures), whole(folder.result.get("suspected_labels")) or 0)
    how = (
        "annotations that look wrong, the surest first: as annotated on the left, and on the right what the published "
        "model finds, the place framed"
        if is_whole
        else "training images whose labels look wrong, the highest loss first: label, and what the published model "
        "predicts with which probability"
    )
    lead = f"{len(figures):,} of {total:,} {how}. suspects.csv lists all of them."
    return section("Suspected labels", esc(lead), _gallery(figures, is_whole), "suspects")


def _gallery(figures: Iterable[Html], is_whole: bool) -> Html:
    return Html(f'<div class="worst{" whole" if is_whole else ""}">{join(figures)}</div>')


def _suspect(folder: Folder, sample: Mapping[str, Any]) -> Html:
    label, predicted = (" ".join(str(sample.get(key, "")).split()) for key in ("label", "predicted"))
    if kind := sample.get("kind"):  # of boxes and masks, where one of the two may be nothing
        kind, label, predicted = str(kind)[:60], label or "nothing", predicted or "nothing"
        verdict = f"{kind}: {label} → {predicted}", Html(f"{esc(kind)}: {name(label, 40)} → {name(predicted, 40)}")
    else:
        verdict = f"{label} → {predicted}", Html(f"{name(label, 40)} → {name(predicted, 40)}")
    return _figure(folder, sample, sample.get("name"), lambda *_: verdict)


def _fitting(pieces: Iterable[Html], room_bytes: int) -> list[Html]:
    """The first pieces, until the room is full."""
    kept: list[Html] = []
    room_bytes -= FRAME_BYTES
    for piece in pieces:
        room_bytes -= len(piece.encode())
        if room_bytes < 0:
            break
        kept.append(piece)
    return kept


def _figure(folder: Folder, sample: Mapping[str, Any], file: object, verdict: Verdict) -> Html:
    thumbnail = sample.get("thumbnail")
    data = _embedded(folder.path, thumbnail, THUMBNAIL_BYTES) if isinstance(thumbnail, str) else ""
    if not data:
        return Html("")
    text, html = verdict(folder, sample)
    alt = f"{file}: {text}" if text else str(file)
    return Html(
        f'<figure><img alt="{esc(alt)}" src="{data}"><figcaption>{html}'
        f'<br><span class="path">{name(file, 160)}</span></figcaption></figure>\n'
    )


def _embedded(run_dir: Path, path: str, limit: int) -> str:
    """A JPEG of the folder as a data URI; empty for anything else: a folder is not trusted, nor are its links."""
    file = run_dir / path
    if not _SAFE.fullmatch(path) or any(part.is_symlink() for part in (file, *file.parents[: path.count("/")])):
        return ""
    try:
        if not file.is_file() or file.stat().st_size > limit:
            return ""
        data = file.read_bytes()
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}" if data[:3] == b"\xff\xd8\xff" else ""
