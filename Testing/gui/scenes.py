"""What the scenarios stand on: two volumes, a moving ball in a sequence with its segmentation, a small network."""

from __future__ import annotations

import numpy as np
import slicer

from Testing.gui.host.session import crowding
from Testing.support.propagation_cases import frame, labels
from Testing.support.scenery import node_of


def two_volumes(shift=2):
    """The fixed and the moving volume of a pair."""
    scene = slicer.mrmlScene
    return node_of(scene, frame(0), "fixed"), node_of(scene, frame(shift), "moving")


def sequence_of(count, name="cine"):
    """A sequence of `count` frames in a browser at its first."""
    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for index in range(count):
        volume = node_of(scene, frame(index % 5), "volume")
        sequence.SetDataNodeAtValue(volume, str(0.5 * index))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return sequence, browser


def drawn_segmentation():
    """A segmentation of frame 0 of `sequence_of`, as two segments."""
    from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
    from VoxelMorphRegistrationLib.mrml.segmentations import update_segmentation_node

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    update_segmentation_node(node, Segmentation.of(labels(0)))
    node.CreateDefaultDisplayNodes()
    return node


def longest_gap():
    """Seconds that the window may stand still; more where others keep the processors of this computer busy."""
    return 0.2 if crowding() < 1.2 else 0.6 * crowding()


def where(node):
    """The corners of a volume in the world, to see whether it moved."""
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    return bounds.round(3).tolist()
