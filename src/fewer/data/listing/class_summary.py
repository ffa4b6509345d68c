"""Classes in a sentence: their names and how many images each has; and why they are too few."""

from __future__ import annotations

from collections.abc import Sequence

_ALL_MAX = 10  # classes that are all named
_SHOWN = 6


def class_line(classes: Sequence[str], counts: Sequence[int], what: str = "") -> str:
    """Such as "3 classes: ant 30, bee 12, cow 8"; of more than ten, a few, the smallest and the largest.

    Args:
        classes: Names of the classes.
        counts: Images of each; empty where that is not known.
        what: What is counted, where it is not images.
    """
    named = [f"{name} {count:,}" for name, count in zip(classes, counts, strict=True)] if counts else list(classes)
    head = f"{len(classes):,} class{'' if len(classes) == 1 else 'es'}{f', {what}' if what else ''}: "
    if len(classes) <= _ALL_MAX:
        return head + ", ".join(named)
    few = f"{head}{', '.join(named[:_SHOWN])}, ..., {named[-1]}"
    if not counts:
        return few
    ranked = sorted(range(len(classes)), key=lambda i: counts[i])
    return f"{few}; smallest: {named[ranked[0]]}, largest: {named[ranked[-1]]}"


def class_problem(classes: Sequence[str], annotations: str = "classes") -> str:
    """Why nothing can be learnt from so few classes; "" where there are enough: one of boxes, else two.

    Args:
        classes: Names of the classes.
        annotations: What the images are annotated with: "classes", "boxes" or "masks".
    """
    if len(classes) > 1 or (classes and annotations == "boxes"):
        return ""
    only = f" ({classes[0]!r})" if classes else ""
    needs = {
        "classes": "a classifier needs two or more class folders",
        "boxes": "a detector needs one or more",
        "masks": "masks need two or more, one of which may be the background",
    }
    return f"data.source: {len(classes)} class{only}; {needs[annotations]}"
