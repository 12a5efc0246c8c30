"""What a file does not say (unit, axes, padding, which header holds) is read as told; a guess is always said."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import zoom

from Testing.support.exchange_scenes import GEOMETRIES, smooth_field
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.exchange.context import collected_warnings
from VoxelMorphRegistrationLib.space.displacement import to_voxel_flow
from VoxelMorphRegistrationLib.space.grid import Grid

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
TWO_PLACES = CASES / "sform_qform"
FIXED = Grid((21, 22, 19), (1.5, 1.0, 2.0), (10.0, -5.0, 30.0), GEOMETRIES["oblique anisotropic"][0].direction)
FLAT = Grid((21, 22), (1.5, 1.0), (10.0, -5.0), GEOMETRIES["2D"][0].direction)


def read(source, convention=None, reference=FIXED, **options) -> tuple[sitk.Image, list[str]]:
    with exchange.collected_warnings() as notes:
        displacement = exchange.read(source, convention, reference, **options)
    return displacement, notes


def refused(source, convention=None, reference=FIXED, **options) -> str:
    with pytest.raises(InputError) as caught:
        exchange.read(source, convention, reference, **options)
    assert "\n" not in str(caught.value) and ";" in str(caught.value)
    return str(caught.value)


def vectors(displacement: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(displacement)


# --- a fixed image whose sform and qform differ


@pytest.mark.parametrize("name, convention", [("affine.txt", "niftyreg"), ("reg.lta", None), ("def.nii.gz", None)])
def test_transforms_of_tools_that_go_by_the_sform_are_restated_for_where_simpleitk_has_the_image(name, convention):
    reference = TWO_PLACES / "fixed.nii.gz"
    displacement, notes = read(TWO_PLACES / name, convention, reference)
    np.testing.assert_allclose(displacement.GetPixel(7, 9, 5), (10.76, -7.31, 8.32), atol=0.01)
    assert Grid.of(displacement).same_as(Grid.of(sitk.ReadImage(str(reference))))
    assert any("contradicts itself" in note and "the qform was used" in note for note in notes)
    assert any("goes by the sform" in note for note in notes)
    with exchange.collected_warnings():
        mapping = exchange.read_mapping(TWO_PLACES / name, convention, reference)
    place = np.array([displacement.TransformIndexToPhysicalPoint((7, 9, 5))])
    moved = exchange.points_to_moving(mapping, place) - place
    np.testing.assert_allclose(moved, [(10.76, -7.31, 8.32)], atol=0.01)


def test_other_conventions_say_which_of_the_two_was_used(tmp_path):
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "shift.tfm"))
    displacement, notes = read(tmp_path / "shift.tfm", reference=TWO_PLACES / "fixed.nii.gz")
    np.testing.assert_allclose(displacement.GetPixel(7, 9, 5), (1, 2, 3), atol=1e-6)
    assert len(notes) == 1 and "the qform was used, as SimpleITK and Slicer do" in notes[0]


def test_a_moving_image_in_two_places_is_restated_too(tmp_path):
    fixed, moving = tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz"
    sitk.WriteImage(FIXED.empty_image(), str(fixed))
    header = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.float32), None)
    header.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), code=1)
    by_sform = np.diag([2.0, 2.0, 2.0, 1.0])
    by_sform[:3, 3] = 30, -20, 10
    header.set_sform(by_sform, code=2)
    nibabel.save(header, moving)
    np.savetxt(tmp_path / "still.txt", np.eye(4))
    displacement, notes = read(tmp_path / "still.txt", "niftyreg", fixed, moving=moving)
    # A voxel at RAS x by the sform is at x - (30, -20, 10) by the qform; in LPS the first two change sign.
    np.testing.assert_allclose(vectors(displacement)[3, 4, 5], (30, -20, -10), atol=1e-4)
    assert any("moving.nii.gz: its header contradicts itself" in note for note in notes)


@pytest.mark.parametrize("place", ["sform", "qform"])
def test_headers_with_one_place_or_twice_the_same_are_no_contradiction(tmp_path, place):
    image = nibabel.Nifti1Image(np.zeros(FIXED.size, np.float32), None)
    image.set_qform(FIXED.ras_matrix(), code=int(place == "qform"))
    image.set_sform(FIXED.ras_matrix(), code=int(place == "sform"))
    nibabel.save(image, tmp_path / "fixed.nii")
    np.savetxt(tmp_path / "still.txt", np.eye(4))
    displacement, notes = read(tmp_path / "still.txt", "niftyreg", tmp_path / "fixed.nii")
    assert notes == []
    np.testing.assert_allclose(vectors(displacement), 0, atol=1e-5)


# --- vectors in mm in a plain image


def plain(tmp_path, name: str, field: sitk.Image) -> Path:
    """The vectors as a scalar image of one axis more."""
    grid, dimension = Grid.of(field), field.GetDimension()
    array = vectors(field)
    path = tmp_path / name
    if ".nii" in name:
        along_ijk = np.moveaxis(array, range(dimension), range(dimension - 1, -1, -1))
        along_ijk = along_ijk if dimension == 3 else along_ijk[:, :, None]
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(along_ijk), grid.ras_matrix()), path)
        return path
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(array, -1, 0)), isVector=False)
    direction = np.eye(dimension + 1)
    direction[:dimension, :dimension] = np.reshape(grid.direction, (dimension, dimension))
    image.SetSpacing([*grid.spacing, 1.0])
    image.SetOrigin([*grid.origin, 0.0])
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("grid", [FIXED, FLAT], ids=["3D", "2D"])
@pytest.mark.parametrize("name", ["plain.nii.gz", "plain.nii", "plain.mha", "plain.nrrd"])
def test_a_plain_image_of_vectors_in_mm_is_read_along_the_axes_that_are_said(tmp_path, name, grid):
    if grid is FLAT and name.endswith(".nii.gz"):
        pytest.skip("as .nii")
    field = smooth_field(grid)
    path = plain(tmp_path, name, field)
    assert "--vectors lps or ras" in refused(path, reference=grid)
    for convention in (None, "itk", "ants"):
        displacement, notes = read(path, convention, grid, vectors="lps")
        np.testing.assert_allclose(vectors(displacement), vectors(field), atol=1e-5)
        assert notes == []
    turned = vectors(field) * ([-1, -1, 1][: grid.dimension])
    np.testing.assert_allclose(vectors(read(path, None, grid, vectors="ras")[0]), turned, atol=1e-5)
    displacement, notes = read(path, "itk", grid)
    np.testing.assert_allclose(vectors(displacement), vectors(field), atol=1e-5)
    assert "taken as LPS" in notes[0]


def test_axes_are_said_only_of_vectors_in_mm_whose_file_does_not_say_them(tmp_path):
    field = smooth_field(FIXED)
    exchange.write(field, tmp_path / "ras.nii.gz", "itk")
    exchange.write(field, tmp_path / "lps.nii.gz", "ants")
    assert "leave --vectors out" in refused(tmp_path / "ras.nii.gz", vectors="lps")
    np.testing.assert_allclose(vectors(read(tmp_path / "ras.nii.gz", vectors="ras")[0]), vectors(field), atol=1e-5)
    turned = vectors(read(tmp_path / "lps.nii.gz", vectors="ras")[0])
    np.testing.assert_allclose(turned, vectors(field) * [-1, -1, 1], atol=1e-5)
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "shift.tfm"))
    assert "leave --vectors out" in refused(tmp_path / "shift.tfm", vectors="lps")
    np.save(tmp_path / "flow.npy", np.zeros((3, *FIXED.shape)))
    assert "leave it out" in refused(tmp_path / "flow.npy", vectors="lps")
    assert "leave it out" in refused(plain(tmp_path, "plain.nii", field), "voxelmorph", vectors="lps")
    assert "choose lps or ras" in refused(tmp_path / "lps.nii.gz", vectors="xyz")


@pytest.mark.parametrize(("space", "said"), [("left-posterior-superior", False), ("right-anterior-superior", True)])
def test_a_nrrd_field_whose_grid_is_given_in_ras_says_how_its_vectors_were_taken(tmp_path, space, said):
    """The format leaves the axes of vectors to a measurement frame, which SimpleITK and Slicer leave out."""
    numbers = np.random.default_rng(0).normal(0, 2, (4, 5, 6, 3)).astype(np.float32)
    head = (
        f"NRRD0004\ntype: float\ndimension: 4\nspace: {space}\nsizes: 3 6 5 4\nendian: little\nencoding: raw\n"
        "space directions: none (2,0,0) (0,2,0) (0,0,2)\nkinds: vector domain domain domain\n"
        "space origin: (0,0,0)\n\n"
    )
    path = tmp_path / "field.nrrd"
    path.write_bytes(head.encode() + numbers.tobytes())
    with collected_warnings() as told:
        field = exchange.read(path)
    assert np.allclose(sitk.GetArrayFromImage(field), sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    assert [space in line and "--vectors ras" in line for line in told] == [True] * said
    turned = sitk.GetArrayFromImage(exchange.read(path, vectors="ras"))
    assert np.allclose(turned, numbers * [-1, -1, 1])


def test_a_field_of_scaled_whole_numbers_is_read_as_the_header_scales_it(tmp_path):
    """ITK ends the process over these."""
    field = smooth_field(FIXED)
    whole = np.round(vectors(field).transpose(2, 1, 0, 3)[:, :, :, None] * 1000).astype(np.int16)
    image = nibabel.Nifti1Image(whole, FIXED.ras_matrix())
    image.header["intent_code"] = 1007
    image.header.set_slope_inter(0.001, 0.0)
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    displacement, notes = read(tmp_path / "scaled.nii.gz")
    np.testing.assert_allclose(vectors(displacement), vectors(field), atol=1e-3)
    assert notes == []


# --- arrays


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int16])
def test_tensors_of_any_number_type_are_read(tmp_path, dtype):
    flow = (4 * torch.randn((1, 3, *FIXED.shape), generator=torch.Generator().manual_seed(0))).to(dtype)
    torch.save({"displacement": flow, "step": torch.tensor(3)}, tmp_path / "flow.pt")
    for source in (flow, flow.clone().to_sparse(), tmp_path / "flow.pt"):
        displacement, _ = read(source, "voxelmorph")
        np.testing.assert_allclose(to_voxel_flow(displacement), flow[0].float().numpy(), atol=1e-5)


def test_the_unit_of_a_half_resolution_field_can_be_said_and_the_default_is(tmp_path):
    folder = CASES / "learn2reg"
    source, reference = folder / "disp_0001_0002.npz", folder / "fixed.nii.gz"
    stored = np.load(source)["arr_0"].astype(np.float32)
    truth = np.stack([zoom(component, 2, order=1) for component in stored])  # Learn2Reg's evaluation
    for convention in ("voxelmorph", "monai"):
        displacement, notes = read(source, convention, reference, array_axes="ijk", voxel_unit="full")
        ours = to_voxel_flow(displacement)[::-1].transpose(0, 3, 2, 1)
        np.testing.assert_allclose(ours, truth, atol=1e-4)
        assert notes == []
    displacement, notes = read(source, "voxelmorph", reference, array_axes="ijk")
    np.testing.assert_allclose(to_voxel_flow(displacement)[::-1].transpose(0, 3, 2, 1), 2 * truth, atol=1e-4)
    assert "--voxel-unit full" in notes[0]
    assert read(source, "voxelmorph", reference, array_axes="ijk", voxel_unit="own")[1] == []
    assert "--voxel-unit" in refused(source, "monai", reference, array_axes="ijk")


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("side", ["end", "both"])
@pytest.mark.parametrize("zeros", [True, False])
def test_a_field_of_padded_images_is_cropped_to_the_reference_and_said(axes, side, zeros):
    random = np.random.default_rng(0)
    flow = random.normal(size=(3, *FIXED.shape)).astype(np.float32)
    shape = (32, 32, 24)  # of k, j, i: each a multiple of 8, and in neither order the same
    padded = np.zeros((1, 3, *shape), np.float32) if zeros else random.normal(size=(1, 3, *shape)).astype(np.float32)
    begin = [(n - m) // 2 if side == "both" else 0 for n, m in zip(shape, FIXED.shape)]
    padded[0][:, begin[0] : begin[0] + 19, begin[1] : begin[1] + 22, begin[2] : begin[2] + 21] = flow
    if axes == "ijk":
        padded = np.ascontiguousarray(padded.transpose(0, 1, 4, 3, 2)[:, ::-1])
    said = {} if zeros else {"padding": side, "array_axes": axes}
    displacement, notes = read(padded, "voxelmorph", **said)
    np.testing.assert_allclose(to_voxel_flow(displacement), flow, atol=1e-5)
    assert any("cropped" in note for note in notes)
    if not zeros and side == "end":
        displacement, notes = read(padded, "voxelmorph", array_axes=axes)
        np.testing.assert_allclose(to_voxel_flow(displacement), flow, atol=1e-5)
        assert any("say --padding both" in note for note in notes)


def test_an_array_that_is_merely_another_size_is_no_padded_field():
    assert "no field of" in refused(np.zeros((3, 20, 22, 21), np.float32), "voxelmorph")
    assert "no field of" in refused(np.zeros((3, 16, 32, 32), np.float32), "voxelmorph")
    assert "leave --padding out" in refused(np.zeros((3, 20, 22, 21), np.float32), "voxelmorph", padding="end")


def test_the_options_that_messages_name_are_the_command_lines(tmp_path, capsys):
    sitk.WriteImage(FIXED.empty_image(), str(tmp_path / "fixed.nrrd"))
    plain(tmp_path, "plain.nii.gz", smooth_field(FIXED))
    np.save(tmp_path / "padded.npy", np.ones((1, 3, 32, 32, 24), np.float32))
    np.save(tmp_path / "half.npy", np.ones((1, 3, 10, 11, 11), np.float32))
    common = ["--reference", str(tmp_path / "fixed.nrrd"), "--to", "itk", "--output", str(tmp_path / "out.nrrd")]
    for name, *options in (
        ("plain.nii.gz", "--vectors", "ras"),
        ("padded.npy", "--from", "voxelmorph", "--array-axes", "kji", "--padding", "both"),
        ("half.npy", "--from", "voxelmorph", "--array-axes", "kji", "--voxel-unit", "full"),
    ):
        assert main(["convert", "--input", str(tmp_path / name), *options, *common]) == 0
        capsys.readouterr()
