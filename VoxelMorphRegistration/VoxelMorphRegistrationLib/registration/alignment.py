"""The start before the network: none, centres on each other, rigid or affine, by SimpleITK's registration framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError, error_summary
from ..network_space.axis_map import AxisMap, regrid
from ..network_space.grid import network_grid
from ..network_space.inputs import on_network_grid
from ..network_space.intensity import AsIs, IntensityRule, Percentile
from ..network_space.overlap import check_overlap
from ..network_space.space import Space
from ..space.affine import linear_parts
from ..space.grid import Grid
from ..space.inverse import preimages
from .choices import ALIGNMENTS, Alignment

_LEVELS = (24, 48)  # voxels along the longest side; finer buys nothing before a deformable network
_WORLD = {2: "PL", 3: "SPL"}
_FEWEST = 8  # voxels along the shortest side, where the image has them
_BINS = 32
_MOST_ITERATIONS = 30
_APART = 0.5  # voxels of the coarsest level, below which two starts are one: frames of one person, as a rule
_LEAST_SCALE = 0.6  # of a volume: real pairs of two people end between .84 and 1.17
_Rigid: TypeAlias = sitk.Euler2DTransform | sitk.VersorRigid3DTransform
_Linear: TypeAlias = sitk.AffineTransform | _Rigid
_INTENSITY = Percentile(1, 99)


def align(
    fixed: sitk.Image,
    moving: sitk.Image,
    kind: Alignment = "rigid",
    initial: sitk.Transform | None = None,
    mask: sitk.Image | None = None,
) -> sitk.Transform | None:
    """The transform that takes fixed points to moving points, LPS mm; None for the kind 'none' without `initial`.

    'centers' lays the centre of the fixed image's foreground on that of the moving one's. Rigid and affine maximise
    Mattes' mutual information (Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE
    TMI 22, 2003), coarse to fine, from where the headers (and `initial`) put the images and from their centres of
    foreground, where these differ: what matches better in the end. Every voxel of each level counts and nothing is
    drawn at random; the order in which the images are stored changes nothing.

    Args:
        fixed, moving: scalar images of one dimension, 2D or 3D, on any grids, all voxels finite (see `checks.cleaned`).
        initial: fixed point to moving point, applied before the alignment: the result is x -> initial(aligned(x)).
        mask: image on the fixed image; the match is judged only where it is not zero.

    Raises:
        InputError: for an unknown kind, for images that share no space (unless their centres are to be laid on each
            other) and for images that cannot be matched.
    """
    if kind not in ALIGNMENTS:
        raise InputError(f"alignment {kind!r}: unknown; use one of {', '.join(ALIGNMENTS)}")
    if kind == "none":
        return initial
    found: sitk.Transform
    if kind == "centers":
        found = _centres(fixed, moving, initial)
    else:
        check_overlap(Grid.of(fixed), Grid.of(moving), initial)
        frame = _Frame.of(fixed)
        mask = None if mask is None else frame.seen(sitk.Cast(mask != 0, sitk.sitkUInt8))
        inner = None if initial is None else frame.transform(initial)
        fixed, moving = (_in_world_order(frame.seen(image)) for image in (fixed, moving))
        found = frame.world(_optimise(fixed, moving, kind, inner, mask))
    return found if initial is None else sitk.CompositeTransform([initial, found])


def scaling_note(alignment: sitk.Transform | None) -> str | None:
    """What is to be said of an alignment that makes volumes much larger or smaller; None where it does not.

    >>> scaling_note(sitk.ScaleTransform(3, (0.7, 0.8, 0.7)))
    'the alignment scales volumes by 0.39: see whether the images lie as they should, or take rigid'
    """
    parts = None if alignment is None else linear_parts(alignment)
    if parts is None:
        return None
    scale = float(np.linalg.det(parts[0]))
    if _LEAST_SCALE <= scale <= 1 / _LEAST_SCALE:
        return None
    return f"the alignment scales volumes by {scale:.2g}: see whether the images lie as they should, or take rigid"


@dataclass(frozen=True)
class _Frame:
    """The fixed image's own frame: its centre at zero, its axes (in world order) along the coordinates.

    Optimising there makes the result independent of how a pair lies in the world: turned together, both images give the
    very same numbers.
    """

    axes: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, fixed: sitk.Image) -> _Frame:
        dimension = fixed.GetDimension()
        grid = network_grid(fixed, Space(_WORLD[dimension]), spacing="native").grid
        left, _, right = np.linalg.svd(np.reshape(grid.direction, (dimension, dimension)))
        return cls(left @ right, grid.extent_corners().mean(axis=0))

    def seen(self, image: sitk.Image) -> sitk.Image:
        """The image in this frame's coordinates."""
        moved = sitk.Image(image)
        origin = (np.asarray(image.GetOrigin()) - self.centre) @ self.axes
        direction = self.axes.T @ np.reshape(image.GetDirection(), self.axes.shape)
        # What rounding leaves differs with how the pair lies, and descent multiplies it: to millimetres for affine.
        moved.SetOrigin(np.round(origin, 6).tolist())
        moved.SetDirection(np.round(direction, 9).ravel().tolist())
        moved.SetSpacing(np.round(image.GetSpacing(), 9).tolist())
        return moved

    def transform(self, transform: sitk.Transform) -> sitk.Transform:
        """A world transform in this frame's coordinates."""
        outward = sitk.AffineTransform(len(self.centre))
        outward.SetMatrix(self.axes.ravel().tolist())
        outward.SetTranslation(self.centre.tolist())
        whole = sitk.CompositeTransform([outward.GetInverse(), transform, outward])
        parts = linear_parts(whole)
        if parts is None:
            return whole
        matrix, offset = parts
        return sitk.AffineTransform(matrix.ravel().tolist(), offset.tolist())

    def world(self, transform: _Linear) -> _Linear:
        """A linear transform of this frame, centred on zero, in world coordinates; a rigid one stays rigid."""
        dimension = len(self.centre)
        matrix = self.axes @ np.reshape(transform.GetMatrix(), self.axes.shape) @ self.axes.T
        affine = isinstance(transform, sitk.AffineTransform)
        found: _Linear = sitk.AffineTransform(dimension) if affine else _rigid(dimension)
        found.SetCenter(self.centre.tolist())
        found.SetMatrix(matrix.ravel().tolist())
        found.SetTranslation((self.axes @ np.asarray(transform.GetTranslation())).tolist())
        return found


