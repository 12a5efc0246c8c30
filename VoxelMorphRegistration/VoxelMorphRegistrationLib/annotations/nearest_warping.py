"""Label maps pulled through a displacement by the nearest voxel, computed only where a label can come to lie."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..space import displacement as displacements
from ..space.grid import Grid
from .label_boxes import Box, bounding_box

_BEYOND = 1  # voxel around a label's box from which a point can still fall into its voxels


def warp_nearest(labels: sitk.Image, displacement: sitk.Image) -> sitk.Image:
    """`displacement.warp` of a label image by the nearest voxel, 0 outside: on the displacement's grid, in its own
    pixel type.

    No vector is longer than the longest, so nothing is labelled further from the labels' box than that.
    """
    grid = Grid.of(displacement)
    box = _reached(labels, displacement)
    if box is None:
        return grid.empty_image(labels.GetPixelID())
    if all(side.stop - side.start == n for side, n in zip(box, grid.shape)):
        return displacements.warp(labels, displacement, "nearest")
    start = [side.start for side in reversed(box)]
    size = [side.stop - side.start for side in reversed(box)]
    part = displacements.warp(labels, sitk.RegionOfInterest(displacement, size, start), "nearest")
    array = np.zeros(grid.shape, sitk.GetArrayViewFromImage(part).dtype)
    array[box] = sitk.GetArrayViewFromImage(part)
    return grid.image(array)


def _reached(labels: sitk.Image, displacement: sitk.Image) -> Box | None:
    """The box of the displacement's array from which its vectors can lead to a label; None where none can."""
    labelled = bounding_box(sitk.GetArrayViewFromImage(labels) != 0)
    if labelled is None:
        return None
    around = tuple(slice(side.start - _BEYOND, side.stop + _BEYOND) for side in labelled)
    return displacements.box_reaching(displacement, Grid.of(labels), around)
