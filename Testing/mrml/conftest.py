"""A MRML scene of Slicer's real core (the slicer-core wheel), standing where Slicer's application keeps its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
import slicer  # noqa: E402
import slicer.util  # noqa: E402

_HERE = Path(__file__).resolve().parent
for _folder in (_HERE.parents[1] / "VoxelMorphRegistration", _HERE):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


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
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def logic(scene):
    """The sequences logic, which keeps proxy nodes at the browser's item."""
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    return logic


@pytest.fixture
def sequence(scene, logic):
    """A volume sequence of a moving body in a browser at its third item."""
    from moving_body import SHIFTS, TIMES, frame
    from scenery import node_of

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
