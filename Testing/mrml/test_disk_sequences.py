"""A folder of frames that is never loaded: browsed, propagated by its path, saved with the scene."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

from Testing.support.propagation_cases import frame, labels, write_sequence
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files import random_access
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.disk_sequences import add_disk_sequence, frames_of, show_frame
from VoxelMorphRegistrationLib.mrml.job_files import SequenceFiles
from VoxelMorphRegistrationLib.mrml.prepared_sequence import PreparedSequence
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.mrml.segmentations import update_segmentation_node


@pytest.fixture
def folder(tmp_path):
    return write_sequence(tmp_path, 4)[0]


def _shown(sequence):
    return browser_of(sequence).GetProxyNode(sequence)


def test_the_frame_that_the_browser_shows_is_read_and_the_others_are_not(scene, logic, folder):
    sequence = add_disk_sequence(scene, folder)
    assert sequence.GetNumberOfDataNodes() == 4 and sequence.GetName() == "frames"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(_shown(sequence)), sitk.GetArrayFromImage(frame(0)))
    browser_of(sequence).SetSelectedItemNumber(2)
    show_frame(sequence)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(_shown(sequence)), sitk.GetArrayFromImage(frame(2)))
    np.testing.assert_allclose(_shown(sequence).GetOrigin(), np.array(frame(2).GetOrigin()) * (-1, -1, 1))
    held = [sequence.GetNthDataNode(number).GetImageData().GetNumberOfPoints() for number in range(4)]
    assert held == [1, 1, 1, 1]


def test_a_run_takes_the_folder_by_its_path_and_writes_no_frame(scene, logic, folder, tmp_path):
    sequence = add_disk_sequence(scene, folder)
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    update_segmentation_node(drawn, Segmentation.of(labels(0)))
    prepared = PreparedSequence.of(SequenceInput(sequence, drawn, 0), SequenceOutput())
    files = SequenceFiles(prepared, tmp_path / "run")
    assert list(files.write()) == [] and files.sequence == folder
    assert not list((tmp_path / "run").rglob("frames/*"))


def test_a_folder_without_frames_adds_nothing_and_one_that_changed_is_named(scene, logic, folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="nothing"):
        add_disk_sequence(scene, tmp_path / "nothing")
    assert scene.GetNumberOfNodes() == count
    sequence = add_disk_sequence(scene, folder)
    (folder / "frame3.nrrd").unlink()
    with pytest.raises(InputError, match="holds 3 frames, .*made of 4"):
        frames_of(sequence)


def test_a_compressed_file_is_unpacked_once_however_often_its_frames_are_shown(scene, logic, tmp_path, monkeypatch):
    passes, unpack = [], random_access.unpack
    monkeypatch.setattr(random_access, "unpack", lambda *given: (passes.append(given[0].name), unpack(*given))[1])
    path = tmp_path / "cine.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([frame(index) for index in range(4)]), str(path), True)
    sequence = add_disk_sequence(scene, path)
    for index in (2, 0, 3):
        browser_of(sequence).SetSelectedItemNumber(index)
        show_frame(sequence)
        expected = sitk.GetArrayFromImage(frame(index))
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(_shown(sequence)), expected)
    assert passes == ["cine.nii.gz"]
    sitk.WriteImage(sitk.JoinSeries([frame(index) for index in (3, 2, 1, 0)]), str(path), True)
    show_frame(sequence)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(_shown(sequence)), sitk.GetArrayFromImage(frame(0)))
    assert len(passes) == 2


def test_a_file_for_which_there_was_no_room_is_unpacked_the_next_time_and_says_how_far_it_is(
    scene, logic, tmp_path, monkeypatch
):
    path = tmp_path / "cine.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([frame(index) for index in range(4)]), str(path), True)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
        with pytest.raises(InputError, match="no room"):
            add_disk_sequence(scene, path)
    shares = []
    add_disk_sequence(scene, path, shares.append)
    assert shares[-1] == 1 and shares == sorted(shares)
    add_disk_sequence(scene, path, lambda share: pytest.fail("it is unpacked already"))
