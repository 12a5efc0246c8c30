"""Transform nodes and displacements.

The library's displacement pulls: fixed point + u = moving point, LPS mm. In Slicer that is a transform node's *from
parent* direction (a node hung under it moves by the inverse, from the moving to the fixed image), in RAS mm. Set as
*to parent*, the same field is the inverse warp.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..errors import InputError
from ..space.affine import flip_ras_lps, itk_transform, lps_to_ras
from ..space.displacement import from_array
from ..space.grid import Grid
from .geometry import (
    apply_to_lps,
    linear_matrix,
    matrix_from_vtk,
    matrix_to_vtk,
    transform_between,
)
from .volumes import describe

#: mm; Slicer's own 0.01 is coarse beside fields that are exact to float32.
_INVERSE_TOLERANCE = 1e-4


def update_transform(
    node: slicer.vtkMRMLTransformNode,
    displacement: sitk.Image,
    fixed: slicer.vtkMRMLVolumeNode | None = None,
    moving: slicer.vtkMRMLNode | None = None,
    interpolation: str = "cubic",
) -> None:
    """Replace whatever a transform node held by a displacement (LPS mm of the world), as its from-parent grid
    transform.

    The node hangs directly in the world afterwards, since the displacement is in world coordinates. `fixed` and
    `moving` become its node references (Slicer's own roles for a registration). `interpolation` between the grid's
    points is 'cubic', which is what Slicer gives a displacement it reads from a file, or 'linear', which it gives the
    frames of a `.seq.nrrd`: chosen alike, a saved and reloaded node warps the same. At the grid's points both are
    exact.

    The node may be of any transform class. A 2D displacement becomes one slice at z = 0.
    """
    set_pull(node, grid_transform(displacement, interpolation), fixed, moving)


def grid_transform(displacement: sitk.Image, interpolation: str = "cubic") -> slicer.vtkOrientedGridTransform:
    """What `update_transform` puts into its node: the displacement on its grid, RAS mm. No node is touched.

    For a large displacement this takes longer than a window may stand still, and `set_pull` does not.
    """
    displacement = _as_3d(displacement)
    grid = Grid.of(displacement)
    matrix = grid.ras_matrix()
    image = vtk.vtkImageData()
    image.SetDimensions(*grid.size)
    image.SetSpacing(*grid.spacing)
    image.SetOrigin(*matrix[:3, 3])
    image.AllocateScalars(vtk.VTK_FLOAT, 3)
    vectors = sitk.GetArrayViewFromImage(displacement)
    held = vtk_to_numpy(image.GetPointData().GetScalars())
    lps_to_ras(vectors, out=held.reshape(vectors.shape))
    # Only the oriented grid transform can be saved by Slicer; direction is normalised, spacing and origin are the
    # image's.
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    direction = np.eye(4)
    direction[:3, :3] = matrix[:3, :3] / np.asarray(grid.spacing)
    transform.SetGridDirectionMatrix(matrix_to_vtk(direction))
    if interpolation == "cubic":
        transform.SetInterpolationModeToCubic()
    else:
        transform.SetInterpolationModeToLinear()
    return transform


def set_pull(
    node: slicer.vtkMRMLTransformNode,
    transform: vtk.vtkAbstractTransform,
    fixed: slicer.vtkMRMLVolumeNode | None = None,
    moving: slicer.vtkMRMLNode | None = None,
) -> None:
    """Replace whatever a transform node held by a from-parent transform of the world, as `update_transform` does."""
    modifying = node.StartModify()
    try:
        node.SetAndObserveTransformNodeID(None)
        node.SetAndObserveTransformFromParent(transform)
        _refer(node, slicer.vtkMRMLTransformNode.GetFixedNodeReferenceRole(), fixed)
        _refer(node, slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole(), moving)
    finally:
        node.EndModify(modifying)


def add_transform(
    scene: slicer.vtkMRMLScene, displacement: sitk.Image, name: str, **keywords
) -> slicer.vtkMRMLTransformNode:
    """A new general transform node with a displacement; `keywords` as for `update_transform`."""
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    update_transform(node, displacement, **keywords)
    return node


def displacement_from_transform(node: slicer.vtkMRMLTransformNode, grid: Grid | None = None) -> sitk.Image:
    """The displacement (LPS mm of the world, float32) by which a transform node pulls, whatever it holds.

    Any kind of transform (linear, grid, B-spline, thin plate, chains), stored in either direction, with its parents:
    what is stored to-parent is inverted to 1e-4 mm. `grid` is where the displacement shall lie; default the grid the
    node itself holds, else that of the fixed volume it refers to.
    Raises InputError when neither gives a grid, or the values are not finite (a transform that has no inverse).
    """
    grid = grid or own_grid(node)
    if grid is None:
        raise InputError(
            f"{describe(node)}: it has no grid of its own; choose a reference volume on which the displacement "
            "shall lie"
        )
    points = grid.points()
    vectors = apply_to_lps(_precise(transform_between(None, node)), points) - points
    if not np.isfinite(vectors).all():
        raise InputError(
            f"{describe(node)}: it gives values that are not finite on this grid; choose another transform"
        )
    return from_array(vectors, grid)


def own_displacement(node: slicer.vtkMRMLTransformNode) -> sitk.Image:
    """The displacement (LPS mm, float32) that `update_transform` put into a node, on its own grid: nothing is computed
    but the signs. Raises InputError for a node that holds something else.
    """
    grid, stored = own_grid(node), node.GetTransformFromParent()
    if grid is None or not stored_from_parent(node) or not isinstance(stored, slicer.vtkOrientedGridTransform):
        raise InputError(f"{describe(node)}: holds no displacement of a registration any more; press Apply again")
    values = vtk_to_numpy(stored.GetDisplacementGrid().GetPointData().GetScalars())
    return from_array(lps_to_ras(values.reshape(*grid.size[::-1], 3)), grid)


def own_grid(node: slicer.vtkMRMLTransformNode) -> Grid | None:
    """The grid, in the world, of the grid transform that a node holds; else of the fixed volume it refers to; else
    None.
    """
    stored = node.GetTransformFromParent() if stored_from_parent(node) else node.GetTransformToParent()
    parent = linear_matrix(transform_between(node.GetParentTransformNode(), None))
    if isinstance(stored, slicer.vtkOrientedGridTransform) and parent is not None:
        image = stored.GetDisplacementGrid()
        if image is not None and min(image.GetDimensions()) > 0 and max(image.GetDimensions()) > 1:
            direction = stored.GetGridDirectionMatrix()
            matrix = np.eye(4) if direction is None else matrix_from_vtk(direction)
            matrix[:3, :3] = matrix[:3, :3] * np.asarray(image.GetSpacing())
            matrix[:3, 3] = image.GetOrigin()
            return Grid.from_ras_matrix(image.GetDimensions(), parent @ matrix)
    fixed = node.GetNodeReference(slicer.vtkMRMLTransformNode.GetFixedNodeReferenceRole())
    if fixed is not None and fixed.GetImageData() is not None:
        from .volumes import image_from_volume

        return Grid.of(image_from_volume(fixed))
    return None


def stored_from_parent(node: slicer.vtkMRMLTransformNode) -> bool:
    """Whether a node stores its from-parent direction (else to-parent, and from-parent is computed by inversion).

    `arrayFromGridTransform` hands out the same stored grid in either case, so the direction has to be asked for.
    """
    from_parent = node.GetTransformFromParent()
    if hasattr(from_parent, "GetInverseFlag"):
        from_parent.Update()
        return not from_parent.GetInverseFlag()
    return True


def itk_transform_from_node(node: slicer.vtkMRMLTransformNode, grid: Grid) -> sitk.Transform:
    """A transform node as the ITK transform fixed point -> moving point (LPS mm of the world): affine where it is
    linear, else a displacement sampled on `grid`."""
    matrix = linear_matrix(transform_between(None, node))
    if matrix is None:
        from ..space.displacement import to_transform

        return to_transform(displacement_from_transform(node, grid))
    return itk_transform(flip_ras_lps(matrix))


def hang_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Let a node, with the parents it hangs under, follow a transform made in world coordinates.

    A node without parents is put under `transform`; of one that has parents the topmost is, so that the node keeps its
    place below them. A node that follows `transform` already stays as it is.
    Raises InputError when other nodes hang under those parents and would move as well.
    """
    top = node
    while top.GetParentTransformNode() is not None:
        top = top.GetParentTransformNode()
    if top is transform:
        return
    others = nodes_sharing_parents(node)
    if others:
        names = ", ".join(describe(other) for other in others[:3])
        raise InputError(
            f"{describe(node)}: hangs under {describe(node.GetParentTransformNode())} together with {names}, which "
            "would move too; choose an output volume, or harden the transform on it"
        )
    top.SetAndObserveTransformNodeID(transform.GetID())


def hangs_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> bool:
    """Whether a node hangs under a transform, however deep."""
    parent = node.GetParentTransformNode()
    while parent is not None:
        if parent is transform:
            return True
        parent = parent.GetParentTransformNode()
    return False


def nodes_sharing_parents(node: slicer.vtkMRMLTransformableNode) -> list[slicer.vtkMRMLTransformableNode]:
    """The other nodes, transforms apart, that hang under a parent of this one and would move with it."""
    parents, parent = [], node.GetParentTransformNode()
    while parent is not None:
        parents.append(parent)
        parent = parent.GetParentTransformNode()
    return [other for other in (nodes_under(parents[-1]) if parents else []) if other is not node]


def nodes_under(transform: slicer.vtkMRMLTransformNode) -> list[slicer.vtkMRMLTransformableNode]:
    """The nodes, transforms apart, that hang under a transform, however deep."""
    scene, found = transform.GetScene(), []
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLTransformableNode") if scene is not None else 0):
        node = scene.GetNthNodeByClass(number, "vtkMRMLTransformableNode")
        if hangs_under(node, transform) and not node.IsA("vtkMRMLTransformNode"):
            found.append(node)
    return found


def _precise(general: vtk.vtkGeneralTransform) -> vtk.vtkGeneralTransform:
    """A copy of a concatenation whose warps invert more finely than VTK's default."""
    flat = vtk.vtkCollection()
    slicer.vtkMRMLTransformNode.FlattenGeneralTransform(flat, general)
    precise = vtk.vtkGeneralTransform()
    precise.PostMultiply()
    for index in range(flat.GetNumberOfItems()):
        part = flat.GetItemAsObject(index)
        if part.IsA("vtkWarpTransform"):
            copy = part.MakeTransform()
            copy.DeepCopy(part)
            copy.SetInverseTolerance(min(_INVERSE_TOLERANCE, part.GetInverseTolerance()))
            part = copy
        precise.Concatenate(part)
    return precise


def _as_3d(displacement: sitk.Image) -> sitk.Image:
    if displacement.GetDimension() == 3:
        return displacement
    vectors = sitk.GetArrayViewFromImage(displacement)
    vectors = np.concatenate([vectors, np.zeros_like(vectors[..., :1])], axis=-1)
    flat = sitk.JoinSeries([sitk.VectorIndexSelectionCast(displacement, 0)])
    return from_array(vectors[None], Grid.of(flat))


def _refer(node: slicer.vtkMRMLNode, role: str, to: slicer.vtkMRMLNode | None) -> None:
    node.SetNodeReferenceID(role, to.GetID() if to is not None else None)
