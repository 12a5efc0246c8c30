"""Images that differ everywhere, on grids of every kind, and what is compared about them."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.space.grid import Grid


def rotation(degrees: float, axis=(0.3, 0.5, 0.8)) -> np.ndarray:
    transform = sitk.VersorTransform(tuple(np.asarray(axis, float) / np.linalg.norm(axis)), np.deg2rad(degrees))
    return np.reshape(transform.GetMatrix(), (3, 3))


def rotation_2d(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def grid(size, spacing, direction, middle=None) -> Grid:
    """A grid whose middle is at (10, -20, 30) mm, or at `middle`."""
    middle = np.array([10.0, -20.0, 30.0][: len(size)] if middle is None else middle, float)
    axes = np.asarray(direction) * np.asarray(spacing, float)
    origin = middle - axes @ ((np.asarray(size) - 1) / 2)
    return Grid(tuple(size), tuple(map(float, spacing)), tuple(origin.tolist()), tuple(np.ravel(direction).tolist()))


#: name: fixed grid, moving grid.
GEOMETRIES = {
    "oblique anisotropic": (
        grid((34, 30, 22), (2.0, 2.3, 3.2), rotation(25)),
        grid((30, 37, 26), (2.2, 1.9, 2.9), rotation(-15)),
    ),
    "left-handed": (
        grid((32, 30, 26), (2.2, 2.3, 2.6), rotation(12) @ np.diag([1, 1, -1.0])),
        grid((30, 33, 29), (2.3, 2.2, 2.4), np.eye(3)),
    ),
    "2D": (grid((48, 40), (1.5, 1.9), rotation_2d(20)), grid((44, 50), (1.8, 1.5), rotation_2d(-10))),
}


def texture(on: Grid, seed: int = 0, shift: float = 0.0, bend: float = 0.0, scale: float = 1.0) -> sitk.Image:
    """A blob with smooth texture defined in physical space, 0 to about 100; `shift` and `bend` (mm) move its
    content.
    """
    random = np.random.default_rng(seed)
    x = on.points() + shift
    middle = np.array([10.0, -20.0, 30.0][: on.dimension])
    x = middle + (x + bend * np.sin((x - middle)[..., ::-1] / 9.0 / scale) - middle) / scale
    value = np.zeros(x.shape[:-1])
    for _ in range(8):
        value += np.sin(x @ random.normal(0, 0.11, on.dimension) + random.uniform(0, 6))
    value = (value - value.min()) / np.ptp(value)
    radius = np.linalg.norm((x - middle) / 24.0, axis=-1)
    return on.image((100 * value / (1 + np.exp(8 * (radius - 1)))).astype(np.float32))


def labels(on: Grid, shift: float = 0.0, bend: float = 0.0, scale: float = 1.0) -> sitk.Image:
    """Three nested and neighbouring structures, defined in physical space."""
    x = on.points() + shift
    middle = np.array([10.0, -20.0, 30.0][: on.dimension])
    x = (x + bend * np.sin((x - middle)[..., ::-1] / 9.0 / scale) - middle) / scale
    out = np.zeros(x.shape[:-1], np.uint8)
    out[np.linalg.norm(x / 22.0, axis=-1) < 1] = 1
    out[np.linalg.norm((x - 6.0) / 10.0, axis=-1) < 1] = 2
    out[np.linalg.norm((x + 8.0) / 7.0, axis=-1) < 1] = 3
    return on.image(out)


def smooth_field(on: Grid, size_mm: float = 4.0, seed: int = 1) -> sitk.Image:
    """A smooth displacement of some millimetres that differs in every component and everywhere."""
    random = np.random.default_rng(seed)
    x = on.points()
    waves = [np.sin(x @ random.normal(0, 0.05, on.dimension) + random.uniform(0, 6)) for _ in range(on.dimension)]
    return on.image((np.stack(waves, -1) * size_mm).astype(np.float32), vector=True)


def some_affine(dimension: int) -> sitk.AffineTransform:
    """An affine with rotation, scaling, shear and a centre that is not the origin."""
    affine = sitk.AffineTransform(dimension)
    turn = rotation(7) if dimension == 3 else rotation_2d(7)
    affine.SetMatrix((turn @ (np.eye(dimension) + 0.04 * np.triu(np.ones((dimension, dimension))))).ravel().tolist())
    affine.SetTranslation([3.0, -2.0, 1.5][:dimension])
    affine.SetCenter([12.0, -15.0, 26.0][:dimension])
    return affine


def inside(displacement: sitk.Image, moving: Grid, margin: float = 1.0) -> np.ndarray:
    """Where fixed point + u lies at least `margin` voxels inside the moving image."""
    moved = Grid.of(displacement).points() + sitk.GetArrayViewFromImage(displacement)
    return moving.contains(moved.reshape(-1, moving.dimension), margin=-margin).reshape(moved.shape[:-1])


def worst(ours: np.ndarray, theirs: np.ndarray, where: np.ndarray) -> float:
    """The largest difference as a share of the tool's intensity range, over voxels `where`."""
    assert where.mean() > 0.3, "hardly anything to compare"
    return float(np.abs(np.asarray(ours, float) - theirs)[where].max() / np.ptp(theirs))


def dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    return 2.0 * np.logical_and(a == label, b == label).sum() / ((a == label).sum() + (b == label).sum())
