"""The store that a run's training images come from: how large it has to be, and which one suits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fewer.core.errors import DataError, RecipeError
from fewer.core.text import command
from fewer.core.types import Stage
from fewer.data.pictures.file import PictureFile
from fewer.data.pictures.sources import candidates, require_same, stores_folder
from fewer.data.sources import Source
from fewer.plan.facts import StoreFacts
from fewer.recipe.schema import Recipe

_STEP_PX = 16


def store_side_px(recipe: Recipe, stages: Sequence[Stage]) -> int:
    """The shorter side that stored pictures need for a recipe's training.

    The largest side of a stage; with random-resized crops so much more that a square crop of the median area is not
    enlarged: side / sqrt(median share). Rounded up to a multiple of 16.
    """
    side_px = float(max(stage.side_px for stage in stages))
    if recipe.augment.crop == "random_resized":
        side_px /= math.sqrt(sum(recipe.augment.crop_scale) / 2)
    return math.ceil(side_px / _STEP_PX - 1e-9) * _STEP_PX


def store_of(
    recipe: Recipe, source: Source, stages: Sequence[Stage], depth: int
) -> tuple[StoreFacts | None, tuple[str, ...]]:
    """The store of the training images, and what the user should know of it.

    Args:
        recipe: What the user asked.
        source: Where the training images come from.
        stages: The run's stages.
        depth: Bits that the values of 16-bit images have.

    Raises:
        DataError: `data.store` names what is no store of these images, or a damaged one.
    """
    asked = recipe.data.store
    if asked == "none":
        return None, ()
    is_auto, needed_px = asked == "auto", store_side_px(recipe, stages)
    place = stores_folder() if is_auto else Path(asked)
    notes: list[str] = []
    smaller: PictureFile | None = None
    for path in candidates(source, place):
        try:
            store = PictureFile(path)
            require_same(store, source, depth, recipe.data.cache == "auto")
        except DataError as error:
            if not is_auto:
                raise
            again = command("fewer", "data", "store", "RECIPE")
            notes.append(f"{error}; images are read from their files; {again} builds it again")
            continue
        if min(needed_px, store.description.largest_px) <= store.description.side_px:
            return _facts(store, place), (*notes, _used(store))
        smaller = store
    if smaller is None:
        if is_auto:
            return None, tuple(notes)
        raise DataError(
            f'data.store = "{asked}": holds no store of {source.name}; fix: build one with '
            f'{command("fewer", "data", "store", "RECIPE", "--out", place)}, or data.store = "none"'
        )
    side_px = smaller.description.side_px
    if is_auto:
        again = command("fewer", "data", "store", "RECIPE")
        return None, (*notes, f"{smaller.path}: pictures of {side_px} px, too small for this recipe, which needs "
                      f"{needed_px} px; images are read from their files; {again} builds another")  # fmt: skip
    return _facts(smaller, place), (
        *notes,
        f"{_used(smaller)}; this recipe would take {needed_px} px, so parts of them are enlarged more often",
    )


def require_store(before: object, now: StoreFacts | None) -> None:
    """A resumed run needs the pictures that it began with.

    Args:
        before: What its plan.json says of its store.
        now: The store that is there.

    Raises:
        RecipeError: It is another one, or none.
    """
    kept = {key: before.get(key) for key in ("side_px", "form")} if isinstance(before, dict) else None
    found = {"side_px": now.side_px, "form": now.form} if now else None
    changes = bool(kept and isinstance(before, dict) and before.get("changes")) or bool(now and now.changes)
    if changes and kept != found:
        raise RecipeError(
            f"the run began with training images from {_words(kept)}, and now they would come from {_words(found)}; "
            f"fix: build that store again with {command('fewer', 'data', 'store', 'RECIPE', '--side', 'PX')}, "
            "or start a new run"
        )


def _words(store: dict[str, object] | None) -> str:
    return f"a store of {store['side_px']} px ({store['form']})" if store else "their files"


def _facts(store: PictureFile, place: Path) -> StoreFacts:
    of = store.description
    return StoreFacts(str(store.path), str(place), of.side_px, of.form, of.changes)


def _used(store: PictureFile) -> str:
    of = store.description
    form = "uncompressed" if of.form == "raw" else "as JPEGs"
    views = "views differ a little from those of the files" if of.changes else "views are those of the files"
    return f"training images come from the store {store.path}: shorter sides up to {of.side_px} px, {form}; {views}"
