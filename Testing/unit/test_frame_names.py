"""Which files are the frames: never the segmentation, never another kind of image, and none without its number."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation


def write(folder, *names, dtype=np.int16, size=(6, 6, 6)):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        array = np.random.default_rng(number).integers(0, 2, size[::-1]).astype(dtype)
        (folder / name).parent.mkdir(exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name))


def names(frames):
    return [frames.file(index).name for index in range(len(frames))]


def test_the_given_segmentation_is_no_frame_of_its_folder(tmp_path):
    write(tmp_path, "phase1.nrrd", "phase2.nrrd", "phase10.nrrd")
    write(tmp_path, "heart.nrrd", dtype=np.uint8)
    for source in (tmp_path, str(tmp_path / "*.nrrd")):
        frames = open_frames(source, [str(tmp_path / ".." / tmp_path.name / "heart.nrrd")])
        assert names(frames) == ["phase1.nrrd", "phase2.nrrd", "phase10.nrrd"]
    assert names(Propagation(tmp_path, tmp_path / "heart.nrrd").frames)[0] == "phase1.nrrd"


def test_a_mask_per_frame_beside_the_frames_is_refused_and_named(tmp_path):
    write(tmp_path, "patient001_frame01.nii.gz", "patient001_frame12.nii.gz")
    write(tmp_path, "patient001_frame01_gt.nii.gz", "patient001_frame12_gt.nii.gz")
    with pytest.raises(InputError, match=r"patient001_frame01.nii.gz.*patient001_frame.._gt.nii.gz"):
        open_frames(tmp_path)
    # One of them is the segmentation; the other is still none of the frames.
    with pytest.raises(InputError, match="patient001_frame12_gt"):
        open_frames(tmp_path, [tmp_path / "patient001_frame01_gt.nii.gz"])
    frames = open_frames(str(tmp_path / "*frame[0-9][0-9].nii.gz"))
    assert names(frames) == ["patient001_frame01.nii.gz", "patient001_frame12.nii.gz"]


@pytest.mark.parametrize("other", [dict(dtype=np.uint8), dict(size=(6, 6, 6, 3)), dict(size=(7, 6, 6))])
def test_images_of_another_kind_under_another_name_are_refused_and_named(tmp_path, other):
    write(tmp_path, "phase1.nrrd", "phase2.nrrd")
    write(tmp_path, "whole.nrrd", **other)
    with pytest.raises(InputError, match=r"mixes kinds.*phase1.nrrd and 1 more .*whole.nrrd"):
        open_frames(tmp_path)


def test_names_without_numbers_are_frames_when_their_images_are_alike(tmp_path):
    write(tmp_path, "rest.nrrd", "inhale.nrrd", "exhale.nrrd")
    assert names(open_frames(tmp_path)) == ["exhale.nrrd", "inhale.nrrd", "rest.nrrd"]


def test_an_image_without_a_number_among_numbered_ones_is_refused_and_named(tmp_path):
    """It would be the first frame or the last, by its name alone."""
    write(tmp_path, "phase1.nrrd", "phase2.nrrd", "average.nrrd")
    with pytest.raises(InputError, match=r"phase1.nrrd and 1 more.*average.nrrd, which has no number; .*pattern"):
        open_frames(tmp_path)
    assert names(open_frames(str(tmp_path / "phase*.nrrd"))) == ["phase1.nrrd", "phase2.nrrd"]


def test_the_first_of_a_numbered_series_may_have_no_number_as_slicer_names_copies(tmp_path):
    write(tmp_path, "Volume.nrrd", "Volume_1.nrrd", "Volume_2.nrrd", "Volume_10.nrrd")
    assert names(open_frames(tmp_path)) == ["Volume.nrrd", "Volume_1.nrrd", "Volume_2.nrrd", "Volume_10.nrrd"]
    write(tmp_path / "scans", "scan1.nrrd", "scan.nrrd", "scan2.nrrd")
    assert names(open_frames(tmp_path / "scans")) == ["scan.nrrd", "scan1.nrrd", "scan2.nrrd"]


def test_a_segmentation_that_is_numbered_like_the_frames_is_refused(tmp_path):
    write(tmp_path, "0000.nrrd", "0001.nrrd", "0002.nrrd")
    with pytest.raises(InputError, match="0001.nrrd is given as segmentation .* named like the frames"):
        open_frames(tmp_path, [tmp_path / "0001.nrrd"])


def test_a_list_that_names_the_segmentation_is_refused(tmp_path):
    write(tmp_path, "a.nrrd", "b.nrrd")
    (tmp_path / "list.txt").write_text("a.nrrd\nb.nrrd\n")
    with pytest.raises(InputError, match="lists b.nrrd"):
        open_frames(tmp_path / "list.txt", [tmp_path / "b.nrrd"])


def test_one_frame_in_two_forms_is_refused(tmp_path):
    write(tmp_path, "frame1.nrrd", "frame2.nrrd", "frame2.nii.gz")
    with pytest.raises(InputError, match="one frame twice"):
        open_frames(tmp_path)


def test_what_is_named_like_a_frame_and_is_none_keeps_its_number(tmp_path):
    write(tmp_path, "frame0.nrrd", "frame2.nrrd", "frame5.nrrd")
    (tmp_path / "frame1.nrrd").mkdir()
    os.symlink(tmp_path / "nowhere.nrrd", tmp_path / "frame3.nrrd")
    os.symlink(tmp_path / "frame4.nrrd", tmp_path / "frame4.nrrd")
    frames = open_frames(tmp_path)
    assert names(frames) == [f"frame{index}.nrrd" for index in range(6)]
    for index in (1, 3, 4):
        with pytest.raises(InputError, match=f"frame{index}.nrrd"):
            frames[index]
    assert frames[5].GetSize() == (6, 6, 6)


def dicom(folder, times=(0,), depths=range(5), shear=0.0, start=0):
    """A series of one slice a depth and time, written as scanners do."""
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    number = start
    for time in times:
        for depth in depths:
            plane = sitk.GetImageFromArray(np.random.default_rng(number).integers(0, 99, (1, 6, 7)).astype(np.int16))
            tags = {
                "0020|000e": "1.2.3.4", "0008|0018": f"1.2.3.5.{number + 1}", "0018|1060": f"{time}",
                "0020|0013": f"{number}", "0020|0032": f"0\\{shear * depth}\\{2.5 * depth}",
                "0020|0037": "1\\0\\0\\0\\1\\0", "0008|0060": "MR",
            }  # fmt: skip
            for tag, value in tags.items():
                plane.SetMetaData(tag, value)
            writer.SetFileName(str(folder / f"IM{number:04d}.dcm"))
            writer.Execute(plane)
            number += 1
    return folder


def test_a_dicom_folder_of_several_times_is_refused_with_the_times(tmp_path):
    from VoxelMorphRegistrationLib.files.images import read_image

    folder = dicom(tmp_path / "cine", times=(0, 40, 80))
    for call in (read_image, open_frames):
        with pytest.raises(InputError, match="15 slices at 5 positions.*3, by trigger time: 0, 40, 80 ms"):
            call(folder)


@pytest.mark.parametrize(
    "depths, told", [([0, 1, 3, 4, 5], "1 slice.* at 5 mm"), ([0, 1, 2, 5, 6], "2 slice.* at 7.5 mm, 10 mm")]
)
def test_a_dicom_folder_with_a_slice_missing_is_refused_with_its_position(tmp_path, depths, told):
    from VoxelMorphRegistrationLib.files.images import read_image

    with pytest.raises(InputError, match=told):
        read_image(dicom(tmp_path / "series", depths=depths))
    assert read_image(dicom(tmp_path / "whole")).GetSize() == (7, 6, 5)


def test_uneven_and_sheared_stacks_of_dicom_slices_are_refused(tmp_path):
    from VoxelMorphRegistrationLib.files.images import read_image

    with pytest.raises(InputError, match="not evenly spaced"):
        read_image(dicom(tmp_path / "uneven", depths=[0, 1, 2, 3, 4, 4.4, 4.8, 5.2]))
    with pytest.raises(InputError, match="sheared by 2"):
        read_image(dicom(tmp_path / "tilted", shear=1.0))


def test_dicom_folders_are_frames_and_an_empty_one_among_them_keeps_its_number(tmp_path):
    for index, name in enumerate(("phase0", "phase2", "phase10")):
        dicom(tmp_path / "frames" / name, start=10 * index)
    (tmp_path / "frames" / "phase1").mkdir()
    (tmp_path / "frames" / "notes").mkdir()
    frames = open_frames(tmp_path / "frames")
    assert names(frames) == ["phase0", "phase1", "phase2", "phase10"]
    assert frames[3].GetSize() == (7, 6, 5)
    with pytest.raises(InputError, match="phase1"):
        frames[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_frame_whose_name_is_not_utf_8_fails_alone_and_can_be_written_about(tmp_path):
    write(tmp_path, "frame0.nrrd", "frame2.nrrd")
    os.rename(tmp_path / "frame0.nrrd", os.fsdecode(os.fsencode(tmp_path) + b"/frame1\xe9.nrrd"))
    frames = open_frames(tmp_path)
    with pytest.raises(InputError, match="rename it"):
        frames[0]
    assert frames.name(0).encode() == rb"frame 0 (frame1\udce9.nrrd)"
    assert frames[1].GetSize() == (6, 6, 6)


def test_numbers_have_signs_where_some_names_have_a_dash_and_others_none_and_that_is_said(tmp_path):
    write(tmp_path, "f-1.nrrd", "f0.nrrd", "f1.nrrd", "f-10.nrrd")
    for source in (tmp_path, str(tmp_path / "f*.nrrd")):
        frames = open_frames(source)
        assert names(frames) == ["f-10.nrrd", "f-1.nrrd", "f0.nrrd", "f1.nrrd"]
        assert frames.order.startswith("f-10.nrrd, f-1.nrrd, f0.nrrd, f1.nrrd (numbers are read with their signs")
        assert len(frames.notes) == 1 and "f-10.nrrd is the first and f1.nrrd the last" in frames.notes[0]


def test_times_before_and_after_are_in_the_order_of_their_numbers(tmp_path):
    write(tmp_path, "t-0.5s.nrrd", "t0.25s.nrrd", "t-1.5s.nrrd", "t0.1s.nrrd")
    assert names(open_frames(tmp_path)) == ["t-1.5s.nrrd", "t-0.5s.nrrd", "t0.1s.nrrd", "t0.25s.nrrd"]


def test_a_dash_in_all_names_is_a_dash_and_a_dry_run_gives_the_order_that_follows(tmp_path):
    write(tmp_path, *(f"scan-{number}.nrrd" for number in (10, 9, 1, 2, 3, 4, 5)))
    frames = open_frames(tmp_path)
    assert names(frames) == [f"scan-{number}.nrrd" for number in (1, 2, 3, 4, 5, 9, 10)]
    assert frames.order.startswith(
        "scan-1.nrrd, scan-2.nrrd, scan-3.nrrd, ..., scan-5.nrrd, scan-9.nrrd, scan-10.nrrd ("
    )
    assert "a dash before them as a dash" in frames.order and frames.notes == []


@pytest.mark.parametrize("one, other", [("2024-1-2", "2024-1-10"), ("p3-frame2", "p3-frame10"), ("1.5", "1.20")])
def test_a_dash_or_point_between_numbers_is_none_of_a_number(tmp_path, one, other):
    write(tmp_path, f"{one}.nrrd", f"{other}.nrrd")
    frames = open_frames(tmp_path)
    assert names(frames) == [f"{one}.nrrd", f"{other}.nrrd"]
    # Decimal places or parts of a version: only these can be read in two ways.
    assert bool(frames.order) == (one == "1.5")


def test_a_dry_run_prints_the_order_where_names_can_be_read_in_two_ways(tmp_path, capsys):
    from Testing.support.propagation_cases import frame, labels, weights_file
    from VoxelMorphRegistrationLib.cli.main import main

    (tmp_path / "frames").mkdir()
    for number in (-1, 0, 1):
        sitk.WriteImage(frame(number), str(tmp_path / "frames" / f"f{number}.nrrd"))
    sitk.WriteImage(labels(0), str(tmp_path / "labels.nrrd"))
    given = ["--sequence", tmp_path / "frames", "--segmentation", tmp_path / "labels.nrrd", "--reference-frame", 1]
    given += ["--model", weights_file(tmp_path), "--output", tmp_path / "out", "--dry-run"]
    assert main(["propagate", *map(str, given)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("order           f-1.nrrd, f0.nrrd, f1.nrrd (")
    assert "note: " in printed.err and "read with their signs" in printed.err


def test_several_kinds_of_numbered_names_are_all_frames_and_that_is_said(tmp_path):
    write(tmp_path, "exhale1.nrrd", "exhale2.nrrd", "inhale1.nrrd", "inhale2.nrrd")
    (note,) = open_frames(tmp_path).notes
    assert "2 kinds of names" in note and "exhale1.nrrd and 1 more, inhale1.nrrd and 1 more" in note


def test_a_folder_of_folders_of_images_is_refused_with_what_each_holds(tmp_path):
    write(tmp_path / "images", "a1.nrrd", "a2.nrrd")
    write(tmp_path / "labels", "a1.nrrd", "a2.nrrd", dtype=np.uint8)
    with pytest.raises(
        InputError, match=r"images \(a1.nrrd and 1 more\), labels .*give the folder .*such as .*images$"
    ):
        open_frames(tmp_path)
    write(tmp_path / "old", "x.nrrd")
    with pytest.raises(InputError, match=r"old \(x.nrrd\)"):
        open_frames(tmp_path)


def test_a_folder_with_one_image_in_each_of_its_folders_is_refused_with_the_pattern(tmp_path):
    for number in range(3):
        write(tmp_path / f"phase{number}", "image.nii.gz")
    with pytest.raises(InputError, match=r"phase2 \(image.nii.gz\); give a pattern .*'.*/\*/image.nii.gz'"):
        open_frames(tmp_path)
    assert len(open_frames(str(tmp_path / "*" / "image.nii.gz"))) == 3


def test_folders_of_images_beside_dicom_folders_are_refused_and_one_named_like_them_fails(tmp_path):
    for index in range(2):
        dicom(tmp_path / f"phase{index}", start=10 * index)
    write(tmp_path / "phase2", "stray.nrrd")
    frames = open_frames(tmp_path)
    assert names(frames) == ["phase0", "phase1", "phase2"]
    with pytest.raises(InputError, match="phase2"):
        frames[2]
    write(tmp_path / "drawn", "phase0.nrrd", "phase1.nrrd")
    with pytest.raises(InputError, match=r"beside 3 others: drawn \(phase0.nrrd and 1 more\)"):
        open_frames(tmp_path)
