"""Images, displacements and Slicer's own resampling for the scene's tests."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def rotation(degrees: float, axis=(0.3, 0.5, 0.8)) -> np.ndarray:
    transform = sitk.VersorTransform(tuple(np.asarray(axis, float) / np.linalg.norm(axis)), np.deg2rad(degrees))
    return np.reshape(transform.GetMatrix(), (3, 3))


#: name: fixed (size, spacing, direction), moving (size, spacing, direction); none a multiple of 16.
GEOMETRIES = {
    "axial": (((33, 30, 27), (2.0, 2.0, 2.0), np.eye(3)), ((33, 30, 27), (2.0, 2.0, 2.0), np.eye(3))),
    "oblique": (((33, 30, 27), (2.0, 2.0, 2.0), rotation(25)), ((31, 35, 26), (2.0, 1.9, 2.2), rotation(-15))),
    "anisotropic": (((50, 45, 11), (1.3, 1.5, 5.5), rotation(10)), ((28, 33, 30), (2.3, 2.0, 2.1), np.eye(3))),
    "left-handed": (
        ((33, 30, 27), (2.0, 2.0, 2.0), rotation(12) @ np.diag([1, 1, -1])),
        ((30, 33, 29), (2.1, 2.0, 2.0), np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])),
    ),
    "single slice": (((41, 37, 1), (1.5, 1.7, 3.0), np.eye(3)), ((37, 43, 1), (1.6, 1.4, 3.0), np.diag([-1, -1, 1]))),
}


def blank(size, spacing, direction, pixel=sitk.sitkFloat32) -> sitk.Image:
    """An empty image whose middle is at (10, -20, 30) mm."""
    image = sitk.Image(list(size), pixel)
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in size])
    image.SetOrigin((np.array([10.0, -20.0, 30.0]) - middle).tolist())
    return image


def texture(size, spacing, direction, seed=0) -> sitk.Image:
    """A smooth image that differs everywhere, defined in physical space: 0 to about 200, no symmetry."""
    image = blank(size, spacing, direction)
    random = np.random.default_rng(seed)
    x = points_of(image)
    value = np.zeros(x.shape[:-1])
    for _ in range(8):
        frequency, phase = random.normal(0, 0.09, 3), random.uniform(0, 6)
        value += np.sin(x @ frequency + phase)
    image_out = sitk.GetImageFromArray((100 + 25 * value).astype(np.float32))
    image_out.CopyInformation(image)
    return image_out


def points_of(image: sitk.Image) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.GetSize()], indexing="ij"), -1).astype(float)
    axes = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    return (index @ axes.T + np.asarray(image.GetOrigin())).transpose(2, 1, 0, 3)


def displacement_on(image: sitk.Image, size_mm: float = 4.0, seed: int = 1) -> sitk.Image:
    """A smooth displacement of some millimetres in every direction; in the plane for a single slice."""
    random = np.random.default_rng(seed)
    x = points_of(image)
    u = np.stack([np.sin(x @ random.normal(0, 0.05, 3) + random.uniform(0, 6)) for _ in range(3)], -1) * size_mm
    if image.GetSize()[2] == 1:
        u[..., 2] = 0
    field = sitk.GetImageFromArray(u.astype(np.float32), isVector=True)
    field.CopyInformation(image)
    return field


def node_of(scene, image: sitk.Image, name: str, class_name="vtkMRMLScalarVolumeNode"):
    """A volume node made without the library: Slicer's own way from an array and IJKToRAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    node = scene.AddNewNodeByClass(class_name, name)
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1, 1, 1]) @ matrix))
    return node


def slicer_resampled(moving, transform, fixed, nearest=False) -> np.ndarray:
    """The moving volume as Slicer shows it under `transform`, at the fixed volume's voxels, by VTK's reslice."""
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    fixed_matrix, moving_matrix = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    fixed.GetIJKToRASMatrix(fixed_matrix)
    moving.GetRASToIJKMatrix(moving_matrix)
    chain.Concatenate(fixed_matrix)
    for node_from, node_to in ((fixed.GetParentTransformNode(), None), (None, transform)):
        between = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node_from, node_to, between)
        chain.Concatenate(between)
    chain.Concatenate(moving_matrix)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(moving.GetImageData())
    reslice.SetResliceTransform(chain)
    reslice.SetOutputExtent(fixed.GetImageData().GetExtent())
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    if nearest:
        reslice.SetInterpolationModeToNearestNeighbor()
    else:
        reslice.SetInterpolationModeToLinear()
    reslice.Update()
    out = reslice.GetOutput()
    return vtk_to_numpy(out.GetPointData().GetScalars()).reshape(out.GetDimensions()[::-1]).copy()


def inside(displacement: sitk.Image, moving: sitk.Image, margin: float = 1.0) -> np.ndarray:
    """Where fixed point + u lies at least `margin` voxels inside the moving image."""
    moved = points_of(displacement) + sitk.GetArrayViewFromImage(displacement)
    axes = np.reshape(moving.GetDirection(), (3, 3)) * np.asarray(moving.GetSpacing())
    index = (moved - np.asarray(moving.GetOrigin())) @ np.linalg.inv(axes).T
    last = np.asarray(moving.GetSize()) - 1
    thick = np.asarray(moving.GetSize()) > 1
    return np.all(((index >= margin) & (index <= last - margin)) | ~thick, axis=-1)
