"""What the scenarios stand on: two volumes, a moving ball in a sequence with its segmentation, a small network."""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util

from Testing.gui.host.session import crowding, waited_for_a_processor
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


FRAMES = 6


def choose_sequence(panel, weights, folder, count=FRAMES):
    """The sequence mode with everything chosen."""
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    sequence, browser = sequence_of(count)
    parameters = panel.panel.parameters
    parameters.mode = Mode.SEQUENCE
    parameters.sequence, parameters.segmentation = sequence, drawn_segmentation()
    parameters.runFolder, parameters.network = folder, str(weights)
    return sequence, browser


def finish(host, panel, seconds=90):
    """Let the window live until its run has ended."""
    host.wait_until(lambda: not panel.panel.running, seconds, "the run")


def states(panel):
    """What is known of the frames of the result."""
    from VoxelMorphRegistrationLib.mrml.review import frame_states

    return frame_states(panel.panel.parameters.outputSequence)


def browser(panel):
    """Of the sequence that is chosen."""
    from VoxelMorphRegistrationLib.mrml.browsing import browser_of

    return browser_of(panel.panel.parameters.sequence)


def correct_by_hand(panel, number):
    """A frame of the result is changed, as the Segment Editor does."""
    browser(panel).SetSelectedItemNumber(number)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser(panel))
    proxy = browser(panel).GetProxyNode(panel.panel.parameters.outputSequence)
    name = proxy.GetSegmentation().GetNthSegmentID(0)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(proxy, name)[:] = 1
    proxy.GetSegmentation().GetSegment(name).Modified()


def longest_gap():
    """Seconds that the window may stand still; more on a busy computer that does not tell what others took of it."""
    return 0.2 if waited_for_a_processor() is not None or crowding() < 1.2 else 0.6 * crowding()


def smallest_gap(host, run, tries=3):
    """The largest gap between two ticks of the window's timer while `run(number)` runs. It is run again, with another
    number, where the window seems frozen: one that a program of another person made will not come twice.
    """
    found = []
    for number in range(tries):
        with host.tick_gaps() as gaps:
            run(number)
        found.append(gaps.largest)
        if gaps.largest < longest_gap():
            break
    return min(found)


def where(node):
    """The corners of a volume in the world, to see whether it moved."""
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    return bounds.round(3).tolist()
