"""A pipe where a file should be is refused at once and not waited for; so is a name that libraries cannot take."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import weights_file
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import read_image
from VoxelMorphRegistrationLib.files.markups import read_points
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.propagation.frames import open_frames

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


def labels(folder: Path) -> sitk.Image:
    image = sitk.GetImageFromArray(np.arange(60).reshape(3, 4, 5).astype(np.uint8) % 3)
    sitk.WriteImage(image, str(folder / "labels.nrrd"))
    return image


READERS = {
    "points.mrk.json": read_points,
    "points.fcsv": read_points,
    "points.csv": read_points,
    "card.json": Card.read,
    "frames.txt": open_frames,
    "image.nrrd": read_image,
    "labels.ctbl": lambda path: read_segmentation(path.with_name("labels.nrrd")),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    labels(tmp_path)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=name):
        READERS[name](tmp_path / name)


def test_a_pipe_among_the_slices_of_a_dicom_folder_is_refused(tmp_path):
    sitk.WriteImage(labels(tmp_path)[:, :, 0], str(tmp_path / "0.dcm"))
    os.mkfifo(tmp_path / "1.dcm")
    with pytest.raises(InputError, match="1.dcm"):
        read_image(tmp_path)


def test_a_header_that_names_no_file_at_all_is_refused(tmp_path):
    sitk.WriteImage(labels(tmp_path), str(tmp_path / "a.mha"))
    whole = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(whole.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = LO\0AL"))
    with pytest.raises(InputError, match="a.mha.*no name"):
        read_image(tmp_path / "a.mha")


def test_a_series_whose_header_does_not_say_if_its_voxels_are_binary_is_refused(tmp_path):
    """ITK ends the process over it."""
    path = tmp_path / "series.mha"
    sitk.WriteImage(sitk.JoinSeries([labels(tmp_path)] * 2), str(path))
    path.write_bytes(path.read_bytes().replace(b"BinaryData = True", b"BinaryData = "))
    with pytest.raises(InputError, match="series.mha"):
        open_frames(path)


def test_an_output_of_a_name_that_is_not_utf_8_is_refused_before_anything_is_computed(tmp_path, capsys):
    labels(tmp_path)
    given = ["--fixed", str(tmp_path / "labels.nrrd"), "--moving", str(tmp_path / "labels.nrrd")]
    status = main(["register", *given, "--output-transform", os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.nrrd")])
    assert status == 1 and "not UTF-8" in capsys.readouterr().err


def test_a_folder_of_a_name_that_is_not_utf_8_is_refused_before_anything_is_written(tmp_path, capsys):
    labels(tmp_path)
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")
    drawn = str(tmp_path / "labels.nrrd")
    frames = tmp_path / "frames.txt"
    given = ["--sequence", str(frames), "--segmentation", drawn, "--reference-frame", "0"]
    sitk.WriteImage(sitk.Cast(labels(tmp_path), sitk.sitkFloat32), str(tmp_path / "frame.nrrd"))
    frames.write_text("frame.nrrd\nframe.nrrd\n")
    (tmp_path / "cases.csv").write_text("case,sequence,segmentation,reference_frame\na,frames.txt,labels.nrrd,0\n")
    for command in (
        ["propagate", *given, "--output", folder, "--model", str(weights_file(tmp_path))],
        ["report", folder],
        ["cohort", str(tmp_path / "cases.csv"), "--output", folder],
    ):
        assert main(command) == 1
        assert "not UTF-8" in capsys.readouterr().err
        assert not Path(folder).exists()
