"""The start before the network: known motions are found again, and what cannot be aligned is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib import Registrar, Settings
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.itk_transforms import read_transform
from VoxelMorphRegistrationLib.registration import alignment
from VoxelMorphRegistrationLib.registration.alignment import align, scaling_note
from VoxelMorphRegistrationLib.space.affine import linear_parts
from VoxelMorphRegistrationLib.space.grid import Grid


def _anatomy(points):
    """An intensity at every LPS point (..., d): an ellipsoid with structure in it, near nought outside."""
    dimension = points.shape[-1]
    scale = np.asarray((40.0, 30.0, 25.0))[:dimension]
    inside = 1.0 / (1.0 + np.exp((np.linalg.norm(points / scale, axis=-1) - 1.0) * 12.0))
    waves = np.sin(points[..., 0] * 0.21) + np.cos(points[..., 1] * 0.17 + 0.4)
    waves = waves + np.sin(points.sum(-1) * 0.13 + 1.0) + 0.04 * points[..., 0]
    return inside * (300.0 + 60.0 * waves)


def _seen(grid, transform=None, contrast=None, noise=0.0):
    """The anatomy as an image on `grid`, moved: the voxel at y shows the anatomy at transform^-1(y)."""
    points = grid.points()
    if transform is not None:
        inverse = transform.GetInverse()
        flat = [inverse.TransformPoint(point) for point in points.reshape(-1, grid.dimension).tolist()]
        points = np.asarray(flat).reshape(points.shape)
    values = _anatomy(points)
    values = values if contrast is None else contrast(values)
    return grid.image((values + np.random.default_rng(0).normal(0, noise or 1e-6, values.shape)).astype(np.float32))


def _grid(size=(40, 36, 32), spacing=(2.5, 2.5, 2.5), angles=(0, 0, 0), centre=(0, 0, 0)):
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    origin = np.asarray(centre) - direction @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    return Grid(tuple(size), tuple(spacing), tuple(origin), tuple(direction.ravel()))


def _furthest(found, truth, grid, radius=25.0):
    """mm between where two transforms take the points of a ball about the centre."""
    points = grid.points().reshape(-1, grid.dimension)
    points = points[np.linalg.norm(points, axis=1) < radius][::11].tolist()
    return max(np.linalg.norm(np.subtract(found.TransformPoint(p), truth.TransformPoint(p))) for p in points)


RIGID = sitk.Euler3DTransform((2, 1, 3), 0.15, -0.12, 0.2, (6, -5, 4))


@pytest.mark.parametrize("contrast", [None, lambda values: 500.0 - values], ids=["same contrast", "inverted"])
def test_a_rigid_motion_is_found_again(contrast):
    grid = _grid()
    moving = _seen(_grid((50, 45, 40), (2, 2, 2.2), (15, 5, -10)), RIGID, contrast, 4)
    found = align(_seen(grid, noise=4), moving, "rigid")
    assert _furthest(found, RIGID, grid) < 0.5
    matrix = np.reshape(found.GetMatrix(), (3, 3))
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)


def test_an_affine_motion_is_found_again():
    truth = sitk.AffineTransform(3)
    truth.SetMatrix((1.08, 0.05, 0.02, -0.04, 0.93, 0.03, 0.02, -0.05, 1.04))
    truth.SetTranslation((5, -4, 3))
    grid = _grid()
    found = align(_seen(grid, noise=4), _seen(_grid((50, 45, 40), (2, 2, 2.2)), truth, noise=4), "affine")
    assert _furthest(found, truth, grid) < 0.8


def test_two_dimensions_are_aligned_too():
    grid = Grid((60, 50), (1.8, 1.8), (-54.0, -45.0), (1.0, 0.0, 0.0, 1.0))
    truth = sitk.Euler2DTransform((1, 2), 0.2, (5, -4))
    found = align(_seen(grid), _seen(grid, truth), "rigid")
    assert _furthest(found, truth, grid) < 0.5


def test_a_large_offset_is_bridged_by_the_centres_where_the_headers_mislead():
    truth = sitk.TranslationTransform(3, (38.0, -30.0, 20.0))
    grid = _grid()
    found = align(_seen(grid), _seen(_grid(centre=(38, -30, 20)), truth), "rigid")
    assert _furthest(found, truth, grid) < 0.5


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_starts_what_matches_better_in_the_end_is_taken(monkeypatch, order):
    truth = sitk.TranslationTransform(3, (10.0, -8.0, 6.0))
    ends = [sitk.VersorRigid3DTransform(), sitk.VersorRigid3DTransform()]
    ends[0].SetTranslation(truth.GetOffset())
    left = [ends[number] for number in order for _ in alignment._LEVELS]
    monkeypatch.setattr(alignment, "_descend", lambda *a: left.pop(0))
    grid = _grid()
    found = align(_seen(grid), _seen(grid, truth), "rigid")
    assert _furthest(found, truth, grid) < 1e-6 and not left


def test_starts_that_lie_on_each_other_are_gone_from_once(monkeypatch):
    begun, original = [], alignment._descend
    monkeypatch.setattr(alignment, "_descend", lambda *a: begun.append(a) or original(*a))
    truth = sitk.TranslationTransform(3, (1.0, -0.5, 0.5))
    grid = _grid()
    assert _furthest(align(_seen(grid), _seen(grid, truth), "rigid"), truth, grid) < 0.5
    assert len(begun) == len(alignment._LEVELS)


def test_a_start_that_leads_nowhere_leaves_the_other_one(monkeypatch):
    truth = sitk.TranslationTransform(3, (5.0, -4.0, 3.0))
    nowhere = sitk.TranslationTransform(3, (0.0, 0.0, 3000.0))
    monkeypatch.setattr(alignment, "_centres", lambda *a: nowhere)
    grid = _grid()
    assert _furthest(align(_seen(grid), _seen(grid, truth), "rigid"), truth, grid) < 0.5


def test_centres_are_laid_on_each_other_even_far_away():
    truth = sitk.TranslationTransform(3, (838.0, -30.0, 20.0))
    found = align(_seen(_grid()) - 1000, _seen(_grid((44, 36, 40), centre=(838, -30, 20)), truth) - 1000, "centers")
    assert _furthest(found, truth, _grid()) < 1.0


def test_an_initial_transform_comes_first_and_is_contained():
    initial = sitk.AffineTransform(3)
    initial.SetMatrix((1.1, 0.1, 0, -0.1, 0.95, 0.05, 0, 0, 1))
    initial.SetTranslation((60.0, 0.0, 0.0))
    truth = sitk.CompositeTransform([initial, RIGID])
    grid = _grid()
    moving = _seen(_grid((60, 50, 40), (2.5, 2.5, 2.5), centre=(60, 0, 0)), truth)
    found = align(_seen(grid), moving, "rigid", initial)
    assert _furthest(found, truth, grid) < 0.6
    assert align(_seen(grid), moving, "none", initial) is initial
    assert align(_seen(grid), moving, "none") is None


def test_a_mask_says_what_is_to_be_matched():
    grid = _grid()
    fixed, moving = _seen(grid), _seen(grid, RIGID)
    array = sitk.GetArrayFromImage(moving)
    array[:, :, :8] = gaussian_filter(np.random.default_rng(0).normal(size=array.shape), 1)[:, :, :8] * 2000
    points = grid.points()
    mask = grid.image((np.linalg.norm(points, axis=-1) < 30).astype(np.uint8))
    found = align(fixed, grid.image(array), "rigid", mask=mask)
    assert _furthest(found, RIGID, grid) < 1.0


def test_the_same_pair_gives_the_same_alignment_again_and_however_it_is_stored():
    fixed, moving = _seen(_grid(), noise=4), _seen(_grid((50, 45, 40), (2, 2, 2.2)), RIGID, noise=4)
    first = align(fixed, moving, "rigid")
    assert np.allclose(align(fixed, moving, "rigid").GetParameters(), first.GetParameters(), atol=1e-3)
    stored = sitk.Flip(sitk.PermuteAxes(fixed, [1, 2, 0]), [True, False, False])
    other = sitk.Flip(sitk.PermuteAxes(moving, [2, 1, 0]), [False, True, True])
    assert _furthest(align(stored, other, "rigid"), first, _grid()) < 0.02


def test_a_pair_turned_together_is_aligned_alike():
    fixed, moving = _seen(_grid(), noise=4), _seen(_grid((50, 45, 40), (2, 2, 2.2)), RIGID, noise=4)
    first = align(fixed, moving, "rigid")
    turn = sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.4, (5, 6, 7))
    turned = []
    for image in (fixed, moving):
        image = sitk.Image(image)
        image.SetOrigin(turn.TransformPoint(image.GetOrigin()))
        image.SetDirection((np.reshape(turn.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))).ravel())
        turned.append(image)
    second = align(*turned, "rigid")
    brought_back = sitk.CompositeTransform([turn.GetInverse(), second, turn])
    assert _furthest(brought_back, first, _grid()) < 0.02


def test_what_cannot_be_aligned_is_refused_in_one_line(tmp_path):
    fixed, far = _seen(_grid()), _seen(_grid())
    far.SetOrigin((900.0, 0.0, 0.0))
    for kind in ("rigid", "affine"):
        with pytest.raises(InputError, match="do not overlap"):
            align(fixed, far, kind)
    with pytest.raises(InputError, match="elastic"):
        align(fixed, fixed, "elastic")
    (tmp_path / "bad.tfm").write_text("nothing")
    for name in ("bad.tfm", "missing.tfm"):
        with pytest.raises(InputError, match=name) as caught:
            read_transform(str(tmp_path / name))
        assert "\n" not in str(caught.value)


SHARED = Path(__file__).parents[3] / "shared" / "data" / "oblique"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/oblique is absent")
def test_a_real_prostate_of_two_contrasts_keeps_about_its_volume():
    images = [sitk.ReadImage(str(SHARED / f"10000_1000000_{kind}.mha"), sitk.sitkFloat32) for kind in ("adc", "hbv")]
    for fixed, moving in (images, images[::-1]):
        matrix, _ = linear_parts(align(fixed, moving, "affine"))
        assert 0.7 < np.linalg.det(matrix) < 1.4


@pytest.mark.parametrize(("scale", "said"), [(1.0, False), (0.9, False), (0.75, True), (1.3, True)])
def test_an_alignment_that_makes_volumes_much_smaller_or_larger_is_said(scale, said):
    transform = sitk.ScaleTransform(3, (scale,) * 3)
    assert (scaling_note(transform) is not None) == said


def test_the_note_on_a_scaling_alignment_reaches_the_registration():
    image = _seen(_grid())
    start = sitk.ScaleTransform(3, (0.7, 0.7, 0.7))
    registration = Registrar("any-anatomy-fast", Settings(align="none", initial_transform=start)).register(image, image)
    assert any("scales volumes by 0.34" in note for note in registration.notes)
