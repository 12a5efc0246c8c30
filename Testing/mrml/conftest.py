"""A MRML scene of Slicer's real core (the slicer-core wheel), standing where Slicer's application keeps its own."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
import slicer
import slicer.util


@pytest.fixture(scope="session", autouse=True)
def representations():
    """As in Slicer, whose Segmentations module registers them when it starts."""
    from VoxelMorphRegistrationLib.mrml.segmentations import register_representations

    register_representations()


@pytest.fixture
def scene(monkeypatch):
    """An empty scene, also as `slicer.mrmlScene`, with the sequences logic that keeps browsers and proxies in step."""
    scene = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    yield scene
    scene.Clear(1)


@pytest.fixture(autouse=True)
def one_thread():
    from Testing.support.threads import computing_with

    with computing_with(1):
        yield


@pytest.fixture
def logic(scene):
    """The sequences logic, which keeps proxy nodes at the browser's item."""
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    return logic


@pytest.fixture
def sequence(scene, logic):
    """A volume sequence of a moving body in a browser at its third item."""
    from Testing.support.moving_body import SHIFTS, TIMES, frame
    from Testing.support.scenery import node_of

    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    node.SetIndexName("trigger time")
    node.SetIndexUnit("ms")
    for shift, time in zip(SHIFTS, TIMES):
        volume = node_of(scene, frame(shift), "volume")
        node.SetDataNodeAtValue(volume, time)
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(node.GetID())
    browser.SetSelectedItemNumber(2)
    logic.UpdateProxyNodesFromSequences(browser)
    return node
