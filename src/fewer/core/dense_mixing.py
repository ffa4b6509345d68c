"""Mosaics and copy-paste: images of a batch put together with their boxes or masks.

Mosaics as in Bochkovskiy et al. 2020, "YOLOv4", arXiv 2004.10934: four images as the quarters of one, here each at half
its size. Copy-paste after Ghiasi et al. 2021, arXiv 2012.07177: objects of one image laid over another, in place.
Neighbours in the global batch, whose order is random, go together: they are on one worker. Imports no torch.

B: samples of a batch on one worker. K: boxes of a sample.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fewer.core import ragged, rng
from fewer.core.mixing import PAIR, partners
from fewer.core.observation import Observed
from fewer.core.ragged import Ragged
from fewer.core.types import Batch, Mixed

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.mixing import Mixture
    from fewer.core.ragged import Sample

_QUARTERS = 4
_SMALLEST_PX = 1.0  # of a box in a mosaic
_LEFT_OVER = 0.5  # share of a box that must be seen below what is pasted
_VOID = 255


@dataclass(frozen=True, slots=True)
class DenseMixRule:
    """How batches of images with boxes or masks are put together.

    Attributes:
        mosaic: Probability that the images of a batch become mosaics.
        copy_paste: Probability that objects are pasted, where they do not.
    """

    mosaic: float
    copy_paste: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """Mosaics, copy-paste, or both."""
        kinds = {"mosaics": self.mosaic, "copy-paste": self.copy_paste}
        return tuple(kind for kind, share in kinds.items() if share)

    @property
    def share(self) -> float:
        """Share of the batches that do not stay as they are."""
        return self.mosaic + (1 - self.mosaic) * self.copy_paste

    @property
    def unit(self) -> int:
        """So many neighbours stay on one worker."""
        return _QUARTERS if self.mosaic else PAIR

    def drawn(self, side_px: int, *key: int) -> Mixture | None:
        """What becomes of one batch, a pure function of the key (seed, epoch, batch, step); None: it stays as it is."""
        draw = random.Random(rng.key(key[0], "mix", "dense", *key[1:])).random()
        if draw < self.mosaic:
            return Mosaic()
        return CopyPaste(key) if draw < self.share else None


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Every image of a batch becomes the first quarter of a mosaic, with three neighbours; each is in four of them."""

    @property
    def note(self) -> str:
        """What it is."""
        return "mosaic"

    def mates(self, positions: Tensor, size: int) -> Tensor:
        """Where among a worker's samples the four images of each mosaic are, (B, 4), its own first.

        The samples of a last group of fewer than four stay alone.
        """
        import torch

        place_G = torch.full((size,), -1)
        place_G[positions] = torch.arange(len(positions))
        base_B = positions // _QUARTERS * _QUARTERS
        mate_B4 = base_B[:, None] + (positions - base_B)[:, None].add(torch.arange(_QUARTERS)) % _QUARTERS
        mate_B4 = torch.where((base_B + _QUARTERS <= size)[:, None], mate_B4, positions[:, None])
        return place_G[mate_B4]

    def batch(self, batch: Batch, partner_B: Tensor) -> Batch:
        """The mosaics. Masks are read at every other pixel; boxes of less than a pixel are left out."""
        from torch.nn.functional import interpolate

        images = ragged.dense(batch.inputs)
        height, width = images.shape[2] // 2, images.shape[3] // 2
        corners = [(0, 0), (0, width), (height, 0), (height, width)]
        whole_B = partner_B[:, 1] != partner_B[:, 0]
        small = interpolate(images, (height, width), mode="bilinear", antialias=True)
        found, rows = images.clone(), whole_B.nonzero()[:, 0]
        for quarter, (top, left) in enumerate(corners):
            parts = small[partner_B[rows, quarter].to(images.device)]
            found[rows.to(images.device), :, top : top + height, left : left + width] = parts
        targets = batch.targets
        if isinstance(targets, Ragged):
            mixed = [
                _quartered([targets.samples[place] for place in mates], corners) if is_whole else targets.samples[row]
                for row, (mates, is_whole) in enumerate(zip(partner_B.tolist(), whole_B.tolist(), strict=True))
            ]
            return replace(batch, inputs=found, targets=Ragged(tuple(mixed)))
        masks, rows = targets.clone(), rows.to(targets.device)
        for quarter, (top, left) in enumerate(corners):
            parts = targets[partner_B[rows.cpu(), quarter].to(targets.device), ::2, ::2]
            masks[rows, top : top + height, left : left + width] = parts[:, :height, :width]
        return replace(batch, inputs=found, targets=masks)

    def shared(self, value_B: Tensor, partner_B: Tensor) -> Tensor:
        """Numbers of the samples, such as loss weights: a mosaic has the mean of its images'."""
        return value_B[partner_B.to(value_B.device)].mean(1)

    def credited(self, seen_B: Observed, partner_B: Tensor, mixed: Mixed | None = None) -> Observed:
        """What mosaics have shown, credited to all images in them: the mean of the four; flags from its own mosaic."""
        return Observed(
            seen_B.ids_B,
            {
                name: self.shared(values_B, partner_B) if values_B.is_floating_point() else values_B
                for name, values_B in seen_B.columns.items()
            },
        )


