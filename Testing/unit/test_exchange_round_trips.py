"""What is written for a tool and read back is the same displacement; and the laws that mappings obey."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.space.displacement import compose, from_transform, to_transform
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.space.inverse import invert

#: convention, file ending, options, dimensions it knows.
FORMS = [
    ("itk", ".nrrd", {}, (2, 3)),
    ("itk", ".nii.gz", {}, (2, 3)),
    ("itk", ".mha", {}, (2, 3)),
    ("itk", ".h5", {}, (2, 3)),
    ("slicer", ".nrrd", {}, (2, 3)),
    ("slicer", ".nii.gz", {}, (3,)),
    ("ants", ".nii.gz", {}, (2, 3)),
    ("elastix", ".nii.gz", {}, (2, 3)),
    ("elastix", ".mha", {}, (2, 3)),
    ("niftyreg", ".nii.gz", {}, (2, 3)),
    ("freesurfer", ".nii.gz", {}, (3,)),
    ("freesurfer", ".mgz", {}, (3,)),
    ("voxelmorph", ".npy", {"array_axes": "kji"}, (2, 3)),
    ("voxelmorph", ".npz", {"array_axes": "ijk"}, (2, 3)),
    ("voxelmorph", ".pt", {"array_axes": "kji"}, (2, 3)),
    ("voxelmorph", ".nii.gz", {}, (2, 3)),
    ("monai", ".npy", {"array_axes": "ijk"}, (2, 3)),
    ("monai", ".pt", {"array_axes": "ijk"}, (2, 3)),
    ("torch", ".npy", {"array_axes": "kji", "align_corners": True}, (2, 3)),
    ("torch", ".pt", {"array_axes": "ijk", "align_corners": False}, (2, 3)),
]
AFFINE_FORMS = [
    ("itk", "a.tfm", {}, (2, 3)),
    ("ants", "a.mat", {}, (2, 3)),
    ("elastix", "a.txt", {}, (2, 3)),
    ("niftyreg", "a.txt", {}, (2, 3)),
    ("freesurfer", "a.lta", {}, (3,)),
    ("torch", "theta.npy", {"array_axes": "ijk", "align_corners": True}, (2, 3)),
]
QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def grids(draw, dimension: int, largest: int = 9) -> Grid:
    """Oblique, anisotropic, left- and right-handed grids anywhere within some decimetres of the origin."""
    numbers = st.floats(-1, 1, allow_nan=False)
    size = tuple(draw(st.integers(4, largest)) for _ in range(dimension))
    spacing = tuple(draw(st.floats(0.4, 5.0)) for _ in range(dimension))
    origin = tuple(250 * draw(numbers) for _ in range(dimension))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    direction, _ = np.linalg.qr(random.normal(size=(dimension, dimension)))
    if draw(st.booleans()):
        direction[:, 0] *= -1
    return Grid(size, spacing, origin, tuple(direction.ravel().tolist()))


@st.composite
def fields(draw, dimension: int) -> sitk.Image:
    grid = draw(grids(dimension))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return grid.image(
        random.normal(0, draw(st.floats(0.1, 8)), (*grid.shape, dimension)).astype(np.float32), vector=True
    )


@st.composite
def affines(draw, dimension: int) -> sitk.AffineTransform:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    turn, _ = np.linalg.qr(random.normal(size=(dimension, dimension)))
    affine = sitk.AffineTransform(dimension)
    affine.SetMatrix((turn @ (np.eye(dimension) + random.uniform(-0.2, 0.2, (dimension, dimension)))).ravel().tolist())
    affine.SetTranslation(random.uniform(-20, 20, dimension).tolist())
    affine.SetCenter(random.uniform(-100, 100, dimension).tolist())
    return affine


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).astype(float)


def moving_of(grid: Grid) -> Grid:
    """Another grid over the same place: other size, spacing and direction."""
    flip = np.reshape(grid.direction, (grid.dimension,) * 2)[:, ::-1]
    return Grid(
        tuple(n + 3 for n in reversed(grid.size)),
        tuple(s * 0.9 for s in reversed(grid.spacing)),
        grid.origin,
        tuple(flip.ravel().tolist()),
    )


def there_and_back(displacement: sitk.Image, convention: str, name: str, options: dict) -> sitk.Image:
    grid = Grid.of(displacement)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", exchange.ExchangeWarning)
        path = Path(folder) / name
        exchange.write(displacement, path, convention, moving=moving_of(grid), **options)
        return exchange.read(path, convention, grid, moving=moving_of(grid), **options)


@pytest.mark.parametrize(("convention", "suffix", "options", "dimensions"), FORMS)
def test_a_field_written_for_a_tool_reads_back_to_a_ten_thousandth_of_a_millimetre(
    convention, suffix, options, dimensions
):
    for dimension in dimensions:

        @QUICK
        @given(fields(dimension))
        def returns(displacement):
            again = there_and_back(displacement, convention, "field" + suffix, options)
            assert Grid.of(again).same_as(Grid.of(displacement))
            np.testing.assert_allclose(array(again), array(displacement), atol=1e-4)

        returns()


@pytest.mark.parametrize(("convention", "name", "options", "dimensions"), AFFINE_FORMS)
def test_an_affine_written_for_a_tool_reads_back_to_a_ten_thousandth_of_a_millimetre(
    convention, name, options, dimensions
):
    for dimension in dimensions:

        @QUICK
        @given(grids(dimension), affines(dimension))
        def returns(grid, affine):
            displacement = from_transform(affine, grid)
            again = there_and_back(displacement, convention, name, options)
            # A vector of some hundred millimetres is itself a float32.
            np.testing.assert_allclose(
                array(again), array(displacement), atol=1e-4 + 4e-7 * np.abs(array(displacement)).max()
            )

        returns()


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_ants_list_is_the_composition_of_its_members_first_member_first(dimension, tmp_path):
    @QUICK
    @given(fields(dimension), affines(dimension))
    def composes(displacement, affine):
        exchange.write(displacement, tmp_path / "1Warp.nii.gz", "ants")
        sitk.WriteTransform(affine, str(tmp_path / "0GenericAffine.mat"))
        listed = exchange.read([tmp_path / "1Warp.nii.gz", tmp_path / "0GenericAffine.mat"], reference=displacement)
        expected = array(compose(displacement, affine))
        # A component is rounded with the size of the whole vector it is composed from, and looked up where NIfTI's
        # float32 puts its voxel, in a field that may change by all it has from one voxel to the next.
        grid = Grid.of(displacement)
        steepness = 2 * np.abs(array(displacement)).max() / min(grid.spacing)
        misplaced = np.finfo(np.float32).epsneg * np.abs(grid.extent_corners()).max()
        tolerance = 1e-4 + 1e-6 * np.abs(expected).max() + misplaced * (1 + steepness)
        np.testing.assert_allclose(array(listed), expected, atol=tolerance)

    composes()


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_affine_followed_by_its_inverse_flag_moves_nothing(dimension, tmp_path):
    @QUICK
    @given(grids(dimension), affines(dimension))
    def cancels(grid, affine):
        path = tmp_path / "affine.mat"
        sitk.WriteTransform(affine, str(path))
        for pair in ([path, f"[{path},1]"], [(path, True), (path, False)]):
            np.testing.assert_allclose(array(exchange.read(pair, reference=grid)), 0, atol=1e-4)

    cancels()


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_theta_of_a_chain_is_the_product_of_the_thetas(dimension):
    @QUICK
    @given(grids(dimension), grids(dimension), grids(dimension), affines(dimension), affines(dimension), st.booleans())
    def multiplies(fixed, middle, moving, first, second, align_corners):
        def theta(transform, one, other):
            parts = (
                np.reshape(transform.GetMatrix(), (dimension,) * 2),
                transform.GetTranslation(),
                transform.GetCenter(),
            )
            whole = exchange.affine_to_theta(*parts, one, other, align_corners)[0].double().numpy()
            return np.vstack([whole, np.eye(dimension + 1)[-1]])

        both = sitk.CompositeTransform([second, first])
        origin = np.asarray(both.TransformPoint((0.0,) * dimension))
        matrix = np.stack([np.asarray(both.TransformPoint(tuple(e))) - origin for e in np.eye(dimension)], 1)
        whole = exchange.affine_to_theta(matrix, origin, None, fixed, moving, align_corners)[0].double().numpy()
        product = (theta(second, middle, moving) @ theta(first, fixed, middle))[:-1]
        scale = 1 + np.abs(theta(second, middle, moving)).max() * np.abs(theta(first, fixed, middle)).max()
        np.testing.assert_allclose(product, whole, atol=2e-6 * scale)

    multiplies()


@pytest.mark.parametrize("dimension", [2, 3])
def test_points_go_to_the_moving_image_and_back_to_where_they_were(dimension):
    @QUICK
    @given(grids(dimension), st.integers(0, 1000))
    def returns(grid, seed):
        random = np.random.default_rng(seed)
        wave = np.sin(grid.points() / 60.0 + random.uniform(0, 6, dimension)) * 3.0
        displacement = grid.image(wave.astype(np.float32), vector=True)
        index = random.uniform(0.2, 0.8, (5, dimension)) * (np.asarray(grid.size) - 1)
        points = index @ grid.axes.T + np.asarray(grid.origin)
        there = exchange.points_to_moving(displacement, points)
        back = exchange.points_to_fixed(displacement, there, grid, "points")
        np.testing.assert_allclose(back, points, atol=2e-4)

    returns()


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_field_that_was_read_undone_by_its_inverse_moves_nothing(dimension, tmp_path):
    @QUICK
    @given(grids(dimension), st.integers(0, 1000))
    def cancels(grid, seed):
        size = 0.3 * min(grid.spacing)
        wave = size * np.sin(grid.points() / 40.0 + np.random.default_rng(seed).uniform(0, 6, dimension))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exchange.ExchangeWarning)
            exchange.write(grid.image(wave.astype(np.float32), vector=True), tmp_path / "field.nii.gz", "niftyreg")
        displacement = exchange.read(tmp_path / "field.nii.gz")
        inverse, residual = invert(displacement, tolerance=1e-4)
        assert residual <= 1e-4
        inner = (slice(1, -1),) * dimension
        np.testing.assert_allclose(array(compose(inverse, displacement))[inner], 0, atol=1e-3)

    cancels()


def test_an_itk_composite_file_is_the_composition_of_its_parts(tmp_path):
    grid = Grid((9, 8, 7), (2.0, 2.5, 3.0), (-9.0, 4.0, 11.0), tuple(np.eye(3).ravel()))
    wave = (2 * np.sin(grid.points() / 7)).astype(np.float32)
    displacement = grid.image(wave, vector=True)
    euler = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, -0.1, (4.0, 5.0, 6.0))
    composite = sitk.CompositeTransform([euler, to_transform(displacement)])
    for name in ("composite.h5", "composite.tfm"):
        sitk.WriteTransform(composite, str(tmp_path / name))
        listed = exchange.read(tmp_path / name, reference=grid)
        expected = [np.subtract(composite.TransformPoint(tuple(x)), x) for x in grid.points().reshape(-1, 3).tolist()]
        np.testing.assert_allclose(array(listed).reshape(-1, 3), expected, atol=1e-4)
