"""Results lie in the study of what they were made from."""

from __future__ import annotations

import pytest
import slicer
import vtk

from Testing.support.moving_body import centring, draw
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.mrml.registration import register_volumes
from VoxelMorphRegistrationLib.mrml.registration_nodes import RegistrationNodes
from VoxelMorphRegistrationLib.mrml.study import put_beside


@pytest.fixture
def tree(scene):
    """The subject hierarchy, with an item for each node that is added: in Slicer its plugins make these."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller, event, node):
        if not node.GetHideFromEditors():
            tree.CreateItem(tree.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, added)
    return tree


@pytest.fixture
def study(tree):
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    return tree.CreateStudyItem(patient, "study")


def place(tree, node):
    return tree.GetItemParent(tree.GetItemByDataNode(node))


def test_sequences_table_and_plot_lie_beside_the_volume_of_the_sequence(scene, tree, study, sequence):
    tree.CreateItem(study, browser_of(sequence).GetProxyNode(sequence))
    inputs, outputs = SequenceInput(sequence, draw(scene)), SequenceOutput(transforms=True)
    output = propagate_segmentation(inputs, outputs, None, centring())
    roles = [output.GetNodeReference(f"VoxelMorph.{role}") for role in ("Transforms", "Table", "Plot")]
    proxy = browser_of(sequence).GetProxyNode(output)
    assert [place(tree, node) for node in (output, proxy, *roles)] == [study] * 5


def test_a_transform_lies_beside_the_moving_volume(scene, tree, study, sequence):
    fixed, moving = (sequence.GetNthDataNode(number) for number in (0, 1))
    fixed, moving = (scene.CopyNode(node) for node in (fixed, moving))
    tree.SetItemParent(tree.GetItemByDataNode(moving), study)
    transform = register_volumes(RegistrationNodes(fixed=fixed, moving=moving), centring())
    assert place(tree, transform) == study


def test_what_a_person_has_put_elsewhere_stays_there(scene, tree, study):
    volume, result = (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("volume", "result"))
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "mine")
    tree.SetItemParent(tree.GetItemByDataNode(volume), study)
    tree.SetItemParent(tree.GetItemByDataNode(result), folder)
    put_beside(volume, [result, None])
    assert place(tree, result) == folder
