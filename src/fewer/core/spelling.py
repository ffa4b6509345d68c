"""The known word that a user most likely meant: another way to write it, its initials, a longer name, or a slip."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # also those of CosineAnnealingLR
# Words of other programs for keys of ours that are made of other letters.
_ELSEWHERE = {
    **dict.fromkeys(("imgsz", "img_size", "image_size", "input_size", "resolution", "crop_size", "size"), "side_px"),
    **dict.fromkeys(("arch", "architecture", "backbone"), "name"),
    **dict.fromkeys(("pretrained", "checkpoint"), "weights"),
    **dict.fromkeys(("workers", "num_workers"), "processes"),
    **dict.fromkeys(("fp16", "bf16", "amp", "mixed_precision"), "precision"),
    **dict.fromkeys(("rmsprop", "radam", "nadam", "adagrad", "adamax", "lion"), "adamw"),
}


def closest(name: str, known: Sequence[str]) -> str | None:
    """The known word that is meant, or None where none is near."""
    words = _words(name)
    if not words:
        return None
    for means in (_same, _initials, _part):
        if found := [each for each in known if means(words, _words(each))]:
            return max(found, key=lambda each: (words[0] in _words(each), len(each)))
    if (elsewhere := _ELSEWHERE.get("_".join(words))) in known:
        return elsewhere
    folded = {each.lower(): each for each in reversed(known)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.5)
    return folded[close[0]] if close else None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name[:100])]


def _same(asked: list[str], known: list[str]) -> bool:
    """`SGD` and `sgd`, `OneCycle` and `one_cycle`."""
    return "".join(asked) == "".join(known)


def _initials(asked: list[str], known: list[str]) -> bool:
    """`ce` and `cross_entropy`, `learning_rate` and `lr`."""
    return any(
        len(words) > 1 and short == ["".join(word[0] for word in words)]
        for short, words in ((asked, known), (known, asked))
    )


def _part(asked: list[str], known: list[str]) -> bool:
    """`adamw_torch` and `adamw`, `CrossEntropyLoss` and `cross_entropy`; not single letters, such as that of `top1`."""
    return len("".join(known)) > 2 and 0 < len(known) < len(asked) and set(known) <= set(asked)
