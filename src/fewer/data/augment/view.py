"""The geometry of a batch's views: where in its picture every pixel of a view lies.

A view is drawn once, from a `Key`, and applied to pictures, masks and boxes alike. Three systems of coordinates, x to
the right and y down: those of the *picture* (upright, at its own size), of the *square* (the part that was cut out of
the picture, resized to the view's side) and of the *view*. A map from the view tells where a pixel comes from.

B: samples of the batch. H, W: rows and columns. K: boxes of one sample. M: rows of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from fewer.core.frame import Frame
from fewer.data.augment import geometry, polygons
from fewer.data.augment.chunks import chunked
from fewer.data.augment.shift import Padding, gathered


@dataclass(frozen=True, slots=True)
class Crops:
    """The parts of their pictures that the squares of a batch were cut from.

    Attributes:
        crop_M6: Of every row of a store: width and height of the picture, and left, top, right and bottom of the part,
            in pixels of the picture.
        row_B: The rows of the batch.
        whole: The pictures are whole, and what lies around them in their squares shows nothing.
    """

    crop_M6: Tensor
    row_B: Tensor
    whole: bool = False

    @property
    def crop_B6(self) -> Tensor:
        """The parts of the batch, float64, on the CPU."""
        return self.crop_M6[self.row_B.to(self.crop_M6.device)].to("cpu", torch.float64)


class ViewedBoxes(NamedTuple):
    """The boxes of one sample that its view shows, in pixels of the view, and their places in the list given."""

    box_K4: Tensor
    kept_K: Tensor


@dataclass(frozen=True)
class View:
    """How a batch of squares is shifted, mirrored and mapped; without any of it, views are the squares themselves.

    Attributes:
        batch: Number of samples.
        side_px: Side of the squares and of the views.
        shift_B: Rows and columns that each view lies off its square.
        flip_B: Which views are mirrored, after the shift.
        maps: Homographies, float64 (B, 3, 3), of what follows, in order, as in `fewer.data.augment.geometry`.
        crops: Where the squares were cut from; None: the squares are the pictures.
    """

    batch: int
    side_px: int
    shift_B: tuple[Tensor, Tensor] | None = None
    flip_B: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    crops: Crops | None = None

    @cached_property
    def crop_B6(self) -> Tensor:
        """Width, height, left, top, right, bottom as in `Crops`, float64."""
        if self.crops is None:
            side_px = float(self.side_px)
            return torch.tensor([side_px, side_px, 0, 0, side_px, side_px], dtype=torch.float64).repeat(self.batch, 1)
        return self.crops.crop_B6

    @cached_property
    def square_from_view_B33(self) -> Tensor:
        """Maps from views to squares, both in pixels from the middle."""
        return geometry.composed(geometry.shifted_and_flipped(self.batch, self.shift_B, self.flip_B), self._mapped_B33)

    @cached_property
    def picture_from_view_B33(self) -> Tensor:
        """Maps from pixels of the view to pixels of the picture; whole numbers are middles of pixels, from 0."""
        _, _, left_B, top_B, right_B, bottom_B = self.crop_B6.unbind(1)
        to_picture_B33, to_middle_B33 = geometry.identity(self.batch), geometry.identity(self.batch)
        for row, (low_B, high_B) in enumerate(((left_B, right_B), (top_B, bottom_B))):
            to_picture_B33[:, row, row] = (high_B - low_B) / self.side_px
            to_picture_B33[:, row, 2] = (low_B + high_B - 1) / 2
            to_middle_B33[:, row, 2] = (1 - self.side_px) / 2
        return geometry.composed(to_picture_B33, geometry.composed(self.square_from_view_B33, to_middle_B33))

    def of_squares(self, squares_MHWC: Tensor, row_B: Tensor, padding: Padding) -> Tensor:
        """Views of pictures: read by index where that suffices, else resampled once, bilinearly.

        Args:
            squares_MHWC: Squares of a store, uint8, contiguous.
            row_B: Which of them, int64, on their device.
            padding: What lies outside the square.

        Returns:
            uint8 (B, H, W, 3), contiguous.
        """
        views_BHWC = gathered(squares_MHWC, row_B, self.shift_B, self.flip_B, padding)
        if not self.maps:
            return views_BHWC
        moved = (~geometry.is_identity(self._mapped_B33)).nonzero()[:, 0]
        if len(moved):
            rows = moved.to(row_B.device)
            squares = squares_MHWC.index_select(0, row_B[rows])
            resample = partial(geometry.resampled, padding=padding)
            views_BHWC.index_copy_(0, rows, chunked(resample, squares, self.square_from_view_B33[moved]))
        return views_BHWC

    @cached_property
    def empty_BHW(self) -> Tensor:
        """Which pixels of the views show nothing of the pictures, where these are whole; none of them elsewhere."""
        if self.crops is None or not self.crops.whole:
            return torch.zeros(self.batch, self.side_px, self.side_px, dtype=torch.bool)
        x_BHW, y_BHW = self._places_BHW
        width_B11, height_B11 = (size_B[:, None, None] for size_B in self.crop_B6[:, :2].unbind(1))
        return (x_BHW < 0) | (x_BHW >= width_B11) | (y_BHW < 0) | (y_BHW >= height_B11)

    def of_masks(self, masks: Sequence[Tensor], ignore: int = 255) -> Tensor:
        """Views of masks: to each pixel the value of the nearest one of the mask, so that no new value arises.

        Args:
            masks: One a sample, of its picture's size (H, W), of any whole-number type, all of the same.
            ignore: The value of pixels that show nothing of the picture. Where the picture's padding mirrors, too.

        Returns:
            (B, H, W) of the masks' type.

        Raises:
            ValueError: A mask has another size than its picture.
        """
        kind = masks[0].dtype if len(masks) else torch.uint8
        views_BHW = torch.empty(self.batch, self.side_px, self.side_px, dtype=kind)
        for index, mask in enumerate(masks):
            y_HW, x_HW = self._nearest(index, mask)
            views_BHW[index] = mask.cpu()[y_HW, x_HW]
        return views_BHW.masked_fill_(self.empty_BHW | self._outside_BHW, ignore)

    def of_boxes(
        self, boxes: Sequence[Tensor], min_visible: float = 0.1, frame: Frame | None = None
    ) -> list[ViewedBoxes]:
        """Views of boxes: the smallest upright boxes around what the views show of them.

        Args:
            boxes: Boxes of each sample (K, 4): left, top, right and bottom in pixels of the picture, whose top left
                corner is (0, 0) and whose bottom right one is (width, height).
            min_visible: A box of whose area the view shows a smaller share is dropped, as is one without area.
            frame: The part in the middle of the views that is looked at; None: all of them.

        Returns:
            For each sample the boxes that are left, within (0, 0) and (width, height) of what is looked at, in its
            pixels, and their places in `boxes`.
        """
        looked_at = frame or Frame(self.side_px, self.side_px)
        return [self._boxes(index, box_K4, min_visible, looked_at) for index, box_K4 in enumerate(boxes)]

    def to_picture_B4(self, frame: Frame | None = None) -> Tensor:
        """The way back from views that are as their squares, such as those of an evaluation, float64 (B, 4).

        Factor and summand of x, then those of y: x_picture = factor * x_view + summand. Coordinates are those of boxes,
        of the frame in the middle of the views where one is given.
        """
        looked_at = frame or Frame(self.side_px, self.side_px)
        left, top = (self.side_px - looked_at.width_px) // 2, (self.side_px - looked_at.height_px) // 2
        _, _, left_B, top_B, right_B, bottom_B = self.crop_B6.unbind(1)
        across_B, down_B = (right_B - left_B) / self.side_px, (bottom_B - top_B) / self.side_px
        return torch.stack([across_B, left_B + left * across_B, down_B, top_B + top * down_B], 1)

    @cached_property
    def _mapped_B33(self) -> Tensor:
        """All maps, composed."""
        map_B33 = geometry.identity(self.batch)
        for each_B33 in self.maps:
            map_B33 = geometry.composed(map_B33, each_B33)
        return map_B33

    @cached_property
    def _in_square_BHW(self) -> tuple[Tensor, Tensor]:
        """Where the views' pixels lie in the squares: x and y from the middle; along the axes alone where that will do.

        Shapes (B, H, W), or (B, 1, W) and (B, H, 1) where nothing is mapped.
        """
        if self.maps:
            return geometry.places(self.square_from_view_B33, self.side_px)
        ramp = torch.arange(self.side_px, dtype=torch.float64) - (self.side_px - 1) / 2
        map_B33 = self.square_from_view_B33
        x_BW, y_BH = (map_B33[:, row, row, None] * ramp + map_B33[:, row, 2, None] for row in (0, 1))
        return x_BW[:, None, :], y_BH[:, :, None]

    @cached_property
    def _outside_BHW(self) -> Tensor:
        """Which pixels of the views lie outside the squares."""
        reach = self.side_px / 2
        x_BHW, y_BHW = self._in_square_BHW
        return (x_BHW < -reach) | (x_BHW >= reach) | (y_BHW < -reach) | (y_BHW >= reach)

    @cached_property
    def _places_BHW(self) -> tuple[Tensor, Tensor]:
        """Likewise x and y in the pictures, from their top left corners."""
        _, _, left_B, top_B, right_B, bottom_B = (value_B[:, None, None] for value_B in self.crop_B6.unbind(1))
        x_BHW, y_BHW = self._in_square_BHW
        x_BHW = x_BHW * ((right_B - left_B) / self.side_px) + (left_B + right_B) / 2
        return x_BHW, y_BHW * ((bottom_B - top_B) / self.side_px) + (top_B + bottom_B) / 2

    def _nearest(self, index: int, mask_HW: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the mask's pixel that is nearest to each of a view."""
        width, height = self.crop_B6[index, :2].tolist()
        if tuple(mask_HW.shape) != (height, width):
            raise ValueError(
                f"sample {index} of the batch: its mask is {mask_HW.shape[1]} x {mask_HW.shape[0]} pixels and its "
                f"picture {width:g} x {height:g}; give a mask of the upright picture's size"
            )
        x_BHW, y_BHW = self._places_BHW
        return (
            y_BHW[index].floor().clamp(0, height - 1).long(),
            x_BHW[index].floor().clamp(0, width - 1).long(),
        )

    def _boxes(self, index: int, box_K4: Tensor, min_visible: float, looked_at: Frame) -> ViewedBoxes:
        half = geometry.moved_by(0.5)  # from middles of pixels to their edges, where boxes begin and end
        to_picture_33 = half @ self.picture_from_view_B33[index] @ geometry.moved_by(-0.5)
        to_view_33 = geometry.inverted(to_picture_33).tolist()
        high, wide = looked_at
        left, top = (self.side_px - wide) // 2, (self.side_px - high) // 2
        to_view_33 = [
            [value - offset * depth for value, depth in zip(row, to_view_33[2], strict=True)]
            for row, offset in zip(to_view_33[:2], (left, top), strict=True)
        ] + [to_view_33[2]]
        part = (*self.crop_B6[index, 2:4].tolist(), *self.crop_B6[index, 4:].tolist())
        seen = [polygons.seen(tuple(box), part, to_view_33, wide, high) for box in box_K4.tolist()]
        kept = [place for place, (_, share) in enumerate(seen) if share >= min_visible and share > 0]
        found_K4 = torch.tensor([seen[place][0] for place in kept], dtype=torch.float64).view(-1, 4)
        kind = box_K4.dtype if box_K4.is_floating_point() else torch.float32
        return ViewedBoxes(found_K4.to(kind), torch.tensor(kept, dtype=torch.int64))
