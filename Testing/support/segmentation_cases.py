"""Segmentations of known shape, and a smooth displacement."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.annotations.segment import Segment
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.space.displacement import from_array
from VoxelMorphRegistrationLib.space.grid import Grid

TERMINOLOGY = (
    "TerminologyEntry:Segmentation category and type~SCT^85756007^Tissue~SCT^10200004^Liver~^^~Anatomic codes~^^~^^|"
)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def grid_of(size=(20, 18, 16), spacing=(1.0, 1.5, 2.0), origin=(-5.0, 7.0, 9.0), direction=OBLIQUE) -> Grid:
    return Grid(size, spacing, origin, direction)


def balls(grid: Grid) -> sitk.Image:
    """Two balls that touch, values 2 and 7."""
    centre = np.asarray(grid.points()).reshape(-1, grid.dimension).mean(0)
    points = grid.points() - centre
    labels = np.zeros(grid.shape, np.uint8)
    along = np.asarray(grid.axes)[:, 0] / grid.spacing[0]
    labels[np.linalg.norm(points + 3 * along, axis=-1) < 5] = 2
    labels[np.linalg.norm(points - 4 * along, axis=-1) < 4] = 7
    return grid.image(labels)


def smooth_field(grid: Grid, amplitude: float = 4.0, seed: int = 0) -> sitk.Image:
    noise = np.random.default_rng(seed).standard_normal((grid.dimension, *grid.shape))
    field = np.stack([gaussian_filter(part, 4) for part in noise], -1)
    return from_array(field * amplitude / np.abs(field).max(), grid)


def layered(grid: Grid) -> Segmentation:
    """Liver and kidney in one layer, a tumour inside the liver in another, with the label value of the kidney."""
    first = sitk.GetArrayFromImage(balls(grid))
    second = np.zeros_like(first)
    second[6:9, 7:10, 6:9] = 7
    segments = [
        Segment("liver_id", "liver ä|x", 2, 0, (0.5, 0.25, 0.125), TERMINOLOGY),
        Segment("tumour_id", "tumour", 7, 1, (1.0, 0.0, 0.0), "", False, True),
        Segment("kidney_id", "kidney", 7, 0, (0.0, 1.0, 0.0), "", True, False),
    ]
    return Segmentation.of(grid.image(first), grid.image(second), segments=segments)


def array(segmentation: Segmentation, layer: int = 0) -> np.ndarray:
    return sitk.GetArrayFromImage(segmentation.layers[layer])
