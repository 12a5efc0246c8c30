"""Parameter files and deformation fields of elastix warp the same image and points as transformix."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, inside, smooth_field, some_affine, texture, worst
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.space.displacement import warp
from VoxelMorphRegistrationLib.space.grid import Grid

CHAINS = {
    "translation and Euler": "translation rigid",
    "similarity": "SimilarityTransform",
    "affine and B-spline": "affine bspline",
    "affine plus B-spline": "affine bspline+",
}
CASES = {f"{i}{j}": (g, c) for i, g in enumerate(GEOMETRIES) for j, c in enumerate(CHAINS)}
EQUAL = 1e-3


@pytest.fixture(scope="module")
def elastix(tmp_path_factory) -> Path:
    """A folder a case, registered by itk-elastix: every geometry with every chain, and files that we wrote."""
    try:
        metadata.version("itk-elastix")
    except metadata.PackageNotFoundError:
        pytest.skip("itk-elastix is not installed")
    folder = tmp_path_factory.mktemp("elastix")
    for case, (geometry, chain) in CASES.items():
        fixed, moving = GEOMETRIES[geometry]
        place = folder / case
        place.mkdir()
        sitk.WriteImage(texture(fixed), str(place / "fixed.mha"))
        sitk.WriteImage(texture(moving, shift=3.0, bend=2.0), str(place / "moving.mha"))
        (place / "maps.txt").write_text(CHAINS[chain])
        points = landmarks(fixed)
        rows = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
        (place / "points.txt").write_text(f"point\n{len(points)}\n{rows}\n")
    for index, geometry in enumerate(GEOMETRIES):
        fixed, moving = GEOMETRIES[geometry]
        affine = exchange.read(some_affine(fixed.dimension), reference=fixed)
        for kind, displacement in (("field", smooth_field(fixed)), ("affine", affine)):
            place = folder / f"ours-{kind}-{index}"
            place.mkdir()
            sitk.WriteImage(fixed.empty_image(), str(place / "fixed.mha"))
            sitk.WriteImage(texture(moving), str(place / "moving.mha"))
            exchange.write(displacement, place / "ours.txt", "elastix")
        place = folder / f"no-directions-{index}"
        place.mkdir()
        sitk.WriteImage(fixed.empty_image(), str(place / "fixed.mha"))
        sitk.WriteImage(texture(level(moving)), str(place / "moving.mha"))
        exchange.write(turned_away(fixed, moving), place / "ours.txt", "elastix")
        text = (place / "ours.txt").read_text(encoding="utf-8")
        (place / "ours.txt").write_text(text.replace('Cosines "true"', 'Cosines "false"'))
    worker = Path(__file__).with_name("elastix_worker.py")
    names = sorted(path.name for path in folder.iterdir())
    done = subprocess.run(
        [sys.executable, str(worker), str(folder), *names], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def level(grid: Grid) -> Grid:
    """The grid without its directions. itk-elastix leaves out the fixed image's, but not the moving image's."""
    return Grid(grid.size, grid.spacing, grid.origin, tuple(np.eye(grid.dimension).ravel().tolist()))


def turned_away(fixed: Grid, moving: Grid) -> sitk.Image:
    """An affine that lays images without their directions about on each other."""
    middle = [level(one).extent_corners().mean(axis=0) for one in (fixed, moving)]
    affine = some_affine(fixed.dimension)
    affine.SetCenter(middle[0].tolist())
    affine.SetTranslation((middle[1] - middle[0] + 1.5).tolist())
    return exchange.read(affine, reference=fixed)


def landmarks(grid: Grid) -> np.ndarray:
    index = np.random.default_rng(5).uniform(0.25, 0.75, (5, grid.dimension)) * (np.asarray(grid.size) - 1)
    return index @ grid.axes.T + np.asarray(grid.origin)


def parameter_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("TransformParameters.*.txt"))


@pytest.mark.parametrize("case", CASES, ids=[" / ".join(value) for value in CASES.values()])
def test_a_chain_of_parameter_files_warps_as_transformix_does(elastix, case):
    folder = elastix / case
    fixed, moving = (sitk.ReadImage(str(folder / f"{name}.mha")) for name in ("fixed", "moving"))
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "result.mha")))
    for source in (parameter_files(folder), parameter_files(folder)[-1], folder / "deformationField.nii.gz"):
        displacement = exchange.read(source, None if isinstance(source, Path) else "elastix", fixed)
        where = inside(displacement, Grid.of(moving))
        assert np.abs(sitk.GetArrayViewFromImage(displacement)).max() > 2
        assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), theirs, where) < EQUAL


@pytest.mark.parametrize("case", CASES, ids=[" / ".join(value) for value in CASES.values()])
def test_landmarks_go_where_transformix_takes_them(elastix, case):
    folder = elastix / case
    text = (folder / "outputpoints.txt").read_text(encoding="utf-8")
    theirs = [list(map(float, numbers.split())) for numbers in re.findall(r"OutputPoint = \[ ([^\]]+) \]", text)]
    fixed = Grid.of(sitk.ReadImage(str(folder / "fixed.mha")))
    mapping = exchange.read_mapping(parameter_files(folder)[-1], reference=fixed)
    np.testing.assert_allclose(exchange.points_to_moving(mapping, landmarks(fixed)), theirs, atol=0.01)


@pytest.mark.parametrize("kind", ["field", "affine"])
@pytest.mark.parametrize("index", range(len(GEOMETRIES)), ids=list(GEOMETRIES))
def test_transformix_warps_with_the_parameter_file_we_write(elastix, index, kind):
    folder = elastix / f"ours-{kind}-{index}"
    fixed, moving = GEOMETRIES[list(GEOMETRIES)[index]]
    displacement = (
        smooth_field(fixed) if kind == "field" else exchange.read(some_affine(fixed.dimension), reference=fixed)
    )
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "result.mha")))
    ours = sitk.GetArrayFromImage(warp(texture(moving), displacement))
    assert worst(ours, theirs, inside(displacement, moving)) < EQUAL


@pytest.mark.parametrize("index", range(len(GEOMETRIES)), ids=list(GEOMETRIES))
def test_a_transform_of_images_without_directions_warps_as_transformix_does(elastix, index):
    folder = elastix / f"no-directions-{index}"
    fixed, moving = GEOMETRIES[list(GEOMETRIES)[index]]
    moving = level(moving)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        displacement = exchange.read(folder / "ours.txt", reference=fixed, moving=moving)
    with pytest.warns(exchange.ExchangeWarning, match="name it with --moving"):
        exchange.read(folder / "ours.txt", reference=fixed)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "result.mha")))
    ours = sitk.GetArrayFromImage(warp(texture(moving), displacement))
    assert worst(ours, theirs, inside(displacement, moving)) < EQUAL


def test_a_class_that_only_elastix_has_is_evaluated_by_elastix(elastix):
    """An AffineLogTransform, through whichever elastix is here."""
    folder = elastix / "00"
    text = parameter_files(folder)[0].read_text(encoding="utf-8")
    text = text.replace('"TranslationTransform"', '"AffineLogTransform"')
    text = re.sub(r"\(NumberOfParameters 3\)", "(NumberOfParameters 12)\n(CenterOfRotationPoint 10 -20 30)", text)
    logarithm = "0 -0.1 0 0.1 0 0 0 0 0 1 2 3"
    text = re.sub(r"\(TransformParameters [^)]*\)", f"(TransformParameters {logarithm})", text)
    path = folder / "affine_log.txt"
    path.write_text(text)
    fixed = Grid.of(sitk.ReadImage(str(folder / "fixed.mha")))
    displacement = exchange.read(path, "elastix", fixed)
    turn = sitk.Euler3DTransform((10.0, -20.0, 30.0), 0.0, 0.0, 0.1, (1.0, 2.0, 3.0))
    expected = sitk.GetArrayFromImage(exchange.read(turn, reference=fixed))
    np.testing.assert_allclose(sitk.GetArrayFromImage(displacement), expected, atol=1e-3)
