"""What cannot work is named, with what to do, and Apply is there again: every choice a person can get wrong."""

from __future__ import annotations

import resource
import signal

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from Testing.gui.scenes import FRAMES, choose_sequence, finish, two_volumes


@pytest.fixture
def pair_panel(panel, weights, warm_worker):
    panel.panel._worker = warm_worker
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = two_volumes()
    parameters.network = str(weights)
    return panel


def refusal(host, panel):
    """What is said of what was chosen; nothing may be left running, or in the scene."""
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    finish(host, panel, 30)
    shown = host.dialogs.shown[-1]
    assert shown.kind == "Critical" and panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    return shown.text


def moved_far():
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "far")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 5000.0)
    transform.SetMatrixTransformToParent(matrix)
    return transform.GetID()


def like(volume, values, name):
    node = slicer.util.addVolumeFromArray(values, name=name)
    node.CopyOrientation(volume)
    return node


def test_what_has_to_be_chosen_first_stands_at_the_button(host, panel, weights, tmp_path):
    ui, parameters = panel.ui, panel.panel.parameters
    parameters.fixedVolume, _ = two_volumes()
    parameters.movingVolume = parameters.fixedVolume
    assert not ui.applyButton.enabled and ui.applyButton.toolTip == "Choose two different volumes"
    choose_sequence(panel, weights, tmp_path / "run")
    assert ui.applyButton.enabled and ui.tryButton.enabled
    drawn, parameters.segmentation = parameters.segmentation, None
    assert not ui.applyButton.enabled and "what was drawn on one frame" in ui.applyButton.toolTip
    parameters.segmentation, sequence, parameters.sequence = drawn, parameters.sequence, None
    assert not ui.tryButton.enabled and ui.applyButton.toolTip == "Choose a sequence of volumes"
    lonely = parameters.sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "lonely")
    lonely.SetDataNodeAtValue(sequence.GetNthDataNode(0), "0")
    assert not ui.applyButton.enabled and "no second frame" in ui.applyButton.toolTip


def hollow(parameters):
    parameters.movingVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")


def one_slice(parameters):
    parameters.fixedVolume = slicer.util.addVolumeFromArray(np.eye(24)[None], name="flat")


def squeezed(parameters):
    parameters.movingVolume.SetSpacing(1.0, 0.0, 1.0)


def elsewhere(parameters):
    parameters.movingVolume.SetOrigin(5000.0, 0.0, 0.0)


def without_numbers(parameters):
    shape = slicer.util.arrayFromVolume(parameters.movingVolume).shape
    parameters.movingVolume = like(parameters.movingVolume, np.full(shape, np.nan), "nothing in it")


@pytest.mark.parametrize(
    "spoil, said",
    [
        (hollow, ("hollow", "it holds no voxels; load or choose another volume")),
        (one_slice, ("flat", "one slice cannot be registered with the volume moving", "choose two volumes")),
        (squeezed, ("moving", "voxel spacing or axis directions are unusable", "Volumes module")),
        (elsewhere, ("fixed, moving", "do not overlap in space")),
        (without_numbers, ("nothing in it", "no voxel holds a finite number")),
    ],
)
def test_a_volume_that_cannot_be_registered_is_named(host, pair_panel, spoil, said):
    spoil(pair_panel.panel.parameters)
    message = refusal(host, pair_panel)
    assert all(words in message for words in said), message
    assert "voxelmorph-" not in message  # a file that no person has seen


def test_a_network_file_that_is_gone_or_no_network_and_a_gpu_that_is_not_there_are_named(host, pair_panel, tmp_path):
    parameters = pair_panel.panel.parameters
    parameters.network = str(tmp_path / "gone.pt")
    assert "gone.pt: there is no such weights file" in refusal(host, pair_panel)
    (tmp_path / "letter.pt").write_text("Dear colleague")
    parameters.network = str(tmp_path / "letter.pt")
    assert "letter.pt: not a torch weights file" in refusal(host, pair_panel)
    parameters.network, parameters.device = "", "cuda:99"
    assert "device 'cuda:99'" in refusal(host, pair_panel)


def outside(parameters):
    parameters.segmentation.SetAndObserveTransformNodeID(moved_far())


def blank(parameters):
    parameters.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "blank")
    parameters.segmentation.GetSegmentation().AddEmptySegment("liver")


def not_a_frame(parameters):
    parameters.referenceFrame = 99


def of_transforms(parameters):
    fields = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "fields")
    for value in "01":
        fields.SetDataNodeAtValue(slicer.vtkMRMLLinearTransformNode(), value)
    parameters.sequence = fields


def below_a_file(parameters):
    parameters.runFolder.write_text("a file")
    parameters.runFolder = parameters.runFolder / "below"


@pytest.mark.parametrize(
    "spoil, said",
    [
        (outside, ("organs", "none of its labelled voxels lies inside its frame", "under the same transform")),
        (blank, ("blank", "has no labelled voxel; draw at least one segment")),
        (not_a_frame, ("reference frame 99", f"has the frames 0 to {FRAMES - 1}; choose one")),
        (of_transforms, ("fields", "LinearTransform nodes; choose a sequence of volumes")),
        (below_a_file, ("below", "cannot be made", "choose another run folder")),
    ],
)
def test_a_sequence_that_cannot_be_propagated_is_named(host, sequence_panel, spoil, said):
    spoil(sequence_panel.panel.parameters)
    message = refusal(host, sequence_panel)
    assert all(words in message for words in said), message


def test_a_run_folder_in_which_another_run_works_is_left_to_it(host, sequence_panel, tmp_path):
    from VoxelMorphRegistrationLib.files.lock import FolderLock

    (tmp_path / "run").mkdir()
    lock = FolderLock(tmp_path / "run")
    assert str(tmp_path / "run") in refusal(host, sequence_panel)
    lock.release()
    sequence_panel.ui.applyButton.click()
    finish(host, sequence_panel)
    assert sequence_panel.ui.statusLabel.text == "Done."


def test_a_disk_that_is_full_is_said_and_nothing_half_written_stays(host, sequence_panel, tmp_path):
    """The system refuses to write more than so much of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[0][1]))
    try:
        message = refusal(host, sequence_panel)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    assert "cannot be written" in message and "free space or choose another folder" in message
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_frames_of_another_size_are_found_all_the_same(host, sequence_panel):
    sequence = sequence_panel.panel.parameters.sequence
    smaller = slicer.vtkMRMLScalarVolumeNode()
    smaller.CopyContent(sequence.GetNthDataNode(3))
    values = slicer.util.arrayFromVolume(smaller)[2:-2, 2:-2, 2:-2].copy()
    corner = [0.0] * 4
    matrix = vtk.vtkMatrix4x4()
    smaller.GetIJKToRASMatrix(matrix)
    matrix.MultiplyPoint((2.0, 2.0, 2.0, 1.0), corner)
    smaller.SetOrigin(corner[:3])
    slicer.util.updateVolumeFromArray(smaller, values)
    sequence.SetDataNodeAtValue(smaller, sequence.GetNthIndexValue(3))
    sequence_panel.ui.applyButton.click()
    finish(host, sequence_panel)
    output = sequence_panel.panel.parameters.outputSequence
    assert sequence_panel.ui.statusLabel.text == "Done." and output.GetNumberOfDataNodes() == FRAMES
    statuses = [output.GetNthDataNode(number).GetAttribute("VoxelMorph.Status") for number in range(FRAMES)]
    assert statuses == ["reference", *["done"] * (FRAMES - 1)]
