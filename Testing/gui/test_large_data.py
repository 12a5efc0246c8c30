"""What is large comes into the scene, and is looked through, while the window lives."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

from Testing.gui.scenes import browser, finish, longest_gap, smallest_gap, states

SIZE = (256, 256, 128)  # a displacement of 100 MB


@pytest.fixture(scope="module")
def displacement():
    return sitk.Image(list(SIZE), sitk.sitkVectorFloat32, 3)


@pytest.fixture
def through_the_window(host):
    """Take the items of a generator as the panel does; the largest gap between two ticks of the window's timer."""
    from VoxelMorphRegistrationLib.widgets.steps import Steps

    def take(make):
        def run(number):
            told = []
            Steps(make(number), lambda item: None, lambda: told.append(""), lambda error: told.append(error))
            host.wait_until(lambda: told, 60)
            assert told == [""]

        return smallest_gap(host, run)

    return take


def test_the_result_of_a_large_pair(host, panel, through_the_window, displacement):
    from VoxelMorphRegistrationLib.mrml.pair_images import PairImages, Results
    from VoxelMorphRegistrationLib.mrml.registration_nodes import RegistrationNodes

    values = np.zeros(SIZE[::-1], np.float32)
    fixed, moving = (slicer.util.addVolumeFromArray(values, name=name) for name in ("fixed", "moving"))
    warped = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    given = PairImages.of(RegistrationNodes(fixed, moving, warped_volume=warped))
    results = Results(displacement, None, given.seen.moving, None)
    similarity = {"metric": "ncc", "untouched": 0.0, "before": 0.0, "after": 0.0}
    report = {"model": {"name": "m", "sha256": ""}, "similarity": similarity, "folded_percent": 0.0, "doubts": []}
    assert through_the_window(lambda number: given.put_in_pieces(results, report)) < longest_gap()
    made = slicer.mrmlScene.GetFirstNodeByName("moving to fixed")
    assert made.GetTransformFromParent().GetDisplacementGrid().GetDimensions() == SIZE


def test_the_displacements_of_large_frames(host, panel, through_the_window, displacement):
    from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
    from VoxelMorphRegistrationLib.mrml.frame_sequences import FrameSequences
    from VoxelMorphRegistrationLib.mrml.prepared_sequence import PreparedSequence
    from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
    from VoxelMorphRegistrationLib.mrml.segmentations import update_segmentation_node
    from VoxelMorphRegistrationLib.mrml.volumes import image_from_volume
    from VoxelMorphRegistrationLib.propagation.frame_result import FrameResult
    from VoxelMorphRegistrationLib.space.grid import Grid

    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    volume = slicer.util.addVolumeFromArray(np.zeros(SIZE[::-1], np.int16), name="volume")
    for value in "012":
        sequence.SetDataNodeAtValue(volume, value)
    grid = Grid.of(image_from_volume(volume))
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[10:-10, 10:-10, 10:-10] = 1
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    update_segmentation_node(drawn, Segmentation.of(grid.image(labels)))
    prepared = PreparedSequence.of(SequenceInput(sequence, drawn), SequenceOutput(transforms=True))
    segmentation = prepared.drawn.segmentation
    made = []

    def frames(number):
        nodes = FrameSequences(*prepared.parts)
        made.append(nodes)
        for index in range(3):
            status = "done" if index else "reference"
            result = FrameResult(index, str(index), status, 0, segmentation=segmentation, displacement=displacement)
            yield from nodes.place(result)
            if index == 0:
                nodes.show()
            yield index

    assert through_the_window(frames) < longest_gap()
    transforms = made[-1].output.GetNodeReference("VoxelMorph.Transforms")
    held = transforms.GetNthDataNode(2).GetTransformFromParent().GetDisplacementGrid()
    assert held.GetDimensions() == SIZE and transforms.GetNumberOfDataNodes() == 3


def test_frames_of_a_scene_that_was_loaded_are_looked_through_and_edits_are_found(
    host, sequence_panel, monkeypatch, tmp_path
):
    from VoxelMorphRegistrationLib.mrml import frame_digests
    from VoxelMorphRegistrationLib.widgets import sequence_review_section

    ui, parameters = sequence_panel.ui, sequence_panel.panel.parameters
    ui.applyButton.click()
    finish(host, sequence_panel)
    proxy = browser(sequence_panel).GetProxyNode(parameters.outputSequence)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(proxy, proxy.GetSegmentation().GetNthSegmentID(0))[:] = 1
    host.save_scene(tmp_path / "scene.mrb")
    frame_digests._known.clear()
    monkeypatch.setattr(sequence_review_section, "_AT_ONCE_SECONDS", 0.0)
    host.load_scene(tmp_path / "scene.mrb")
    assert "Looking which frames were edited" in ui.resultLabel.text and not ui.acceptButton.enabled
    host.wait_until(lambda: "frames" in ui.resultLabel.text and "Looking" not in ui.resultLabel.text, 10)
    assert "1 edited by hand" in ui.numbersLabel.text and ui.acceptButton.enabled
    assert [state.edited for state in states(sequence_panel)] == [True, *[False] * 5]
