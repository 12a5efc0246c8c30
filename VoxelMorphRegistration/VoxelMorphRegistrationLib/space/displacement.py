"""Displacement fields: what a canonical one is, made from and turned into other forms, composed, sampled, warped with.

The canonical displacement is a SimpleITK vector image (float32, d components, d = 2 or 3) in LPS millimetres that
pulls: the point x of the fixed space corresponds to the point x + u(x) of the moving space, so that resampling the
moving image with it gives the image warped onto the field's grid. It is what `sitk.DisplacementFieldTransform` and
ANTs' Warp files hold; a Slicer transform node holds it, as RAS, in its *from parent* direction.

A voxel flow, as networks make it, is an array (d, *array shape): channel c displaces along array axis c, in voxels of
its own grid. SimpleITK's arrays are (k, j, i), so channel 0 is k there.

Between its samples a field is linear; beyond the centres of its outermost voxels it repeats the nearest edge vector.
(`sitk.DisplacementFieldTransform` itself is the identity outside its grid, VTK's grid transform repeats the edge.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import SimpleITK as sitk

from .affine import apply_transform, fit_affine
from .grid import Grid

#: Voxels that stand for a whole field where an affine is fitted to it.
SPARSE = 20_000
_SLICES = 8  # at a time, to stay in the processor's cache
_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline}


def from_array(vectors: np.ndarray, grid: Grid) -> sitk.Image:
    """The canonical field of LPS mm vectors (*grid.shape, d) at the grid's voxels; beyond float32 they are infinite."""
    with np.errstate(over="ignore"):
        return grid.image(np.asarray(vectors, dtype=np.float32), vector=True)


def from_voxel_flow(flow: np.ndarray, grid: Grid) -> sitk.Image:
    """The canonical field on `grid` of a voxel flow (d, *grid.shape) whose fixed and moving image both lie on `grid`.

    u_mm = direction @ diag(spacing) @ u_ijk, with the flow's channels reversed from (k, j, i) to (i, j, k).
    Raises ValueError when the flow's shape is not (d, *grid.shape).

    One voxel along the array's last axis is one spacing along i:

    >>> grid = Grid((4, 3), (2.0, 5.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    >>> flow = np.zeros((2, 3, 4))
    >>> flow[1] = 1.0
    >>> from_voxel_flow(flow, grid).GetPixel(0, 0)
    (2.0, 0.0)
    """
    flow = np.asarray(flow)
    expected = (grid.dimension, *grid.shape)
    if flow.shape != expected:
        raise ValueError(f"a flow of shape {flow.shape} does not fit a grid that needs {expected}")
    along_ijk = np.moveaxis(flow[::-1], 0, -1)
    return from_array(along_ijk @ grid.axes.T.astype(np.float32), grid)


def to_voxel_flow(displacement: sitk.Image) -> np.ndarray:
    """The voxel flow (d, *shape), float32, of a displacement in voxels of its own grid; channel c along array axis
    c.
    """
    inverse = np.linalg.inv(Grid.of(displacement).axes)
    along_ijk = sitk.GetArrayViewFromImage(displacement) @ inverse.T.astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(along_ijk, -1, 0)[::-1], dtype=np.float32)


def to_transform(displacement: sitk.Image) -> sitk.DisplacementFieldTransform:
    """An ITK transform (fixed point to moving point) that owns a float64 copy of the field.

    The copy is needed twice: the constructor takes only float64 and empties the image it is given.
    """
    return sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))


def from_transform(transform: sitk.Transform, grid: Grid) -> sitk.Image:
    """The displacement `transform(x) - x` at the voxels of `grid`, for any ITK transform (fixed point to moving
    point).
    """
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    return sitk.Cast(field, sitk.sitkVectorFloat32)


def resample(displacement: sitk.Image, grid: Grid, outside: Literal["edge", "zero"] = "edge") -> sitk.Image:
    """The same displacement on another grid (finer, coarser, rotated), linearly interpolated.

    Vectors are physical, so nothing is rescaled. `outside` is what holds beyond the field: its edge vector, or zero.
    """
    return pull(displacement, grid, sitk.Transform(grid.dimension, sitk.sitkIdentity), edge=outside == "edge")


