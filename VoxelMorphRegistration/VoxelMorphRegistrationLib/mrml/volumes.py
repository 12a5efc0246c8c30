"""Volume nodes and images: where a node's voxels lie in the world, whatever it hangs under.

An image made here is in LPS millimetres of the WORLD. A parent transform under which the voxel axes stay perpendicular
(rigid, reflecting, scaling along them) only changes the image's geometry: no voxel is touched. Any other parent (shear,
grid, B-spline) does not fit an image header, so the voxels are resampled onto a straight grid that holds all of them;
the node itself is never changed.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from ..errors import InputError
from ..space.affine import apply_affine
from ..space.grid import Grid
from .geometry import (
    apply_to_lps,
    flip_lps_ras,
    linear_matrix,
    matrix_from_vtk,
    matrix_to_vtk,
    nearest_rotation,
    sheared,
    transform_between,
)

_INTO_32_BITS = {sitk.sitkInt64: sitk.sitkInt32, sitk.sitkUInt64: sitk.sitkUInt32}


def is_label_volume(node: slicer.vtkMRMLVolumeNode) -> bool:
    return bool(node.IsA("vtkMRMLLabelMapVolumeNode"))


def image_from_volume(
    node: slicer.vtkMRMLVolumeNode, below: slicer.vtkMRMLTransformNode | None = None, labels: bool | None = None
) -> sitk.Image:
    """The voxels of a volume node as a 3D image (vector pixels for a vector volume) in LPS mm of the world.

    Args:
        node: a scalar, label or vector volume node; a single slice gives an image of one slice.
        below: take the coordinates below this transform node of its parents instead of the world's.
        labels: resample, where that is needed, by nearest neighbour; default: as a label volume node demands.

    Raises InputError for a node without voxels, or whose voxel axes are not three different directions.
    """
    array = _voxels(node)
    if labels is None:
        labels = is_label_volume(node)
    outside = 0.0 if labels or array.ndim == 4 else node.GetImageBackgroundScalarComponentAsDouble(0)
    to_frame = transform_between(node.GetParentTransformNode(), below)
    return placed_image(array, local_ijk_to_ras(node), to_frame, labels, outside, describe(node))


def grid_of_volume(node: slicer.vtkMRMLVolumeNode) -> Grid:
    """Where the voxels of `image_from_volume` lie; mostly without a look at them. Raises InputError as it does."""
    array, to_world = _voxels(node), transform_between(node.GetParentTransformNode(), None)
    grid = _placed_grid(array, local_ijk_to_ras(node), linear_matrix(to_world), describe(node))
    return Grid.of(image_from_volume(node)) if grid is None else grid


def _voxels(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        raise InputError(f"{describe(node)}: it holds no voxels; load or choose another volume")
    return slicer.util.arrayFromVolume(node)


def placed_image(
    array: np.ndarray,
    ijk_to_ras_matrix: np.ndarray,
    to_frame: vtk.vtkGeneralTransform,
    labels: bool,
    outside: float,
    name: str,
) -> sitk.Image:
    """Voxels (k, j, i) or (k, j, i, components) of a node as an image, in the coordinates that `to_frame` leads to
    (LPS mm).

    Their geometry is changed where that is enough; else they are resampled (by nearest neighbour when `labels`), with
    `outside` where there are none. Raises InputError, beginning with `name`, for unusable axes.
    """
    grid = _placed_grid(array, ijk_to_ras_matrix, linear_matrix(to_frame), name)
    if grid is not None:
        return grid.image(array, vector=array.ndim == 4)
    return _straightened(array, ijk_to_ras_matrix, to_frame, labels, outside)


def _placed_grid(array: np.ndarray, ijk_to_ras_matrix: np.ndarray, matrix: np.ndarray | None, name: str) -> Grid | None:
    """The grid of voxels (k, j, i, ...) moved by a matrix; None where they have to be resampled, as under a transform
    that is not linear (no matrix). Raises InputError, beginning with `name`, for unusable axes.
    """
    placed = ijk_to_ras_matrix if matrix is None else matrix @ ijk_to_ras_matrix
    if not np.all(np.isfinite(placed)) or abs(np.linalg.det(placed[:3, :3])) < 1e-12:
        raise InputError(
            f"{name}: its voxel spacing or axis directions are unusable (a zero, a NaN, or two axes along one "
            "line); correct them in the Volumes module"
        )
    if matrix is None or sheared(placed[:3, :3]):
        return None
    return Grid.from_ras_matrix(tuple(reversed(array.shape[:3])), placed)


def update_volume(
    node: slicer.vtkMRMLVolumeNode, image: sitk.Image, parent: slicer.vtkMRMLTransformNode | None = None
) -> None:
    """Replace the voxels and geometry of a volume node by those of an image in LPS mm of the world, in one
    modification.

    The node hangs under `parent` afterwards (None: directly in the world), at the same place in the world. 2D images
    become one slice; 64-bit whole numbers, which Slicer cannot show, 32-bit ones (or float64 when they do not fit).
    Raises InputError when the node's class cannot hold the pixels, or `parent` is not linear.
    """
    if image.GetNumberOfComponentsPerPixel() > 1 and not node.IsA("vtkMRMLVectorVolumeNode"):
        raise InputError(f"{describe(node)}: vectors do not fit a {node.GetClassName()}; choose a vector volume")
    image = _slicer_pixels(as_3d(image))
    geometry = Grid.of(image).ras_matrix()
    if parent is not None:
        matrix = linear_matrix(transform_between(None, parent))
        if matrix is None:
            raise InputError(f"{describe(parent)}: not linear, so no image grid fits under it; harden it first")
        geometry = matrix @ geometry
    modifying = node.StartModify()
    try:
        node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
        node.SetIJKToRASMatrix(matrix_to_vtk(geometry))
        # A volume node shares its vtkImageData with shallow copies of itself, so it gets one of its own.
        node.SetAndObserveImageData(None)
        slicer.util.updateVolumeFromArray(node, sitk.GetArrayViewFromImage(image))
    finally:
        node.EndModify(modifying)


def add_volume(
    scene: slicer.vtkMRMLScene,
    image: sitk.Image,
    name: str,
    labels: bool = False,
    parent: slicer.vtkMRMLTransformNode | None = None,
) -> slicer.vtkMRMLVolumeNode:
    """A new volume node (label volume when `labels`, vector volume for vector pixels) that holds an image; shown as
    usual.
    """
    if labels:
        class_name = "vtkMRMLLabelMapVolumeNode"
    else:
        vector = image.GetNumberOfComponentsPerPixel() > 1
        class_name = "vtkMRMLVectorVolumeNode" if vector else "vtkMRMLScalarVolumeNode"
    node = scene.AddNewNodeByClass(class_name, name)
    update_volume(node, image, parent)
    node.CreateDefaultDisplayNodes()
    return node


def folded_parent(node: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLTransformNode | None:
    """The parent under which a result on this volume's grid can hang voxel on voxel; None when it was resampled."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    matrix = linear_matrix(transform_between(parent, None))
    if matrix is None or sheared((matrix @ local_ijk_to_ras(node))[:3, :3]):
        return None
    return parent


