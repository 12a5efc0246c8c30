"""Segmentations in files, in layers and on other grids. The oracle is SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.segmentation_cases import array, balls, grid_of, layered
from VoxelMorphRegistrationLib.annotations.segment import Segment
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation, check_labelled
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation, write_segmentation
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha", ".seg.nrrd"])
@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.int32, np.float32])
def test_a_label_image_comes_out_of_a_file_as_it_went_in(tmp_path, ending, pixel):
    image = sitk.Cast(balls(grid_of()), sitk.GetImageFromArray(np.zeros((1, 1, 1), pixel)).GetPixelID())
    path = tmp_path / f"labels{ending}"
    write_segmentation(Segmentation.of(image), path)
    again = read_segmentation(path)
    assert again.labels() == (2, 7)
    assert again.layers[0].GetPixelID() == image.GetPixelID()
    assert Grid.of(sitk.ReadImage(str(path))).same_as(grid_of())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(array(again), sitk.GetArrayFromImage(image))


def test_a_plain_nrrd_written_here_is_a_scalar_label_volume_for_everyone_and_still_has_its_names(tmp_path):
    segmentation = layered(grid_of()).flattened()
    write_segmentation(segmentation, tmp_path / "0000.nrrd")
    assert sitk.ReadImage(str(tmp_path / "0000.nrrd")).GetNumberOfComponentsPerPixel() == 1
    assert [segment.name for segment in read_segmentation(tmp_path / "0000.nrrd").segments] == [
        "liver ä|x",
        "tumour",
        "kidney",
    ]


def test_layers_names_colours_and_terminology_survive_a_file(tmp_path):
    segmentation = layered(grid_of())
    write_segmentation(segmentation, tmp_path / "organs.seg.nrrd")
    again = read_segmentation(tmp_path / "organs.seg.nrrd")
    assert again.segments == segmentation.segments
    for layer in range(2):
        np.testing.assert_array_equal(array(again, layer), array(segmentation, layer))


def test_fields_of_the_input_file_do_not_turn_up_in_the_output(tmp_path):
    image = balls(grid_of())
    image.SetMetaData("PatientName", "somebody")
    sitk.WriteImage(image, str(tmp_path / "in.nrrd"))
    write_segmentation(read_segmentation(tmp_path / "in.nrrd"), tmp_path / "out.nrrd")
    assert b"somebody" not in (tmp_path / "out.nrrd").read_bytes()


def test_a_segment_without_voxels_keeps_its_place(tmp_path):
    segments = [Segment("a", "gone", 1), Segment("b", "ball", 2), Segment("c", "other", 7)]
    write_segmentation(Segmentation.of(balls(grid_of()), segments=segments), tmp_path / "some.seg.nrrd")
    again = read_segmentation(tmp_path / "some.seg.nrrd")
    assert [segment.name for segment in again.segments] == ["gone", "ball", "other"]


def numbered(path, *described: tuple[int, str, str, int]):
    """Two balls of values 2 and 7, and segments of a number, an id, a name and a label value."""
    image = balls(grid_of())
    for number, identifier, name, label in described:
        for field, value in (("ID", identifier), ("Name", name), ("LabelValue", label), ("Layer", 0)):
            image.SetMetaData(f"Segment{number}_{field}", str(value))
    sitk.WriteImage(image, str(path))
    return path


def test_segments_are_found_whatever_numbers_are_missing_between_them(tmp_path):
    found = read_segmentation(numbered(tmp_path / "a.seg.nrrd", (1, "a", "liver", 2), (10, "b", "kidney", 7)))
    assert [(one.name, one.label) for one in found.segments] == [("liver", 2), ("kidney", 7)]


def test_two_segments_of_one_id_get_ids_of_their_own_because_slicer_would_drop_one(tmp_path):
    found = read_segmentation(numbered(tmp_path / "a.seg.nrrd", (0, "a", "liver", 2), (1, "a", "kidney", 7)))
    assert [(one.id, one.name) for one in found.segments] == [("a", "liver"), ("a_", "kidney")]


def test_a_segment_that_claims_the_background_is_refused(tmp_path):
    path = numbered(tmp_path / "a.seg.nrrd", (0, "a", "air", 0), (1, "b", "kidney", 7))
    with pytest.raises(InputError, match="Segment0_LabelValue is 0, which is the background"):
        read_segmentation(path)


def test_shares_of_voxels_are_not_taken_for_labels(tmp_path):
    path = numbered(tmp_path / "a.seg.nrrd", (0, "a", "liver", 2))
    image = sitk.ReadImage(str(path))
    image.SetMetaData("Segmentation_MasterRepresentation", "Fractional labelmap")
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="shares of a voxel.*save the segmentation again in Slicer"):
        read_segmentation(path)


def test_a_file_of_slicer_4_has_one_layer_a_segment_and_the_value_one(tmp_path):
    first = sitk.GetImageFromArray((sitk.GetArrayFromImage(balls(grid_of())) == 2).astype(np.uint8))
    second = sitk.GetImageFromArray((sitk.GetArrayFromImage(balls(grid_of())) == 7).astype(np.uint8))
    image = sitk.Compose([first, second])
    for number, name in enumerate(["liver", "kidney"]):
        image.SetMetaData(f"Segment{number}_ID", name)
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_DefaultColor", "0.25 0.5 1")
    sitk.WriteImage(image, str(tmp_path / "old.seg.nrrd"))
    old = read_segmentation(tmp_path / "old.seg.nrrd")
    assert not old.overlapping
    assert old.segments[1].colour == (0.25, 0.5, 1.0)
    simple = old.simplified()
    assert (len(simple.layers), simple.labels()) == (1, (1, 2))
    np.testing.assert_array_equal(array(simple) == 2, sitk.GetArrayFromImage(second) == 1)


def test_layers_are_found_on_the_slowest_axis_and_names_in_an_old_encoding(tmp_path):
    layers = np.zeros((2, 4, 5, 6), np.uint8)
    layers[0, 1:3, 1:3, 1:3], layers[1, 2:4, 2:4, 2:4] = 1, 1
    header = (
        "NRRD0005\ntype: uchar\ndimension: 4\nspace: left-posterior-superior\nsizes: 6 5 4 2\n"
        "space directions: (1,0,0) (0,1,0) (0,0,2) none\nkinds: domain domain domain list\nencoding: raw\n"
        "space origin: (0,0,0)\nSegment0_ID:=a\nSegment0_Name:=Ä\nSegment1_ID:=b\n\n"
    )
    (tmp_path / "slow.seg.nrrd").write_bytes(header.encode("latin-1") + layers.tobytes())
    segmentation = read_segmentation(tmp_path / "slow.seg.nrrd")
    for number in range(2):
        np.testing.assert_array_equal(array(segmentation, number), layers[number])
    write_segmentation(segmentation, tmp_path / "again.seg.nrrd")
    assert [segment.name for segment in read_segmentation(tmp_path / "again.seg.nrrd").segments] == ["Ä", "b"]


def test_overlapping_segments_stay_in_layers_and_get_values_of_their_own():
    segmentation = layered(grid_of())
    simple = segmentation.simplified()
    assert segmentation.overlapping and len(simple.layers) == 2
    labels = {segment.name: segment.label for segment in simple.segments}
    assert len(set(labels.values())) == 3
    np.testing.assert_array_equal(array(simple, 1) == labels["tumour"], array(segmentation, 1) == 7)
    np.testing.assert_array_equal(array(simple, 0) == labels["kidney"], array(segmentation, 0) == 7)


def test_flattening_shows_the_later_of_two_overlapping_segments():
    segmentation = layered(grid_of())
    flat = segmentation.flattened()
    labels = {segment.name: segment.label for segment in flat.segments}
    np.testing.assert_array_equal(array(flat) == labels["kidney"], array(segmentation, 0) == 7)
    hidden = array(segmentation, 0) == 7
    np.testing.assert_array_equal(array(flat) == labels["tumour"], (array(segmentation, 1) == 7) & ~hidden)


def test_more_segments_than_a_byte_counts_flatten_into_a_wider_type():
    grid = Grid((300, 2, 2), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    first = np.broadcast_to(np.minimum(np.arange(300), 255), grid.shape).astype(np.uint8)
    second = np.zeros(grid.shape, np.uint8)
    second[0, 0, :250] = np.arange(1, 251)
    flat = Segmentation.of(grid.image(first), grid.image(second)).flattened()
    assert flat.layers[0].GetPixelID() == sitk.sitkUInt16
    assert len(set(flat.labels())) == len(flat.segments) == 505


def test_a_cropped_segmentation_is_padded_voxel_for_voxel():
    whole = balls(grid_of())
    cropped = Segmentation.of(whole[1:19, 2:17, 1:15])
    assert cropped.placement(grid_of()) == "padded"
    np.testing.assert_array_equal(array(cropped.on_grid(grid_of())), sitk.GetArrayFromImage(whole))


def test_the_same_voxels_stored_along_other_axes_are_put_back_voxel_for_voxel():
    whole = balls(grid_of())
    stored = sitk.Flip(sitk.PermuteAxes(whole, [2, 0, 1]), [True, False, True])
    assert Segmentation.of(stored).placement(grid_of()) == "padded"
    np.testing.assert_array_equal(array(Segmentation.of(stored).on_grid(grid_of())), sitk.GetArrayFromImage(whole))


def test_a_header_rounded_by_another_tool_does_not_shift_a_voxel():
    whole = balls(grid_of())
    rounded = sitk.Image(whole)
    rounded.SetOrigin([value + 4e-4 for value in whole.GetOrigin()])
    rounded.SetSpacing([value + 1e-6 for value in whole.GetSpacing()])
    np.testing.assert_array_equal(array(Segmentation.of(rounded).on_grid(grid_of())), sitk.GetArrayFromImage(whole))


def test_a_segmentation_of_another_spacing_is_resampled_as_simpleitk_does():
    fine = grid_of((40, 36, 32), (0.5, 0.75, 1.0))
    segmentation = Segmentation.of(balls(fine))
    assert segmentation.placement(grid_of()) == "resampled"
    expected = sitk.Resample(balls(fine), grid_of().empty_image(), sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(array(segmentation.on_grid(grid_of())), sitk.GetArrayFromImage(expected))


def test_a_segmentation_of_another_place_is_refused_and_named():
    far = balls(grid_of(origin=(500.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="liver.nii.gz.*inside its frame"):
        Segmentation.of(far).on_grid(grid_of(), "liver.nii.gz")


def test_a_flat_segmentation_of_a_volume_is_refused():
    flat = sitk.GetImageFromArray(np.ones((4, 4), np.uint8))
    with pytest.raises(InputError, match="2 dimensions"):
        Segmentation.of(flat).on_grid(grid_of())


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".seg.nrrd"])
def test_a_segmentation_without_labelled_voxels_is_refused(tmp_path, ending):
    path = tmp_path / f"empty{ending}"
    sitk.WriteImage(grid_of().empty_image(sitk.sitkUInt8), str(path))
    with pytest.raises(InputError, match=f"empty{ending}.*no labelled voxel"):
        read_segmentation(path)


def test_a_segmentation_that_lost_all_labels_can_be_checked():
    with pytest.raises(InputError, match="frame 3.*no labelled voxel"):
        check_labelled(Segmentation.of(grid_of().empty_image(sitk.sitkUInt8)), "frame 3")


def test_values_that_are_not_whole_numbers_are_refused(tmp_path):
    sitk.WriteImage(sitk.Cast(balls(grid_of()), sitk.sitkFloat32) * 0.3, str(tmp_path / "soft.nrrd"))
    with pytest.raises(InputError, match="soft.nrrd.*not whole numbers"):
        read_segmentation(tmp_path / "soft.nrrd")


def test_a_series_of_label_images_is_refused(tmp_path):
    sitk.WriteImage(sitk.JoinSeries([balls(grid_of())] * 3), str(tmp_path / "series.nii.gz"))
    with pytest.raises(InputError, match="series.nii.gz.*4 dimensions"):
        read_segmentation(tmp_path / "series.nii.gz")


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "cut.seg.nrrd"
    write_segmentation(layered(grid_of()), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut.seg.nrrd"):
        read_segmentation(path)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("Segment1_Layer", "5", "layer 5"),
        ("Segment1_LabelValue", "two", "Segment1_LabelValue"),
        ("Segment2_LabelValue", "2", "same voxels"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, field, value, complaint):
    path = tmp_path / "odd.seg.nrrd"
    write_segmentation(layered(grid_of()), path)
    image = sitk.ReadImage(str(path))
    image.SetMetaData(field, value)
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match=complaint):
        read_segmentation(path)


def test_layers_are_not_written_where_they_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="seg.nrrd"):
        write_segmentation(layered(grid_of()), tmp_path / "labels.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_values_nobody_named_get_segments_of_their_own():
    segmentation = Segmentation.of(balls(grid_of()), segments=[Segment("a", "Segment_7", 2)])
    assert [segment.label for segment in segmentation.segments] == [2, 7]
    assert (
        len({segment.id for segment in segmentation.segments})
        == len({segment.name for segment in segmentation.segments})
        == 2
    )
