"""What cannot be converted is refused in one line that names the file, the reason and the remedy."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.space.grid import Grid

FIXED = Grid((10, 9, 8), (2.0, 2.5, 3.0), (-10.0, 5.0, 20.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


def field(grid: Grid = FIXED, seed: int = 0) -> sitk.Image:
    values = np.random.default_rng(seed).normal(0, 1, (*grid.shape, grid.dimension))
    return grid.image(values.astype(np.float32), vector=True)


def refused(source, convention=None, reference=FIXED, **options) -> str:
    with pytest.raises(InputError) as error:
        exchange.read(source, convention, reference, **options)
    message = str(error.value)
    assert "\n" not in message
    assert ";" in message, "a remedy follows the reason"
    return message


def stored(tmp_path, name, image):
    sitk.WriteImage(image, str(tmp_path / name))
    return tmp_path / name


def test_a_field_that_does_not_cover_the_reference(tmp_path):
    larger = Grid((16, 9, 8), *[getattr(FIXED, name) for name in ("spacing", "origin", "direction")])
    path = stored(tmp_path, "field.nrrd", field())
    assert "does not cover the reference" in refused(path, reference=larger)
    moved = Grid(FIXED.size, FIXED.spacing, (90.0, 5.0, 20.0), FIXED.direction)
    assert "does not cover the reference" in refused(path, reference=moved)


def test_a_finer_reference_of_the_same_extent_is_covered(tmp_path):
    finer = Grid((20, 18, 16), (1.0, 1.25, 1.5), (-10.5, 4.375, 19.25), FIXED.direction)
    exchange.read(stored(tmp_path, "field.nrrd", field()), reference=finer)


def test_a_wrong_number_of_components(tmp_path):
    three = FIXED.image(np.zeros((*FIXED.shape, 2), np.float32), vector=True)
    assert "2 component(s) a voxel in 3D" in refused(stored(tmp_path, "two.mha", three))
    assert "1 component(s)" in refused(stored(tmp_path, "scalar.nrrd", FIXED.empty_image()))


@pytest.mark.parametrize("name", ["nan.nrrd", "nan.nii.gz", "nan.mha"])
def test_nan_in_an_image(tmp_path, name):
    broken = field()
    values = sitk.GetArrayFromImage(broken)
    values[3, 4, 5, 1] = np.nan
    assert "NaN" in refused(stored(tmp_path, name, FIXED.image(values, vector=True)))


@pytest.mark.parametrize("convention", ["voxelmorph", "monai", "torch"])
def test_nan_in_an_array(convention):
    values = np.zeros((1, 8, 9, 10, 3), np.float32)
    values[0, 1, 1, 1, 1] = np.inf
    assert "NaN" in refused(values, convention, moving=FIXED, align_corners=True)


@pytest.mark.parametrize("name", ["nan.tfm", "nan.mat", "nan.h5"])
def test_nan_in_an_affine(tmp_path, name):
    affine = sitk.AffineTransform(3)
    affine.SetTranslation((np.nan, 0.0, 0.0))
    sitk.WriteTransform(affine, str(tmp_path / name))
    assert "nan" in refused(tmp_path / name).lower()


@pytest.mark.parametrize("name", ["flat.tfm", "flat.mat", "flat.h5"])
def test_a_singular_affine(tmp_path, name):
    affine = sitk.AffineTransform(3)
    affine.SetParameters((1, 0, 0, 0, 1, 0, 1, 1, 0, 5, 5, 5))
    sitk.WriteTransform(affine, str(tmp_path / name))
    assert "singular" in refused(tmp_path / name)


def test_a_singular_affine_in_text_lta_theta_and_numbers(tmp_path):
    (tmp_path / "flat.txt").write_text("1 0 0 0\n0 1 0 0\n1 1 0 0\n0 0 0 1\n")
    assert "singular" in refused(tmp_path / "flat.txt", "niftyreg")
    lta = "type = 1\nnxforms = 1\nmean = 0 0 0\nsigma = 1\n1 4 4\n1 0 0 0\n0 1 0 0\n1 1 0 0\n0 0 0 1\n"
    lta += "src volume info\nvalid = 0\ndst volume info\nvalid = 0\n"
    (tmp_path / "flat.lta").write_text(lta)
    assert "singular" in refused(tmp_path / "flat.lta")
    theta = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0.0]])
    assert "singular" in refused(theta, moving=FIXED, align_corners=True)
    with pytest.raises(InputError, match="singular"):
        exchange.affine_to_theta(np.zeros((3, 3)), np.zeros(3), np.zeros(3), FIXED, FIXED, True)
    with pytest.raises(InputError, match="do not fit together"):
        exchange.affine_to_displacement(np.eye(3), np.zeros(2), np.zeros(3), FIXED)


def test_arrays_and_plain_text_ask_which_convention_they_are(tmp_path):
    flow = np.zeros((1, 3, 8, 9, 10), np.float32)
    np.save(tmp_path / "flow.npy", flow)
    for source in (flow, torch.from_numpy(flow), tmp_path / "flow.npy"):
        message = refused(source)
        assert "say --from" in message
        assert all(name in message for name in ("voxelmorph", "monai", "torch"))
    (tmp_path / "matrix.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    assert "say --from, possible: niftyreg" in refused(tmp_path / "matrix.txt")
    nibabel.save(nibabel.Nifti1Image(np.zeros((10, 9, 8, 3), np.float32), np.eye(4)), tmp_path / "plain.nii.gz")
    message = refused(tmp_path / "plain.nii.gz")
    assert all(name in message for name in ("voxelmorph", "monai", "freesurfer"))


def test_a_file_of_another_convention_than_was_said(tmp_path):
    displacement = field()
    exchange.write(displacement, tmp_path / "reg.nii.gz", "niftyreg")
    exchange.write(displacement, tmp_path / "ants.nii.gz", "ants")
    exchange.write(displacement, tmp_path / "warp.mgz", "freesurfer")
    assert "NREG_TRANS" in refused(tmp_path / "reg.nii.gz", "ants")
    assert "say --from itk" in refused(tmp_path / "ants.nii.gz", "voxelmorph")
    assert "niftyreg" in refused(tmp_path / "ants.nii.gz", "niftyreg")
    assert "say --from freesurfer" in refused(tmp_path / "warp.mgz", "itk")
    assert "unknown; choose one of" in refused(tmp_path / "warp.mgz", "spm")
    theta = np.eye(4)[:3]
    assert "say --from torch" in refused(theta, "voxelmorph")


def test_a_sampling_grid_said_to_be_voxelmorph_and_the_other_way_round():
    grid = exchange.to_sampling_grid(field(), FIXED, FIXED, True)
    assert "say --from torch" in refused(grid, "voxelmorph", array_axes="kji")
    voxels = 40 * np.ones((1, 8, 9, 10, 3))
    assert "--from voxelmorph" in refused(voxels, "torch", moving=FIXED, align_corners=True)


def test_what_a_sampling_grid_needs_is_asked_for():
    grid = exchange.to_sampling_grid(field(), FIXED, FIXED, True)
    assert "--moving" in refused(grid, "torch", align_corners=True)
    assert "--align-corners" in refused(grid, "torch", moving=FIXED)
    assert "--reference" in refused(grid, "torch", reference=None, moving=FIXED, align_corners=True)


def test_array_axes_are_found_by_shape_and_otherwise_the_tools_usual_order_with_a_warning():
    flow = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 9, 10)).astype(np.float32)
    straight = exchange.read(flow, "voxelmorph", FIXED)
    mirrored = exchange.read(np.transpose(flow[0], (0, 3, 2, 1))[::-1].copy(), "voxelmorph", FIXED)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(straight), sitk.GetArrayFromImage(mirrored))
    cube = Grid((8, 8, 8), FIXED.spacing, FIXED.origin, FIXED.direction)
    flow = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8, 8)).astype(np.float32)
    for convention, usual in (("voxelmorph", "kji"), ("monai", "ijk")):
        with pytest.warns(exchange.ExchangeWarning, match=f"taken as {usual}"):
            taken = exchange.read(flow, convention, cube)
        said = exchange.read(flow, convention, cube, array_axes=usual)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(taken), sitk.GetArrayFromImage(said))


def test_a_shape_that_is_not_the_references():
    message = refused(np.zeros((1, 3, 8, 9, 11), np.float32), "voxelmorph")
    assert "1 x 3 x 8 x 9 x 11" not in message or "8 x 9 x 10" in message
    assert "a batch of 2" in refused(np.zeros((2, 3, 8, 9, 10), np.float32), "voxelmorph")
    assert "no field" in refused(np.zeros((5, 7), np.float32), "voxelmorph")


def test_broken_and_missing_files(tmp_path):
    for name in (
        "a.nii.gz",
        "a.nrrd",
        "a.h5",
        "a.tfm",
        "a.mat",
        "a.txt",
        "a.lta",
        "a.mgz",
        "a.npy",
        "a.npz",
        "a.pt",
        "a.m3z",
    ):
        assert "no such file" in refused(tmp_path / name)
        (tmp_path / name).write_bytes(b"not what the name says\n" * 20)
        assert name in refused(tmp_path / name)
    assert "no such file" in refused([tmp_path / "1Warp.nii.gz", tmp_path / "0GenericAffine.mat"])
    (tmp_path / "notes.doc").write_text("words")
    assert "not a type of file" in refused(tmp_path / "notes.doc")
    assert "empty list" in refused([])


def test_a_reference_that_is_no_image(tmp_path):
    path = stored(tmp_path, "field.nrrd", field())
    assert "no such file" in refused(path, reference=tmp_path / "absent.nii.gz")
    assert "is no image" in refused(path, reference=17)
    flat = Grid((5, 5), (1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1))
    assert "3D and the reference image is 2D" in refused(path, reference=flat)


def test_foreign_formats_are_refused_with_the_command_that_helps(tmp_path):
    (tmp_path / "flirt.mat").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    assert "reg_transform -flirtAff2NR" in refused(tmp_path / "flirt.mat")
    (tmp_path / "talairach.m3z").write_bytes(b"\1\2\3")
    assert "mri_warp_convert" in refused(tmp_path / "talairach.m3z")
    image = nibabel.Nifti1Image(np.zeros((10, 9, 8, 3), np.float32), np.eye(4))
    image.header["intent_code"] = 2006
    nibabel.save(image, tmp_path / "fnirt.nii.gz")
    assert "wb_command" in refused(tmp_path / "fnirt.nii.gz")


def test_elastix_chains_that_cannot_be_followed(tmp_path):
    text = (
        '(Transform "TranslationTransform")\n(NumberOfParameters 3)\n(TransformParameters 1 2 3)\n(FixedImageDimension'
        ' 3)\n(InitialTransformParameterFileName "{}")\n(HowToCombineTransforms "Compose")\n'
    )
    path = tmp_path / "TransformParameters.1.txt"
    path.write_text(text.format("TransformParameters.0.txt"))
    assert "is not there" in refused(path)
    path.write_text(text.format(path))
    assert "comes back to it" in refused(path)
    path.write_text(text.format("NoInitialTransform").replace("1 2 3", "1 2"))
    assert "has 2 numbers and needs 3" in refused(path)


def test_what_a_convention_cannot_hold_is_refused_or_warned_of(tmp_path):
    bending, affine = field(), exchange.read(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), reference=FIXED)
    for convention, name in (("ants", "a.mat"), ("niftyreg", "a.txt"), ("freesurfer", "a.lta"), ("itk", "a.tfm")):
        with pytest.raises(InputError, match="holds only an affine"):
            exchange.write(bending, tmp_path / name, convention)
    with pytest.warns(exchange.ExchangeWarning, match="is an affine"):
        exchange.write(affine, tmp_path / "affine.nrrd", "itk")
    large = FIXED.image(sitk.GetArrayFromImage(bending) * 70, vector=True)
    with pytest.warns(exchange.ExchangeWarning, match="float16 rounds"):
        exchange.write(large, tmp_path / "large.npy", "voxelmorph", dtype="float16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.write(field(), tmp_path / "small.npy", "voxelmorph")
    flat = Grid((9, 8), (1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1))
    with pytest.raises(InputError, match="are 3D"):
        exchange.write(field(flat), tmp_path / "flat.mgz", "freesurfer")
    with pytest.raises(InputError, match="rename the output"):
        exchange.write(bending, tmp_path / "field.jpg", "niftyreg")


def test_warnings_collected_by_one_caller_leave_those_of_another_thread_alone():
    cube = Grid((8, 8, 8), FIXED.spacing, FIXED.origin, FIXED.direction)
    flow = np.zeros((1, 3, 8, 8, 8), np.float32)
    with pytest.warns(exchange.ExchangeWarning, match="taken as kji"), exchange.collected_warnings() as messages:
        with ThreadPoolExecutor(1) as other:
            other.submit(exchange.read, flow, "voxelmorph", cube).result()
        assert messages == []
        exchange.read(flow, "monai", cube)
    assert len(messages) == 1 and "taken as ijk" in messages[0]
