"""Between 2D and one slice of 3D: Slicer keeps a 2D image as a volume of one slice, networks of 2D want a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .displacement import from_array
from .grid import Grid


@dataclass(frozen=True)
class Plane:
    """A plane in LPS mm with two perpendicular axes in it.

    Attributes:
        axes: (3, 3), columns: first and second direction in the plane, and its normal.
        height: where the plane lies along its normal, mm.
    """

    axes: np.ndarray
    height: float

    @classmethod
    def of(cls, image: sitk.Image) -> Plane:
        """The plane of a single-slice 3D image. An axial slice keeps LPS x and y, as a 2D image file has them."""
        direction = np.reshape(image.GetDirection(), (3, 3))
        normal = direction[:, 2]
        axes = np.eye(3) if abs(normal[2]) > 1 - 1e-6 else direction
        return cls(axes, float(axes[:, 2] @ image.GetOrigin()))

    def through(self, image: sitk.Image) -> Plane:
        """The plane parallel to this one in which another single-slice image lies."""
        return Plane(self.axes, float(self.axes[:, 2] @ image.GetOrigin()))

    def flatten(self, image: sitk.Image, name: str) -> sitk.Image:
        """A single-slice 3D image as a 2D image in this plane's two coordinates, mm.

        Raises InputError when the slice is tilted against the plane.
        """
        direction = np.reshape(image.GetDirection(), (3, 3))
        if image.GetSize()[2] != 1 or abs(direction[:, 2] @ self.axes[:, 2]) < 1 - 1e-4:
            raise InputError(
                f"{name}: it is not one slice parallel to the fixed slice; choose two slices of one orientation"
            )
        in_plane = self.axes[:, :2].T
        matrix = np.eye(3)
        matrix[:2, :2] = in_plane @ (direction[:, :2] * np.asarray(image.GetSpacing()[:2]))
        matrix[:2, 2] = in_plane @ np.asarray(image.GetOrigin())
        array = sitk.GetArrayViewFromImage(image)[0]
        return Grid.from_matrix(image.GetSize()[:2], matrix).image(
            array, vector=image.GetNumberOfComponentsPerPixel() > 1
        )

    def lift(self, displacement: sitk.Image, fixed: Grid, to_height: float) -> sitk.Image:
        """The 3D displacement, on the single-slice grid `fixed`, of a 2D one in this plane.

        It leads from this plane to the parallel one at `to_height` mm, so that fixed point + u lies in the moving
        slice.
        """
        vectors = sitk.GetArrayViewFromImage(displacement)
        lifted = vectors @ self.axes[:, :2].T + (to_height - self.height) * self.axes[:, 2]
        return from_array(lifted[None], fixed)

    def raise_image(self, image: sitk.Image, grid: Grid) -> sitk.Image:
        """A 2D image of this plane as the single slice `grid`, voxel for voxel."""
        return grid.image(sitk.GetArrayViewFromImage(image)[None], vector=image.GetNumberOfComponentsPerPixel() > 1)


@dataclass(frozen=True)
class SlicePair:
    """Two parallel slices that are registered as 2D images, in the coordinates of the fixed slice's plane.

    Attributes:
        fixed, moving: their planes, of the same axes.
    """

    fixed: Plane
    moving: Plane

    @classmethod
    def of(cls, fixed: sitk.Image, moving: sitk.Image) -> SlicePair:
        """Of two single-slice 3D images."""
        plane = Plane.of(fixed)
        return cls(plane, plane.through(moving))

    def flatten(self, image: sitk.Image, name: str) -> sitk.Image:
        """A single-slice 3D image as a 2D one, mm; raises InputError, beginning with `name`, when it is tilted."""
        return self.fixed.flatten(image, name)

    def lift(self, displacement: sitk.Image, grid: Grid) -> sitk.Image:
        """A 2D displacement as the 3D one on the fixed slice's `grid` that leads into the moving slice, LPS mm."""
        return self.fixed.lift(displacement, grid, self.moving.height)

    def lift_inverse(self, displacement: sitk.Image, grid: Grid) -> sitk.Image:
        """A 2D displacement as the 3D one on the moving slice's `grid` that leads into the fixed slice, LPS mm."""
        return self.moving.lift(displacement, grid, self.fixed.height)

    def raise_image(self, image: sitk.Image, grid: Grid) -> sitk.Image:
        """A 2D image as the single slice `grid`, voxel for voxel."""
        return self.fixed.raise_image(image, grid)


def as_slice(displacement: sitk.Image) -> sitk.Image:
    """A 2D displacement as a 3D one of a single slice, in the plane z = 0, that moves nothing along z."""
    grid = Grid.of(displacement)
    direction = np.eye(3)
    direction[:2, :2] = np.reshape(grid.direction, (2, 2))
    level = Grid((*grid.size, 1), (*grid.spacing, 1.0), (*grid.origin, 0.0), tuple(direction.ravel().tolist()))
    return Plane(np.eye(3), 0.0).lift(displacement, level, 0.0)


def first_two_axes(displacement: sitk.Image) -> sitk.Image:
    """A 3D displacement of one slice in the plane of LPS x and y as a 2D one; its z is left behind."""
    grid = Grid.of(displacement)
    direction = np.reshape(grid.direction, (3, 3))[:2, :2]
    flat = Grid(grid.size[:2], grid.spacing[:2], grid.origin[:2], tuple(direction.ravel().tolist()))
    return from_array(sitk.GetArrayViewFromImage(displacement)[0, ..., :2], flat)