def _optimise(
    fixed: sitk.Image,
    moving: sitk.Image,
    kind: str,
    initial: sitk.Transform | None,
    mask: sitk.Image | None,
) -> _Linear:
    """In the frame of the fixed image, whose centre is the centre of rotation."""
    levels = _pyramid(fixed, moving)
    finest = levels[-1]
    dimension = fixed.GetDimension()
    method = _method(initial, mask)
    centred = _centres(*finest, initial)
    starts = [_rigid(dimension), _rigid(dimension, centred)]
    if np.linalg.norm(np.divide(centred.GetOffset(), levels[0][0].GetSpacing())) < _APART:
        starts = [min(starts, key=lambda start: _mismatch(method, *levels[0], start))]
    ends, failures = [], []
    # Two people end in two optima as a rule, of which the better one brings labels nearer too.
    for start in starts:
        try:
            ends.append(_descended(method, levels, kind, start))
        except InputError as error:
            failures.append(error)
    if not ends:
        raise failures[0]
    return min(ends, key=lambda end: _mismatch(method, *finest, end))


def _descended(
    method: sitk.ImageRegistrationMethod, levels: list[tuple[sitk.Image, sitk.Image]], kind: str, start: _Linear
) -> _Linear:
    """What a start leads to, level by level."""
    transform = start
    for number, (fixed, moving) in enumerate(levels):
        if kind == "affine" and number > 0:
            transform = _affine(transform)
        transform = _descend(method, fixed, moving, transform)
    return transform


def _method(initial: sitk.Transform | None, mask: sitk.Image | None) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    # The filter's gradient is that of a smoothed copy: descent along it stops early.
    method.MetricUseMovingImageGradientFilterOff()
    method.MetricUseFixedImageGradientFilterOff()
    # Several threads add up in a different order each time, and wait for one another longer than they work.
    method.SetNumberOfThreads(1)
    if initial is not None:
        method.SetMovingInitialTransform(initial)
    if mask is not None:
        method.SetMetricFixedMask(mask)
    return method


def _mismatch(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform
) -> float:
    """Minus the mutual information; infinite where too little of the images overlaps to tell."""
    method.SetInitialTransform(transform)
    try:
        return method.MetricEvaluate(fixed, moving)
    except RuntimeError:
        return float("inf")


