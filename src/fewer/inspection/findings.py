"""Findings of `fewer data check`: a stable code each, its severity, and a fix."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fewer.core.errors import printable

Severity = Literal["error", "warning", "info"]
_PLURAL = re.compile(r"\[(.*?)\]")
Effect = Literal["stops", "damaged", "leaks", "trains"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        effect: The effect on `fewer train`. "stops": it stops, whatever the policy. "damaged": it stops under
            `data.damaged = "error"` and leaves the file out under "quarantine". "leaks": it trains, but test or
            validation numbers are too good. "trains": it trains.
        severity: error unless the run trains and its numbers hold.
        title: The head of a group of such findings, behind their number; what only several have is in brackets.
        fix: One way to fix it.
    """

    severity: Severity
    effect: Effect
    title: str
    fix: str

    def heading(self, count: int) -> str:
        """The title behind a number of findings: "1 empty file", "1,200 empty files"."""
        return f"{count:,} " + _PLURAL.sub("" if count == 1 else r"\1", self.title)


_LEAVE_OUT = 'or leave it out with data.damaged = "quarantine"'
_RENAME = "give image and annotation one name of their own"
KINDS: dict[str, Kind] = {
    "layout": Kind("error", "stops", "source[s] that cannot be listed", "fix what the reason names"),
    "unreadable-folder": Kind("error", "stops", "folder[s] that cannot be listed", "check rights and links"),
    "link-loop": Kind("error", "stops", "link[s] back to a folder above", "remove the link"),
    "not-a-file": Kind("error", "stops", "pipe[s], socket[s], device[s] or link[s] to nothing", "remove it"),
    "outside-class-folder": Kind(
        "error",
        "stops",
        "image[s] outside class folders",
        "move it into a class folder, or put boxes or masks beside it",
    ),
    "nested-folder": Kind("error", "stops", "folder[s] with images inside class folders", "move it out of the class"),
    "refused": Kind("error", "stops", "reason[s] why fewer plan and fewer train refuse", "do what the reason names"),
    "empty-class": Kind("error", "stops", "class folder[s] without images", "add images or remove the folder"),
    "annotation-unreadable": Kind("error", "stops", "annotation file[s] that cannot be read", "export it again"),
    "class-names": Kind("error", "stops", "list[s] of class names that cannot be used", "mend the list"),
    "mask-unreadable": Kind("error", "damaged", "mask[s] that cannot be read", f"export it again, {_LEAVE_OUT}"),
    "mask-size": Kind(
        "error",
        "damaged",
        "mask[s] of another size than the picture",
        f"export it at the picture's size, {_LEAVE_OUT}",
    ),
    "mask-values": Kind(
        "error",
        "damaged",
        "mask[s] of ids or colours that are no class",
        f"mend it, add the class, name the id of void in data.ignore_index, {_LEAVE_OUT}",
    ),
    "class-only-in-test": Kind("error", "stops", "class[es] unknown in training", "rename or remove that folder"),
    "unreadable": Kind("error", "damaged", "file[s] that cannot be read", f"make it readable, {_LEAVE_OUT}"),
    "empty-file": Kind("error", "damaged", "empty file[s]", f"copy it again, {_LEAVE_OUT}"),
    "not-an-image": Kind("error", "damaged", "file[s] of no known image format", f"remove or convert it, {_LEAVE_OUT}"),
    "truncated": Kind("error", "damaged", "truncated file[s]", f"copy or download it again, {_LEAVE_OUT}"),
    "decompression-bomb": Kind("error", "damaged", "image[s] of too many pixels", f"scale it down, {_LEAVE_OUT}"),
    "undecodable": Kind("error", "damaged", "file[s] that cannot be decoded", f"replace it, {_LEAVE_OUT}"),
    "crash": Kind("error", "stops", "file[s] fatal to the decoding process", "remove it: no policy survives it"),
    "identical-across-splits": Kind("error", "leaks", "image[s] of another split, too", "keep it in one split only"),
    "identical-other-label": Kind("warning", "trains", "identical image[s] of several classes", "settle on one class"),
    "single-image-class": Kind("warning", "trains", "class[es] with one image", "add images, or merge the class"),
    "image-missing": Kind(
        "warning", "trains", "annotated image[s] that cannot be found", "add it, or remove its entry"
    ),
    "image-unannotated": Kind("warning", "trains", "image[s] that no annotation names: left out", "annotate it"),
    "image-ambiguous": Kind("warning", "trains", "annotation file[s] whose image cannot be told", _RENAME),
    "image-in-two-splits": Kind(
        "warning", "trains", "image[s] that two splits name: used in the first", "name it once"
    ),
    "mask-missing": Kind("warning", "trains", "picture[s] without a mask: left out", "add a mask of its name"),
    "unknown-image": Kind("warning", "trains", "annotation[s] of an unknown image", "add the image, or remove it"),
    "unknown-category": Kind("warning", "trains", "annotation[s] of no class: left out", "mend its class, or add that"),
    "box-malformed": Kind("warning", "trains", "annotation[s] without a sound box: left out", "draw it again"),
    "box-inverted": Kind("warning", "trains", "box[es] whose edges change places: left out", "draw it again"),
    "box-empty": Kind("warning", "trains", "box[es] without area: left out", "draw it again, or remove it"),
    "box-outside": Kind(
        "warning", "trains", "box[es] beyond the edge of the picture: cut or left out", "draw it again"
    ),
    "box-duplicate": Kind("warning", "trains", "object[s] annotated twice", "remove one of the two boxes"),
    "size-differs": Kind(
        "warning", "trains", "image[s] of another size than stated", "annotate the image that is there"
    ),
    "mask-void": Kind(
        "warning", "trains", "mask[s] without a pixel of any class", "annotate it, or remove the picture"
    ),
    "all-difficult": Kind(
        "warning", "trains", "split[s] of difficult objects alone", 'set data.difficult = "use" to count them'
    ),
    "class-not-shown": Kind("warning", "trains", "class[es] that no training image shows", "add images, or remove it"),
    "animated": Kind("warning", "trains", "image[s] of several frames: the first is used", "save the frame you mean"),
    "cmyk": Kind("warning", "trains", "CMYK image[s], made RGB without a profile", "convert it to sRGB yourself"),
    "tiny": Kind("warning", "trains", "image[s] of a few pixels", "remove it if it was meant to be a photo"),
    "no-label-file": Kind("info", "trains", "image[s] without a label file", "it counts as background"),
    "not-rgb": Kind("info", "trains", "grey, palette or transparent image[s]", "it becomes RGB"),
    "unread-format": Kind("warning", "trains", "format[s] that nothing here reads", "save them as JPEG or PNG"),
    "narrow-range": Kind("warning", "trains", "16-bit file[s] of fewer bits", "check data.depth, or save 8 bits"),
    "corrupt-metadata": Kind("info", "trains", "image[s] of unreadable metadata", "the pixels count, taken as upright"),
    "16-bit": Kind("info", "trains", "image[s] of more than 8 bits a channel", "it becomes 8 bits"),
    "exif-rotated": Kind("info", "trains", "image[s] stored rotated", "it is turned upright"),
    "identical-within-split": Kind("info", "trains", "image[s] found twice", "remove the copy"),
    "alike-across-splits": Kind(
        "info", "trains", "image[s] much like one of another split", "look at both: test numbers may be too good"
    ),
    "alike-within-split": Kind("info", "trains", "image[s] much like another", "keep one, or keep them in one split"),
    "class-not-in-test": Kind("info", "trains", "class[es] without a held-out image", "add some, or keep it in mind"),
    "extreme-aspect": Kind(
        "info", "trains", "very wide or very tall image[s]", "of classes the centre square is taken"
    ),
    "uneven-sizes": Kind("info", "trains", "set[s] of widely different sizes", "all are scaled to one side"),
    "wrong-suffix": Kind("info", "trains", "file[s] of another format than the name says", "the contents decide"),
    "odd-name": Kind("info", "trains", "name[s] with odd characters", "rename it if other programs trip over it"),
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