@dataclass(frozen=True, slots=True)
class CopyPaste:
    """Half of the objects of each image's neighbour, drawn, are laid over the image.

    Of boxes the pixels in them are taken, as nobody says which belong to the object; of masks those of half of the
    classes that the neighbour shows. Objects of the neighbour that come along by half or more are annotated, too; what
    is covered by more than half is no longer.

    Attributes:
        key: Seed, epoch, batch and step, which the draw comes from.
    """

    key: tuple[int, ...]

    @property
    def note(self) -> str:
        """What it is."""
        return "copy-paste"

    def mates(self, positions: Tensor, size: int) -> Tensor:
        """Where among a worker's samples the neighbour of each is; one without a neighbour is its own."""
        return partners(positions, size)

    def batch(self, batch: Batch, partner_B: Tensor) -> Batch:
        """The images with what is pasted; `mixed.share_B` is the share of each that is still its own."""
        import torch

        images, targets = ragged.dense(batch.inputs), batch.targets
        pasted_BHW = torch.zeros(len(batch), *images.shape[2:], dtype=torch.bool)
        changed: list[Sample] = []
        for row, mate in enumerate(partner_B.tolist()):
            own, other = (ragged.take(targets, torch.tensor([at])) for at in (row, mate))
            drawn = random.Random(rng.key(self.key[0], "mix", "paste", *self.key[1:], int(batch.ids_B[row])))
            if mate == row:
                pasted_HW, new = pasted_BHW[row], _first(own)
            elif isinstance(targets, Ragged):
                pasted_HW, new = _pasted_boxes(_first(own), _first(other), pasted_BHW[row], drawn)
            else:
                pasted_HW, new = _pasted_mask(_first(own), _first(other), drawn)
            pasted_BHW[row] = pasted_HW
            changed.append(new)
        others = images[partner_B.to(images.device)]
        found = torch.where(pasted_BHW[:, None].to(images.device), others, images)
        share_B = 1 - pasted_BHW.flatten(1).double().mean(1)
        new_targets = Ragged(tuple(changed)) if isinstance(targets, Ragged) else torch.stack(changed)  # type: ignore[arg-type]
        return replace(batch, inputs=found, targets=new_targets, mixed=Mixed(ragged.take(targets, partner_B), share_B))

    def shared(self, value_B: Tensor, partner_B: Tensor) -> Tensor:
        """Numbers of the samples, such as loss weights: those of the image that is pasted on."""
        return value_B

    def credited(self, seen_B: Observed, partner_B: Tensor, mixed: Mixed | None = None) -> Observed:
        """What the images have shown, credited to both that are in each, by their shares of its pixels."""
        import torch

        assert mixed is not None
        own_B = mixed.share_B
        other_B = (1 - own_B)[partner_B]
        total_B = own_B + other_B

        def by_area(values_B: Tensor) -> Tensor:
            wide = (slice(None), *[None] * (values_B.dim() - 1))
            own, other, total = (each.to(values_B.device)[wide] for each in (own_B, other_B, total_B))
            mean = (own * values_B + other * values_B[partner_B.to(values_B.device)]) / total.clamp(min=1e-12)
            return torch.where(total > 0, mean, values_B)  # one that shows nowhere keeps what it had

        return Observed(
            seen_B.ids_B,
            {
                name: by_area(values_B) if values_B.is_floating_point() else values_B
                for name, values_B in seen_B.columns.items()
            },
        )


def _quartered(samples: list[Sample], corners: list[tuple[int, int]]) -> Sample:
    """The boxes of four images in the quarters of one."""
    import torch

    boxes, labels = [], []
    for sample, (top, left) in zip(samples, corners, strict=True):
        assert isinstance(sample, dict)
        box_K4 = sample["boxes"] / 2 + sample["boxes"].new_tensor([left, top, left, top])
        kept_K = ((box_K4[:, 2:] - box_K4[:, :2]) >= _SMALLEST_PX).all(1)
        boxes.append(box_K4[kept_K])
        labels.append(sample["labels"][kept_K])
    return {"boxes": torch.cat(boxes), "labels": torch.cat(labels)}


def _pasted_boxes(own: Sample, other: Sample, none_HW: Tensor, drawn: random.Random) -> tuple[Tensor, Sample]:
    """Where another image's objects come to lie, and the boxes that are seen then."""
    import torch

    assert isinstance(own, dict)
    assert isinstance(other, dict)
    count = len(other["labels"])
    chosen = torch.tensor(sorted(drawn.sample(range(count), (count + 1) // 2)), dtype=torch.int64)
    device, pasted_HW = own["boxes"].device, none_HW.clone()
    for left, top, right, bottom in other["boxes"][chosen.to(device)].round().long().tolist():
        pasted_HW[top:bottom, left:right] = True
    covered_K, along_K = (_covered(each["boxes"], pasted_HW).to(device) for each in (own, other))
    kept_K, new_K = covered_K < _LEFT_OVER, along_K >= _LEFT_OVER
    new_K[chosen.to(device)] = True  # also one without pixels
    return pasted_HW, {key: torch.cat([own[key][kept_K], other[key][new_K]]) for key in ("boxes", "labels")}


def _covered(box_K4: Tensor, pasted_HW: Tensor) -> Tensor:
    """The share of each box's pixels that are pasted; 0 of a box without any."""
    import torch

    shares = []
    for left, top, right, bottom in box_K4.round().long().tolist():
        part = pasted_HW[top:bottom, left:right]
        shares.append(float(part.double().mean()) if part.numel() else 0.0)
    return torch.tensor(shares)


def _pasted_mask(own: Sample, other: Sample, drawn: random.Random) -> tuple[Tensor, Sample]:
    """Where half of another image's classes come to lie, and the mask then."""
    import torch

    assert not isinstance(own, dict)
    assert not isinstance(other, dict)
    classes = [each for each in other.unique().tolist() if each != _VOID]
    chosen = drawn.sample(classes, (len(classes) + 1) // 2)
    pasted_HW = torch.isin(other, other.new_tensor(chosen))
    return pasted_HW.cpu(), torch.where(pasted_HW, other, own)


def _first(values: ragged.Values) -> Sample:
    return values.samples[0] if isinstance(values, Ragged) else values[0]