def _descend(method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, start: _Linear) -> _Linear:
    transform = type(start)(start)
    # Conjugate gradients with a line search: the regular-step descent stops short by a millimetre, and elsewhere each
    # time. A longer line search jumps out of the image.
    method.SetOptimizerAsConjugateGradientLineSearch(
        learningRate=1.0,
        numberOfIterations=_MOST_ITERATIONS,
        convergenceMinimumValue=1e-6,
        convergenceWindowSize=5,
        lineSearchUpperLimit=2.0,
        lineSearchEpsilon=0.05,
        lineSearchMaximumIterations=10,
        estimateLearningRate=method.EachIteration,
        maximumStepSizeInPhysicalUnits=0.5 * float(max(fixed.GetSpacing())),
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        raise InputError(
            f"alignment: fixed and moving image could not be matched ({error_summary(error)}); "
            "give an initial transform, or use the alignment 'none' or 'centers'"
        ) from error
    return transform


def _in_world_order(image: sitk.Image) -> sitk.Image:
    """The same voxels, float32, stored in one order, so that the arithmetic after this is the same to the last bit."""
    grid = network_grid(image, Space(_WORLD[image.GetDimension()]), spacing="native").grid
    values = torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float32))[None]
    axis_map = AxisMap.between(grid, Grid.of(image))
    assert axis_map is not None, "the same voxels in another order"
    ordered = grid.image(regrid(values, axis_map, grid.shape)[0].numpy())
    ordered.SetOrigin(np.round(ordered.GetOrigin(), 6).tolist())
    ordered.SetDirection(np.round(ordered.GetDirection(), 9).tolist())
    ordered.SetSpacing(np.round(ordered.GetSpacing(), 9).tolist())
    return ordered


def _pyramid(fixed: sitk.Image, moving: sitk.Image) -> list[tuple[sitk.Image, sitk.Image]]:
    """Both images at each level, coarse to fine; every coarser one is made from the next finer."""
    levels: list[tuple[sitk.Image, sitk.Image]] = []
    rule: IntensityRule = _INTENSITY
    for count in reversed(_LEVELS):
        fixed, moving = _sampled(fixed, count, rule), _sampled(moving, count, rule)
        levels.insert(0, (fixed, moving))
        rule = AsIs()
    return levels


def _sampled(image: sitk.Image, count: int, rule: IntensityRule) -> sitk.Image:
    """The image with about `count` voxels along its longest side, its axes in world order whatever its storage."""
    axes = _WORLD[image.GetDimension()]
    oriented = network_grid(image, Space(axes), spacing="native").grid
    own = np.asarray(oriented.spacing)
    length = own * np.asarray(oriented.size)
    spacing = np.maximum(own, np.minimum(length.max() / count, length / _FEWEST))
    grid = network_grid(image, Space(axes), spacing=tuple(np.round(spacing[::-1], 6).tolist())).grid
    sampled = grid.image(on_network_grid(image, grid, None, rule)[0, 0].numpy())
    sampled.SetOrigin(np.round(sampled.GetOrigin(), 6).tolist())
    return sampled


def _rigid(dimension: int, start: sitk.TranslationTransform | None = None) -> _Rigid:
    transform: _Rigid = sitk.Euler2DTransform() if dimension == 2 else sitk.VersorRigid3DTransform()
    if start is not None:
        transform.SetTranslation(start.GetOffset())
    return transform


def _affine(start: _Linear) -> sitk.AffineTransform:
    if isinstance(start, sitk.AffineTransform):
        return start
    transform = sitk.AffineTransform(start.GetDimension())
    transform.SetMatrix(start.GetMatrix())
    transform.SetTranslation(start.GetTranslation())
    return transform


def _centres(fixed: sitk.Image, moving: sitk.Image, initial: sitk.Transform | None) -> sitk.TranslationTransform:
    """The translation that lays the centre of the fixed foreground on the moving one's, seen through `initial`."""
    target = _centre_of_foreground(moving)
    if initial is not None:
        target = preimages(initial, target[None], tolerance=0.0)[0][0]
    return sitk.TranslationTransform(fixed.GetDimension(), tuple((target - _centre_of_foreground(fixed)).tolist()))


def _centre_of_foreground(image: sitk.Image) -> np.ndarray:
    """LPS centroid of what lies above Otsu's threshold: plain moments of intensity fail for the -1000 HU of air."""
    foreground = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1, 256)) > 0
    middle = []
    for axis in range(foreground.ndim):
        along = foreground.sum(axis=tuple(a for a in range(foreground.ndim) if a != axis), dtype=np.float64)
        middle.append(float((along * np.arange(len(along))).sum() / max(along.sum(), 1.0)))
    return Grid.of(image).to_physical(np.asarray(middle[::-1]))
