"""HTML from values. `Html` is text that is safe to put into the page; `esc` is the only way from a string to it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import NewType

Html = NewType("Html", str)

# Controls, lone surrogates, and marks that turn text around: `x<U+202E>evil` would be read as `xlive`.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def esc(value: object, limit: int = 300) -> Html:
    """Any value as text: escaped, without control characters and lone surrogates, cut at `limit` characters."""
    return Html(html.escape(visible(str(value), limit), quote=True))


def visible(text: str, limit: int) -> str:
    """A text as it may be drawn: not escaped, without control characters, cut at `limit` characters."""
    return _UNPRINTABLE.sub("\ufffd", text if len(text) <= limit else text[: limit - 1] + "…")


def name(value: object, limit: int = 60) -> Html:
    """A name that somebody chose (a class, a file): isolated, so that right-to-left text cannot disturb its row."""
    return Html(f"<bdi>{esc(value, limit)}</bdi>")


def join(parts: Iterable[Html], between: str = "") -> Html:
    """One piece of HTML from several."""
    return Html(between.join(parts))


def td(content: Html, raw: object = None) -> Html:
    """A cell of a table; with `raw`, a number whose exact value stands in the tooltip."""
    if raw is None:
        return Html(f"<td>{content}</td>")
    return Html(f'<td class="n" title="{esc(raw)}">{content}</td>')


def empty() -> Html:
    """A cell with nothing to say."""
    return Html('<td class="n none">–</td>')


def table(head: Sequence[str], rows: Iterable[Sequence[Html]], caption: str, *, kind: str = "", left: int = 1) -> Html:
    """A table in a box that scrolls sideways by itself, so that a phone's page does not.

    Args:
        head: Column titles; those after the first `left` are aligned right, as numbers are.
        rows: Cells (`td`); the first cell of a row is its header.
        caption: Read by screen readers, not shown.
        kind: Further CSS class.
        left: How many leading columns hold text.
    """
    titles = "".join(f'<th scope="col"{"" if i < left else " class=n"}>{esc(text)}</th>' for i, text in enumerate(head))
    body = "\n".join(f"<tr>{''.join(_header(row))}</tr>" for row in rows)
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="{kind}"><caption>{esc(caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _header(row: Sequence[Html]) -> Sequence[str]:
    first = row[0]
    return [f'<th scope="row"{first[3:-5]}</th>', *row[1:]] if first.startswith("<td") else row


def details(summary: str, content: Html, label: str = "") -> Html:
    """Something that opens on a click, without script; `label` is its longer name for screen readers."""
    attribute = f' aria-label="{esc(label)}"' if label else ""
    return Html(f"<details><summary{attribute}>{esc(summary)}</summary>{content}</details>")


def section(title: str, lead: Html | str, content: Html, anchor: str) -> Html:
    """A lane of the page: title and one explaining sentence on the left, the matter on the right."""
    return Html(
        f'<section id="{anchor}"><header><h2>{esc(title)}</h2><p>{lead}</p></header>'
        f'<div class="matter">{content}</div></section>\n'
    )
