"""Pairs whose displacement SimpleITK made, and refinement of them."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.flow import integration
from VoxelMorphRegistrationLib.refinement import refine as refinement
from VoxelMorphRegistrationLib.refinement.pair import ImagePair
from VoxelMorphRegistrationLib.refinement.settings import RefinementSettings

SHAPE = (36, 40, 38)


def texture(shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    values = gaussian_filter(rng.normal(size=shape), 3) + 0.3 * gaussian_filter(rng.normal(size=shape), 1.5)
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


def bump(shape=SHAPE, largest=4.0):
    """A smooth displacement (d, *shape) in voxels, channel c along array axis c, that fades to the border."""
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    fade = np.exp(-4 * sum(g**2 for g in grids))
    direction = np.array([1.0, -0.6, 0.4])[: len(shape)]
    return (direction.reshape(-1, *[1] * len(shape)) / np.linalg.norm(direction) * largest * fade).astype(np.float32)


def pulled(image, displacement):
    """SimpleITK's resampling of an array by a voxel displacement."""
    vectors = sitk.GetImageFromArray(np.moveaxis(displacement[::-1], 0, -1).astype(np.float64), isVector=True)
    transform = sitk.DisplacementFieldTransform(vectors)
    return sitk.GetArrayFromImage(sitk.Resample(sitk.GetImageFromArray(image), transform, sitk.sitkBSpline, 0.0))


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


def refine(fixed, moving, before=None, *, mask=None, within=None, finer=None, progress=None, **settings):
    pair = ImagePair(fixed, moving, mask, within=within)
    return refinement.refine(pair, RefinementSettings(**settings), before=before, finer=finer, progress=progress)


def whole_after(before, result):
    return integration.compose_flows(before, result.displacement, "border")


def mean_error(displacement, truth):
    """Mean distance to the truth where it is large, in voxels."""
    distance = np.linalg.norm(displacement[0].numpy() - truth, axis=0)
    return float(distance[np.linalg.norm(truth, axis=0) > 0.5].mean())


def known_pair():
    """Fixed, moving, and the displacement by which SimpleITK pulled the moving one."""
    moving, truth = texture(), bump()
    return tensor(pulled(moving, truth)), tensor(moving), truth