def thin(displacement: sitk.Image, spacing: float) -> tuple[sitk.Image, float]:
    """The displacement at points at most `spacing` mm apart along each axis, and how much that loses.

    The outermost points stay the outermost voxels' centres, so nothing is extrapolated; an axis whose voxels lie
    further apart keeps them. The loss is the greatest distance, in voxels of the given field, between it and the
    thinned one interpolated linearly at its voxels.
    """
    grid = Grid.of(displacement)
    extent = [(n - 1) * step for n, step in zip(grid.size, grid.spacing)]
    counts = [min(n, int(np.ceil(length / spacing - 1e-6)) + 1) for n, length in zip(grid.size, extent)]
    if counts == list(grid.size):
        return displacement, 0.0
    steps = [length / (n - 1) if n > 1 else step for n, length, step in zip(counts, extent, grid.spacing)]
    field = resample(displacement, Grid(tuple(counts), tuple(steps), grid.origin, grid.direction))
    apart = sitk.GetArrayFromImage(resample(field, grid))
    apart -= sitk.GetArrayViewFromImage(displacement)
    in_voxels = apart @ np.linalg.inv(grid.axes).T.astype(np.float32)
    return field, float(np.sqrt(np.square(in_voxels).sum(-1).max()))


def thinned_for(displacement: sitk.Image, spacing: float, loss: float) -> tuple[sitk.Image, float]:
    """The displacement thinned to `spacing` mm, or to what costs at most `loss` voxels; itself where nothing does."""
    finest = min(Grid.of(displacement).spacing)
    while spacing > finest:
        field, lost = thin(displacement, spacing)
        if lost <= loss:
            return field, lost
        spacing *= 0.75
    return displacement, 0.0


def compose(
    first: sitk.Image | sitk.Transform, second: sitk.Image | sitk.Transform, grid: Grid | None = None
) -> sitk.Image:
    """The displacement of `x -> second(first(x))`; each is a canonical field or an ITK transform.

    u(x) = u1(x) + u2(x + u1(x)). It lies on `grid`, or else on the grid of the first field among `first`, `second`.
    Raises ValueError when neither is a field and no grid is given.

    >>> grid = Grid((4, 3), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    >>> first = from_array(np.broadcast_to([0.5, 0.0], (3, 4, 2)), grid)
    >>> compose(first, sitk.TranslationTransform(2, (0.0, 2.0))).GetPixel(1, 1)
    (0.5, 2.0)
    """
    fields = [part for part in (first, second) if isinstance(part, sitk.Image)]
    if grid is None:
        if not fields:
            raise ValueError("two transforms were given without a field: say on which grid the displacement shall lie")
        grid = Grid.of(fields[0])
    step_one = _on_grid(first, grid)
    if isinstance(second, sitk.Image):
        through = to_transform(step_one) if isinstance(first, sitk.Image) else first
        return step_one + pull(second, grid, through, edge=True)
    if isinstance(first, sitk.Image):
        between = grid.points() + sitk.GetArrayViewFromImage(step_one)
        return from_array(apply_transform(second, between) - grid.points(), grid)
    both = sitk.CompositeTransform([second, first])  # ITK applies the last of the list first.
    return from_transform(both, grid)


def jacobian_determinant(displacement: sitk.Image) -> sitk.Image:
    """det(I + du/dx) at every voxel, float32, by central differences; below zero the map folds.

    Taken on the voxel flow, whose determinant is the physical one whatever the direction and spacing: ITK's filter
    alone would mix the components of an oblique grid.
    """
    flow = np.moveaxis(to_voxel_flow(displacement)[::-1], 0, -1)
    unit = sitk.GetImageFromArray(np.ascontiguousarray(flow), isVector=True)
    return Grid.of(displacement).stamp(sitk.Cast(sitk.DisplacementFieldJacobianDeterminant(unit), sitk.sitkFloat32))


def folded_percent(displacement: sitk.Image, mask: sitk.Image | None = None) -> float:
    """Percent of the voxels (of `mask` > 0 on the same grid, where given) at which the Jacobian determinant is <= 0.

    A field whose gradient G has a norm below 1 everywhere folds nowhere, as I + G and I + a share of G are invertible:
    then no determinant is computed, in less than half the time.
    """
    if _greatest_gradient(displacement) < 1:
        return 0.0
    folded = sitk.GetArrayFromImage(jacobian_determinant(displacement)) <= 0
    if mask is not None:
        folded = folded[sitk.GetArrayViewFromImage(mask) > 0]
    return 100.0 * float(folded.mean()) if folded.size else 0.0


def _greatest_gradient(displacement: sitk.Image) -> float:
    """No Frobenius norm of the gradient is greater: of each axis the greatest change between neighbours counts."""
    vectors, grid = sitk.GetArrayViewFromImage(displacement), Grid.of(displacement)
    ones = np.ones(grid.dimension, vectors.dtype)
    total = 0.0
    for axis, step in enumerate(reversed(grid.spacing)):
        greatest = 0.0
        for start in range(0, len(vectors), _SLICES):
            change = np.diff(vectors[start : start + _SLICES + (axis == 0)], axis=axis)
            if change.size:
                # The sum over components as a product of matrices: four times as fast as any other.
                change *= change
                greatest = max(greatest, float((change.reshape(-1, grid.dimension) @ ones).max()))
        total += greatest / step**2
    return float(np.sqrt(total))


