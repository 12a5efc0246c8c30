"""A checkerboard and outlines of two volumes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

from Testing.support.propagation_cases import frame, labels
from Testing.support.scenery import node_of
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.beside import value_of
from VoxelMorphRegistrationLib.mrml.comparison import checkerboard_in_pieces, outlines_in_pieces


def test_outlines_follow_the_edge_of_the_body_and_lie_where_the_volume_lies(scene):
    volume = node_of(scene, frame(0), "moving")
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = value_of(outlines_in_pieces(volume, "Outlines"))
    tissue, body = slicer.util.arrayFromVolume(node), sitk.GetArrayFromImage(labels(0)) > 0
    assert (tissue[body] > 0).all() and (tissue > 0).mean() < 0.1 and body[tissue == 2].all()
    assert node.GetParentTransformNode() is transform and node.GetOrigin() == volume.GetOrigin()
    assert value_of(outlines_in_pieces(volume, "Outlines")) is node


def test_a_checkerboard_shows_both_volumes_and_needs_one_grid(scene):
    one, other = node_of(scene, frame(0), "fixed"), node_of(scene, frame(0), "warped")
    slicer.util.arrayFromVolume(other)[:] *= 3
    board = slicer.util.arrayFromVolume(value_of(checkerboard_in_pieces(one, other, "Checkerboard")))
    np.testing.assert_allclose(board, slicer.util.arrayFromVolume(one), atol=0.01)
    small = node_of(scene, frame(0)[2:], "small")
    with pytest.raises(InputError, match="small"):
        value_of(checkerboard_in_pieces(one, small, "Checkerboard"))
