"""The `[data]` section of a recipe: where images come from, how they are split, labelled and read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from fewer.core.annotation_keys import Difficult, Strata
from fewer.core.config import Index, Section, Seed, Share
from fewer.data.listing.class_folders import DEEPEST
from fewer.recipe.normalize import Normalize

if TYPE_CHECKING:
    from fewer.data.sources import Source


def _subset(value: object) -> object:
    share = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    fits = 0 < float(share[1]) <= 100 if share else type(value) is int and 0 < value < 2**31
    if not fits:
        raise ValueError('give a number of images, such as 10000, or a share of them, such as "20%"')
    return value


Subset = Annotated[int | str, BeforeValidator(_subset)]


Level = Annotated[int, Field(ge=1, le=DEEPEST, strict=True)]


class LabelsRecipe(Section):
    """`[data.labels]`: labels from a CSV in place of the source's own, for training images only.

    A validation share that is held out of the training images has them too; test keeps the source's own labels.
    """

    csv: str
    """Path of a CSV with a header line."""
    key: str = "file"
    """Column that names images by their path in the source, with or without a leading `train/`."""
    column: str
    """Column with the labels."""
    numbers: Literal["names", "positions"] = "names"
    """Labels that are numbers: names of classes (`1` is `01`, too), or positions in the source's order of classes,
    from 0; that of class folders is the order of their names as text, in which 10 comes before 2. Numbers of CIFAR and
    of Hugging Face's `ClassLabel` are their own, and need no such key."""
    max_differing: Share = 0.5
    """Largest share of these labels that may differ from the source's own; more is taken for rows of other images or
    other numbers of classes, and refused. 1: any labels, such as random ones."""


class LongTailRecipe(Section):
    """`[data.long_tail]`: training images thinned so that classes become rare in their order; val and test stay whole.

    Class c of C keeps the share factor^(-c / (C - 1)) of the first class's images (`exp`), or 1 / factor of them in the
    second half of the classes (`step`), and one image at least. Classes of unequal size: the first one's number is the
    largest for which all have their share.
    """

    kind: Literal["exp", "step"] = "exp"
    factor: Annotated[float, Field(ge=1, le=1e6, strict=True)] = 100.0
    """Images of the first class over those of the last; 1 makes classes equal."""


class DataRecipe(Section):
    """`[data]`: where the images come from."""

    source: str
    """`digits`, `folder:PATH`, `tar:PATH`, `idx:PATH` (MNIST's files), `cifar10` or `cifar100` (downloaded once, or
    `cifar10:FOLDER`), `hf:NAME` (Hugging Face), `s3://BUCKET/PREFIX` (object storage), `lists:PATH` (of `fewer data
    split`); with boxes `coco:PATH`, `voc:PATH` or `yolo:PATH`, with masks `masks:PATH`; the path of a folder or a tar
    alone will do."""
    test: str = "auto"
    """`auto` (the source's own split, else 20 % held out), a source, a share such as `"20%"`, or `none`."""
    val: str = "auto"
    """`auto` (the source's own split, else 5 % of the training images held out), a share, a source, or `none`.
    Settings are chosen on it, never on test."""
    class_level: Level | Literal["auto", "innermost"] = "auto"
    """Which folder is the class, where folders lie in folders: 1 is the folder just below the split folder or the root,
    2 the one below it, and so on; a leading folder that everything lies in does not count. `auto`: 1 where another
    class holds its images itself or each has one folder inside only; else you are asked. `innermost`: the folder that
    holds the images."""
    ignore_index: Annotated[int, Field(ge=0, le=255, strict=True)] | None = None
    """Of masks: the id that is void, neither learnt nor counted, beside 255. Left out: what is void by its name."""
    difficult: Difficult = "train"
    """Of boxes: what becomes of objects that VOC's files, or COCO's with such a key, mark as difficult. `train`: they
    are trained on; in evaluation they are ignored, neither missed nor wrong to be found, as in VOC itself. `ignore`:
    they are not trained on either. `use`: they are objects like any other."""
    labels: LabelsRecipe | None = None
    """Labels of the training images from a CSV; left out: the source's own."""
    subset: Subset | None = None
    """Train on a fixed part, stratified by class: a number of images, or a share of the training images such as
    `"20%"`. Drawn after validation and test are taken, which do not depend on it. Left out: all."""
    long_tail: LongTailRecipe | None = None
    """Makes classes rare in training; left out: all images of all classes."""
    strata: Strata = "auto"
    """Of masks: what held-out shares and `subset` are drawn by. `auto`: the rarest class that an image shows, so that
    rare classes are in every split; each mask is read once for it, and what it shows is remembered under `cache`.
    `none`: chance alone. Labels and boxes are always drawn by their classes."""
    split_seed: Seed = 0
    """Seed of every held-out share, of `subset` and of `long_tail`, apart from the training seed."""
    damaged: Literal["error", "quarantine"] = "error"
    """What happens to images that cannot be decoded, or whose mask cannot be used: stop, or leave them out, counted and
    listed."""
    depth: Literal["auto", 8, 10, 12, 14, 16] = "auto"
    """Bits that the values of 16-bit images have, so that contrast is kept. `auto`: the fewest that hold the values of
    up to 256 images of the source. Decided once for all images of run and model; what lies above becomes white."""
    normalize: Normalize = "auto"
    """Mean and standard deviation that images are brought to 0 and 1 from: `auto` (those that `model.weights` were
    trained with, where known, else the data's own), those of the training images, ImageNet's, or numbers:
    `{ mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }`, one a channel, white is 1."""
    cache: Literal["auto", "no"] = "auto"
    """Whether content hashes are remembered between runs."""
    in_memory: Literal["auto", "yes", "no"] = "auto"
    """Whether decoded images are kept in memory; `auto`: where they take less than a third of what is free. Else they
    are read again for every batch, with the same pixels."""
    store: Annotated[str, Field(min_length=1)] = "auto"
    """Whether training images come from a store that `fewer data store` has built: `auto` (from one in the cache folder
    that is of these images and large enough), `none`, or the path of a store or of a folder of stores. Views then
    differ a little, which the digest holds. Validation and test are always measured on the files themselves."""
    processes: Index | Literal["auto"] = "auto"
    """Loader processes of the run, over all ranks, where images are not kept in memory; 0: the training process reads.
    `auto`: half the cores, or all of them where training runs on a GPU."""

    def opened(self, text: str) -> Source:
        """Lists one of the sources, told what its files alone do not say."""
        from fewer.data.sources import open_source

        return open_source(text, self.class_level, self.ignore_index, self.difficult)
