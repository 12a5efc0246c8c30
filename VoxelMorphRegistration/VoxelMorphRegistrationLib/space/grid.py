"""The sampling grid of an image: size, spacing, origin and direction, in LPS millimetres (SimpleITK's conventions).

Here, and nowhere else, index and physical coordinates are turned into one another. An index is (i, j, k), or (i, j) in
2D: i along the image's first axis, which is the LAST axis of its numpy array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .affine import apply_affine


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Attributes:
        size: voxels along i, j(, k); the array of such an image has the reversed shape (k, j, i).
        spacing: mm along i, j(, k).
        origin: centre of voxel (0, 0, 0) in LPS mm.
        direction: d*d numbers, row by row; column a is the unit vector in LPS along which index axis a runs.

    A voxel index x (i, j, k) lies at `origin + direction @ diag(spacing) @ x` (ITK Software Guide, section 4.1.4).

    >>> grid = Grid(size=(4, 3), spacing=(2.0, 5.0), origin=(10.0, 20.0), direction=(1.0, 0.0, 0.0, 1.0))
    >>> grid.shape
    (3, 4)
    >>> grid.to_physical([[1, 0], [0, 1]]).tolist()
    [[12.0, 20.0], [10.0, 25.0]]
    >>> grid.to_index([[13.0, 20.0]]).tolist()
    [[1.5, 0.0]]
    >>> grid.image(np.zeros(grid.shape)).GetSize()
    (4, 3)
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid an image lies on."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_matrix(cls, size: tuple[int, ...], index_to_physical: np.ndarray) -> Grid:
        """From a homogeneous (d+1, d+1) matrix, index (i, j, k, 1) to LPS mm.

        Raises ValueError for a singular matrix: an axis without length, or axes that lie in one plane.
        """
        dimension = len(size)
        axes = np.asarray(index_to_physical, dtype=float)[:dimension, :dimension]
        spacing = np.linalg.norm(axes, axis=0)
        if not np.all(spacing > 0) or np.linalg.matrix_rank(axes / spacing) < dimension:
            raise ValueError(f"the axes of the grid do not span space: {axes.tolist()}")
        origin = np.asarray(index_to_physical, dtype=float)[:dimension, dimension]
        return cls(
            tuple(int(n) for n in size),
            tuple(spacing.tolist()),
            tuple(origin.tolist()),
            tuple((axes / spacing).ravel().tolist()),
        )

    @classmethod
    def from_ras_matrix(cls, size: tuple[int, ...], index_to_ras: np.ndarray) -> Grid:
        """From a (4, 4) matrix, index (i, j, k, 1) to RAS mm; of a `size` of two numbers the third axis is left out.

        Raises ValueError for a singular matrix.
        """
        lps = np.array(index_to_ras, dtype=float)
        lps[:2] *= -1
        keep = [*range(len(size)), 3]
        return cls.from_matrix(size, lps[np.ix_(keep, keep)])

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Array shape (k, j, i), the reverse of `size`."""
        return tuple(reversed(self.size))

    @property
    def axes(self) -> np.ndarray:
        """(d, d): column a is the step in LPS mm from one voxel to the next along index axis a."""
        return np.reshape(self.direction, (self.dimension, self.dimension)) * np.asarray(self.spacing)

    @property
    def directions(self) -> np.ndarray:
        """`axes`, each one unit long."""
        return self.axes / np.linalg.norm(self.axes, axis=0)

    def index_to_physical(self) -> np.ndarray:
        """(d+1, d+1) homogeneous matrix from index (i, j, k, 1) to LPS mm."""
        matrix = np.eye(self.dimension + 1)
        matrix[:-1, :-1] = self.axes
        matrix[:-1, -1] = self.origin
        return matrix

    def physical_to_index(self) -> np.ndarray:
        """(d+1, d+1) homogeneous matrix from LPS mm to continuous index (i, j, k, 1)."""
        return np.linalg.inv(self.index_to_physical())

    def ras_matrix(self) -> np.ndarray:
        """(4, 4) homogeneous matrix from index (i, j, k, 1) to RAS mm: Slicer's IJKToRAS, a NIfTI file's affine.

        A 2D grid is the slice k = 0 in the plane z = 0.
        """
        matrix = np.eye(4)
        matrix[: self.dimension, : self.dimension] = self.axes
        matrix[: self.dimension, 3] = self.origin
        matrix[:2] *= -1
        return matrix

    def index_to_index(self, other: Grid, through: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
        """(d+1, d+1) homogeneous matrix from index (i, j, k, 1) here to the index of the same place in `other`.

        `through`: (matrix, offset) by which LPS points go from here to there, where that is another place.
        """
        outward = self.index_to_physical()
        if through is not None:
            linear = np.eye(len(outward))
            linear[:-1, :-1], linear[:-1, -1] = through
            outward = linear @ outward
        return other.physical_to_index() @ outward

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous index (..., d), float64 in the order i, j(, k), of LPS points (..., d) in mm.

        Whole numbers are voxel centres; -0.5 is the outer border of the first voxel.
        """
        return apply_affine(self.physical_to_index(), points)

    def to_physical(self, index: np.ndarray) -> np.ndarray:
        """LPS points (..., d), float64 mm, of continuous indices (..., d) in the order i, j(, k)."""
        return np.asarray(index) @ self.axes.T + np.asarray(self.origin)

    def lattice(self, count: int) -> np.ndarray:
        """LPS points (n, d) spread evenly from the first to the last voxel, at most `count` along an axis."""
        lines = [np.linspace(0, n - 1, min(n, count)) for n in self.size]
        return self.to_physical(np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, self.dimension))

    def points(self) -> np.ndarray:
        """LPS mm of every voxel centre: float64 (k, j, i, d)."""
        steps = self.axes
        points = np.zeros((*self.shape, self.dimension)) + np.asarray(self.origin)
        for axis, count in enumerate(self.size):
            along = np.arange(count, dtype=float)[:, None] * steps[:, axis]
            shape = [1] * self.dimension + [self.dimension]
            shape[self.dimension - 1 - axis] = count
            points += along.reshape(shape)
        return points

    def stamp(self, image: sitk.Image) -> sitk.Image:
        """Give `image` (of this grid's size) this geometry, in place; raises ValueError when the sizes differ."""
        if tuple(image.GetSize()) != tuple(self.size):
            raise ValueError(f"an image of size {image.GetSize()} cannot lie on a grid of size {self.size}")
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def image(self, array: np.ndarray, vector: bool = False) -> sitk.Image:
        """A SimpleITK image on this grid from an array (k, j, i), or (k, j, i, components) when `vector`."""
        return self.stamp(sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=vector))

    def empty_image(self, pixel_id: int = sitk.sitkFloat32, components: int = 0) -> sitk.Image:
        """A zero-filled image on this grid; `components` is for vector pixel types."""
        return self.stamp(sitk.Image(list(self.size), pixel_id, components))

    def same_as(self, other: Grid, tolerance: float = 1e-4) -> bool:
        """Whether both grids have the same voxels: no voxel centre apart by more than `tolerance` of the smallest
        spacing.
        """
        if self.dimension != other.dimension or tuple(self.size) != tuple(other.size):
            return False
        difference = self.index_to_physical() - other.index_to_physical()
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.size], indexing="ij"), -1).reshape(-1, self.dimension)
        apart = corners @ difference[:-1, :-1].T + difference[:-1, -1]
        return bool(np.abs(apart).max() <= tolerance * min(self.spacing))

    def extent_corners(self) -> np.ndarray:
        """(2**d, d) LPS mm of the corners of the outermost voxels (half a voxel beyond their centres)."""
        index = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in self.size], indexing="ij"), -1)
        return self.to_physical(index.reshape(-1, self.dimension))

    def contains(self, points: np.ndarray, margin: float = 0.5) -> np.ndarray:
        """Which LPS points (n, d) lie within `margin` voxels of the voxel centres' box: bool (n,)."""
        index = self.to_index(points)
        return np.all((index >= -margin - 1e-6) & (index <= np.asarray(self.size) - 1 + margin + 1e-6), axis=-1)