def warp(
    moving: sitk.Image,
    displacement: sitk.Image,
    interpolation: Literal["linear", "nearest", "bspline"] = "linear",
    outside: float = 0.0,
) -> sitk.Image:
    """`moving` pulled onto the displacement's grid, in its own pixel type; `outside` fills what it does not cover."""
    return sitk.Resample(
        moving,
        Grid.of(displacement).empty_image(sitk.sitkUInt8),
        to_transform(displacement),
        _INTERPOLATORS[interpolation],
        outside,
        moving.GetPixelID(),
    )


def box_reaching(displacement: sitk.Image, grid: Grid, box: tuple[slice, ...]) -> tuple[slice, ...] | None:
    """The part of a displacement's array from which its vectors can lead into a box of another grid's array.

    None where none can. No vector is longer than the longest, so nothing further from the box does.

    Args:
        box: slices in array order, (k, j, i); they may exceed the grid.
    """
    sides = [(side.start, side.stop - 1) for side in reversed(box)]
    corners = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, grid.dimension)
    own = Grid.of(displacement)
    index = own.to_index(grid.to_physical(corners))
    vectors = sitk.GetArrayViewFromImage(displacement)
    greatest = max(float(vectors.max()), -float(vectors.min()))
    if not np.isfinite(greatest):
        return tuple(slice(0, n) for n in own.shape)
    steps = greatest * np.sqrt(own.dimension) / np.asarray(own.spacing)
    first = np.clip(np.floor(index.min(0) - steps), 0, own.size).astype(int)[::-1]
    last = np.clip(np.ceil(index.max(0) + steps) + 1, 0, own.size).astype(int)[::-1]
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last)) if np.all(first < last) else None


def sample(displacement: sitk.Image, points: np.ndarray) -> np.ndarray:
    """The vectors (n, d) in LPS mm at the LPS points (n, d), linear inside and the edge vector outside."""
    from scipy.ndimage import map_coordinates

    index = Grid.of(displacement).to_index(points)
    vectors = sitk.GetArrayViewFromImage(displacement)
    components = [
        map_coordinates(vectors[..., c], index.T[::-1], order=1, mode="nearest") for c in range(vectors.shape[-1])
    ]
    return np.stack(components, axis=-1)


def transform_points(mapping: sitk.Image | sitk.Transform, points: np.ndarray) -> np.ndarray:
    """LPS points (n, d) carried by a displacement or an ITK transform: x -> x + u(x).

    A pulling field carries points of the fixed image to the moving image. Points drawn on the moving image follow its
    tissue to the fixed image with the inverse field.
    """
    points = np.asarray(points, dtype=float)
    if isinstance(mapping, sitk.Image):
        return points + sample(mapping, points)
    return apply_transform(mapping, points)


def correspondences(displacement: sitk.Image, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """LPS points (n, d) of voxels and where the displacement moves each, float64 mm.

    `count` asks for a regular choice of about so many voxels, at least two along each axis; None for all of them.
    """
    grid = Grid.of(displacement)
    step = 1
    if count is not None:
        step = int(np.ceil((np.prod(grid.size) / count) ** (1 / grid.dimension)))
        step = max(1, min(step, min(grid.size) - 1))
    chosen = (slice(None, None, step),) * grid.dimension
    points = grid.points()[chosen].reshape(-1, grid.dimension)
    return points, points + sitk.GetArrayViewFromImage(displacement)[chosen].reshape(-1, grid.dimension)


def best_affine(displacement: sitk.Image) -> np.ndarray:
    """The least-squares affine of x -> x + u(x) over some thousand voxels: a homogeneous matrix, LPS mm.

    It is singular where the grid does not determine an affine (one voxel along an axis), or the field squeezes it flat.
    """
    return fit_affine(*correspondences(displacement, SPARSE))


def _on_grid(part: sitk.Image | sitk.Transform, grid: Grid) -> sitk.Image:
    if isinstance(part, sitk.Image):
        return part if Grid.of(part).same_as(grid, 1e-6) else resample(part, grid)
    return from_transform(part, grid)


def pull(displacement: sitk.Image, grid: Grid, transform: sitk.Transform, edge: bool) -> sitk.Image:
    """u(transform(x)) at the voxels x of `grid`: float32 vectors, linear."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing(grid.spacing)
    resampler.SetOutputOrigin(grid.origin)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(edge)
    return resampler.Execute(sitk.Cast(displacement, sitk.sitkVectorFloat32))
