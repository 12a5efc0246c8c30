"""Whether the fields of a mapping lie where the reference image needs them."""

from __future__ import annotations

import SimpleITK as sitk

from ..errors import InputError
from ..space.displacement import from_transform, resample, transform_points
from ..space.grid import Grid
from .context import Mapping

_PROBES = 5  # points along each axis that stand for the reference image


def densify(mapping: Mapping, reference: Grid, name: str) -> sitk.Image:
    """The canonical displacement of a mapping on the reference grid.

    Raises InputError when dimensions differ or a field in the mapping does not cover the reference: beyond its grid a
    field says nothing, and each tool fills that in its own way.
    """
    if mapping.GetDimension() != reference.dimension:
        raise InputError(
            f"{name}: it is {mapping.GetDimension()}D and the reference image is {reference.dimension}D; give images "
            "of the dimension they were registered in"
        )
    check_coverage(mapping, reference, name)
    if isinstance(mapping, sitk.Transform):
        return from_transform(mapping, reference)
    if Grid.of(mapping).same_as(reference, 1e-3):
        return reference.stamp(sitk.Image(mapping))
    return resample(mapping, reference)


def check_coverage(mapping: Mapping, reference: Grid, name: str) -> None:
    """Raises InputError when a field does not reach where the reference's points come to it.

    The field that reference points meet first must hold all of them. One further along need not: the moving image may
    show far less than the fixed one. But when hardly any point comes there, the list is in the wrong order.
    """
    points = reference.lattice(_PROBES)
    for step, part in enumerate(parts(mapping)):
        grid = _grid_of_field(part)
        if grid is not None:
            inside = grid.contains(points, margin=0.501)
            if step == 0 and not inside.all():
                raise InputError(
                    f"{name}: the field ({_extent(grid)}) does not cover the reference image ({_extent(reference)}); "
                    "give the fixed image it was made for, or crop the reference"
                )
            if step > 0 and inside.mean() < 0.1:
                raise InputError(
                    f"{name}: after the transforms before it, only {100 * inside.mean():.0f} % of the reference reaches"
                    f" field number {step + 1} ({_extent(grid)}); check the order of the list and the reference image"
                )
        points = transform_points(part, points)


def parts(mapping: Mapping) -> list[Mapping]:
    """The steps of a mapping in the order in which a fixed point meets them."""
    # SimpleITK takes linear classes that it has no name for as composites of themselves.
    if isinstance(mapping, sitk.Image) or mapping.IsLinear() or mapping.GetTransformEnum() != sitk.sitkComposite:
        return [mapping]
    composite = sitk.CompositeTransform(mapping)
    # ITK applies the last transform of a composite first.
    steps = [composite.GetNthTransform(n).Downcast() for n in reversed(range(composite.GetNumberOfTransforms()))]
    return [step for whole in steps for step in parts(whole)]


def _grid_of_field(part: Mapping) -> Grid | None:
    if isinstance(part, sitk.Image):
        return Grid.of(part)
    if part.GetTransformEnum() == sitk.sitkDisplacementField:
        return Grid.of(sitk.DisplacementFieldTransform(part).GetDisplacementField())
    return None


def _extent(grid: Grid) -> str:
    corners = grid.extent_corners()
    low, high = corners.min(axis=0), corners.max(axis=0)
    return " x ".join(f"{a:.0f}..{b:.0f}" for a, b in zip(low, high)) + " mm LPS"
