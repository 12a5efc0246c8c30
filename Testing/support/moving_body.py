"""A body that shifts by whole voxels from frame to frame, and a network that finds such shifts exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import torch
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from Testing.support.scenery import blank, node_of, points_of, rotation
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.networks import Flow

SHIFTS = (0.0, 4.0, 6.0, -2.0)  # mm, whole voxels, along the second axis of the grid, frame by frame
TIMES = ("0.5", "1.25", "2", "3.75")
DIRECTION = rotation(20)
SPACING = (2.0, 2.0, 2.5)
CENTRE = np.array([10.0, -20.0, 30.0])


class Centring(torch.nn.Module):
    """A network that shifts the moving image's centre of mass onto the fixed one's: right for a body that only
    shifts.
    """

    dimension, multiple = 3, 1

    def __init__(self, dimension=3):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.dimension = dimension

    def flow(self, fixed, moving, repeating=True):
        shift = [self._centre(moving, axis) - self._centre(fixed, axis) for axis in range(self.dimension)]
        field = torch.zeros(1, self.dimension, *fixed.shape[2:])
        for channel, voxels in enumerate(shift):
            field[:, channel] = voxels
        return Flow(field, "displacement", 1, "border", 0)

    def rough_flow(self, fixed, moving):
        return self.flow(fixed, moving)

    def finished(self, fixed, moving, rough, repeating=True, detailed=None):
        return rough

    def _centre(self, image, axis):
        weight = image[0, 0].sum(dim=tuple(other for other in range(self.dimension) if other != axis))
        return float((weight * torch.arange(len(weight))).sum() / weight.sum())


def centring(dimension=3):
    return Model(Card("centring", {"class": "none"}, space=Space(multiple=1)), Centring(dimension), "", Path("none"))


def moved(shift):
    return CENTRE + DIRECTION[:, 1] * shift


def frame(shift, size=(30, 33, 25)):
    image = blank(size, SPACING, DIRECTION)
    x = points_of(image) - moved(shift)
    body = 1 / (1 + np.exp(np.linalg.norm(x / [18, 14, 16], axis=-1) * 10 - 10))
    value = body * (150 + 50 * np.sin(x[..., 0] / 4 + 0.5) * np.cos(x[..., 1] / 5) + 3 * x[..., 0] + 2 * x[..., 2])
    out = sitk.GetImageFromArray(value.astype(np.float32))
    out.CopyInformation(image)
    return out


def ball(shift, radius, value, offset=(0, 0, 0)):
    image = blank((30, 33, 25), SPACING, DIRECTION)
    inside = np.linalg.norm(points_of(image) - moved(shift) - offset, axis=-1) < radius
    out = sitk.GetImageFromArray((inside * value).astype(np.uint8))
    out.CopyInformation(image)
    return out


def draw(scene, shift=0.0):
    """Two overlapping segments on a frame."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    for name, radius, offset, colour in (
        ("liver", 9, (0, 0, 0), (0.8, 0.3, 0.2)),
        ("lesion", 6, (5, 0, 0), (0.2, 0.9, 0.1)),
    ):
        label = node_of(scene, ball(shift, radius, 1, offset), "label", "vtkMRMLLabelMapVolumeNode")
        oriented = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(label)
        node.AddSegmentFromBinaryLabelmapRepresentation(oriented, name, colour, name)
        scene.RemoveNode(label)
    node.CreateDefaultDisplayNodes()
    return node


def centroid(segmentation_node, name):
    """LPS mm of a segment's centre, as Slicer has it."""
    image = slicer.vtkOrientedImageData()
    segmentation_node.GetBinaryLabelmapRepresentation(name, image)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    index = np.argwhere(array)[:, ::-1].mean(axis=0) + np.array(image.GetExtent()[::2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ np.append(index, 1))[:3] * (-1, -1, 1)
