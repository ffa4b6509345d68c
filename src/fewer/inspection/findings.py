"""Findings of `fewer data check`: a stable code each, its severity, and a fix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from fewer.core.errors import printable

Severity = Literal["error", "warning", "info"]
Effect = Literal["stops", "damaged", "leaks", "trains"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        effect: The effect on `fewer train`. "stops": it stops, whatever the policy. "damaged": it stops under
            `data.damaged = "error"` and leaves the file out under "quarantine". "leaks": it trains, but test or
            validation numbers are too good. "trains": it trains.
        severity: error unless the run trains and its numbers hold.
        title: The head of a group of such findings.
        fix: One way to fix it.
    """

    severity: Severity
    effect: Effect
    title: str
    fix: str


_LEAVE_OUT = 'or leave it out with data.damaged = "quarantine"'
KINDS: dict[str, Kind] = {
    "layout": Kind("error", "stops", "the source cannot be listed", "fix what the reason names"),
    "unreadable-folder": Kind("error", "stops", "folders that cannot be listed", "check rights and links"),
    "link-loop": Kind("error", "stops", "links back to a folder above", "remove the link"),
    "not-a-file": Kind("error", "stops", "pipes, sockets, devices or links to nothing", "remove it"),
    "outside-class-folder": Kind("error", "stops", "images outside class folders", "move it into a class folder"),
    "nested-folder": Kind("error", "stops", "folders with images inside class folders", "move it out of the class"),
    "refused": Kind("error", "stops", "reasons why fewer plan and fewer train refuse", "do what the reason names"),
    "empty-class": Kind("error", "stops", "class folders without images", "add images or remove the folder"),
    "class-only-in-test": Kind("error", "stops", "classes that training does not have", "rename or remove that folder"),
    "unreadable": Kind("error", "damaged", "files that cannot be read", f"make it readable, {_LEAVE_OUT}"),
    "empty-file": Kind("error", "damaged", "empty files", f"copy it again, {_LEAVE_OUT}"),
    "not-an-image": Kind("error", "damaged", "no image of a known format", f"remove or convert it, {_LEAVE_OUT}"),
    "truncated": Kind("error", "damaged", "truncated files", f"copy or download it again, {_LEAVE_OUT}"),
    "decompression-bomb": Kind("error", "damaged", "too many pixels to decode", f"scale it down, {_LEAVE_OUT}"),
    "undecodable": Kind("error", "damaged", "files that cannot be decoded", f"replace it, {_LEAVE_OUT}"),
    "crash": Kind("error", "stops", "files that end the decoding process", "remove it: no policy survives it"),
    "identical-across-splits": Kind("error", "leaks", "images that training has too", "keep it in one split only"),
    "identical-other-label": Kind("warning", "trains", "identical images of different classes", "settle on one class"),
    "single-image-class": Kind("warning", "trains", "classes with one image", "add images, or merge the class"),
    "animated": Kind("warning", "trains", "animations or several pages: the first is used", "save the frame you mean"),
    "cmyk": Kind("warning", "trains", "CMYK, turned into RGB without a colour profile", "convert it to sRGB yourself"),
    "tiny": Kind("warning", "trains", "images of a few pixels", "remove it if it was meant to be a photo"),
    "not-rgb": Kind("info", "trains", "grey, palette or transparent", "it becomes RGB"),
    "unread-format": Kind("warning", "trains", "formats that are not read", "save them as JPEG or PNG"),
    "narrow-range": Kind("warning", "trains", "16-bit files that hold fewer bits", "check data.depth, or save 8 bits"),
    "corrupt-metadata": Kind("info", "trains", "metadata that cannot be read", "the pixels count, taken as upright"),
    "16-bit": Kind("info", "trains", "more than 8 bits a channel", "it becomes 8 bits"),
    "exif-rotated": Kind("info", "trains", "stored rotated", "it is turned upright"),
    "identical-within-split": Kind("info", "trains", "images that occur twice", "remove the copy"),
    "class-not-in-test": Kind("info", "trains", "classes without a held-out image", "add some, or keep it in mind"),
    "extreme-aspect": Kind("info", "trains", "very wide or very tall images", "the centre square is taken"),
    "uneven-sizes": Kind("info", "trains", "sizes that differ widely", "all are scaled to one side"),
    "wrong-suffix": Kind("info", "trains", "another format than the ending of the name", "the contents decide"),
    "odd-name": Kind("info", "trains", "names with odd characters", "rename it if other programs trip over it"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found.

    Attributes:
        code: A key of `KINDS`.
        split: `train`, `val`, `test` or `all`; "" where it is about the whole source.
        path: Of the file inside its source, or the name of a class.
        reason: A phrase.
        source: Which source.
    """

    code: str
    split: str
    path: str
    reason: str
    source: str = ""

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    def as_json(self) -> dict[str, Any]:
        """Stable names; paths without control characters."""
        escaped = {key: printable(value) for key, value in asdict(self).items()}
        return {**escaped, "severity": self.kind.severity, "effect": self.kind.effect, "fix": self.kind.fix}