def as_3d(image: sitk.Image) -> sitk.Image:
    """A 2D image as one slice of a 3D one, on the plane z = 0 with a slice 1 mm thick; a 3D image as it is."""
    return sitk.JoinSeries([image]) if image.GetDimension() == 2 else image


def describe(node: slicer.vtkMRMLNode) -> str:
    """How a message names a node."""
    return f"{node.GetName() or node.GetID()} ({node.GetNodeTagName()})"


def local_ijk_to_ras(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4), voxel index to RAS mm of the coordinates that the node has below its parent transform."""
    matrix = matrix_to_vtk(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    return matrix_from_vtk(matrix)


def _straightened(
    array: np.ndarray, local: np.ndarray, to_frame: vtk.vtkGeneralTransform, labels: bool, outside: float
) -> sitk.Image:
    """Voxels resampled through a transform onto a straight grid that holds all of them, at the spacing they had."""
    size = np.array(array.shape[2::-1])
    lps = flip_lps_ras(local)
    # Sides may bulge under a warp, so more than the corners is looked at (Slicer's own bounds sample 8 along an axis
    # too).
    steps = [np.linspace(-0.5, n - 0.5, 9) for n in size]
    index = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    moved = apply_to_lps(to_frame, apply_affine(lps, index))
    matrix = linear_matrix(to_frame)
    axes = lps[:3, :3] if matrix is None else flip_lps_ras(matrix @ local)[:3, :3]
    direction = nearest_rotation(axes)
    spacing = np.linalg.norm(axes, axis=0)
    along = moved @ direction
    low, high = along.min(axis=0), along.max(axis=0)
    count = np.maximum(np.ceil((high - low) / spacing - 1e-3).astype(int), 1)
    origin = direction @ ((low + high) / 2 - (count - 1) / 2 * spacing)
    grid = Grid(tuple(count.tolist()), tuple(spacing), tuple(origin), tuple(direction.ravel()))

    # Both grids are taken to index space of the voxels, so that a shear in `local` itself is straightened as well.
    points = grid.points()
    back = apply_to_lps(to_frame.GetInverse(), points)
    in_index = apply_affine(np.linalg.inv(lps), back)
    source = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    pull = sitk.DisplacementFieldTransform(grid.image(in_index - points, vector=True))
    reference = grid.empty_image(sitk.sitkUInt8)
    interpolator = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    return sitk.Resample(source, reference, pull, interpolator, outside, source.GetPixelID())


def _slicer_pixels(image: sitk.Image) -> sitk.Image:
    narrow = _INTO_32_BITS.get(image.GetPixelID())
    if narrow is None:
        return image
    values = sitk.GetArrayViewFromImage(image)
    limits = np.iinfo(np.int32 if narrow == sitk.sitkInt32 else np.uint32)
    fits = values.size == 0 or (values.min() >= limits.min and values.max() <= limits.max)
    return sitk.Cast(image, narrow if fits else sitk.sitkFloat64)
