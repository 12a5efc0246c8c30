"""The mapping that an ITK transform file holds: one transform, a composite, or a list; also the inverses of Slicer.

A composite and a list are applied as ITK's composite and ANTs do: the last transform of the file meets a fixed point
first. Slicer writes a transform node that is stored to-parent as class `Inverse...`, which ITK does not know; it is
inverted here.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.affine import check_affine, itk_transform, matrix_of
from ..space.checks import check_displacement
from ..space.displacement import from_transform, to_transform
from ..space.grid import Grid
from ..space.inverse import invert
from .detached import check_readable
from .itk_transform_files import TransformRecord, is_text_of_transforms, minc_matrix, read_records

SUFFIXES = (".tfm", ".txt", ".mat", ".h5", ".hdf5", ".xfm")
_CLASS = re.compile(
    r"(?P<inverse>Inverse)?(?P<kind>[A-Za-z]\w*Transform(?:Base)?)_(?:double|float)_(\d)_(\d)(?:_(\d))?"
)
#: Classes that keep matrix, translation and centre as AffineTransform does, and that not every ITK can make.
_AFFINE = ("AffineTransform", "MatrixOffsetTransformBase", "Rigid3DTransform")
_FIELDS = (
    "DisplacementFieldTransform",
    "GaussianSmoothingOnUpdateDisplacementFieldTransform",
    "BSplineSmoothingOnUpdateDisplacementFieldTransform",
)
_SPLINES = ("BSplineTransform", "BSplineDeformableTransform")
_MOST_LINEAR_PARAMETERS = 32
_LONGEST_REMARK = 1 << 12
_ONLY_SLICER = "in Slicer's Transforms module convert it to a grid transform and save that"


@dataclass(frozen=True)
class _Step:
    kind: str
    dimension: int
    order: int
    inverse: bool
    record: TransformRecord


def read_transform(path: str | Path, reference: Grid | None = None) -> tuple[sitk.Transform, tuple[str, ...]]:
    """The mapping of an ITK transform file (.tfm, .txt, .mat, .h5, .xfm), LPS mm, and what is to be said about it.

    Args:
        reference: the fixed image's grid, on which the inverse of a B-spline is made.

    Raises InputError, naming the file, when it is missing, none of ITK's, damaged, of a class that ITK cannot evaluate,
    singular, or holds values that are not finite.
    """
    path = Path(path)
    check_readable(path)
    if path.name.lower().endswith(".xfm"):
        return _of_minc(path), ()
    text = path.name.lower().endswith((".tfm", ".txt"))
    if not path.name.lower().endswith(SUFFIXES) or text and not is_text_of_transforms(_start_of(path)):
        raise InputError(
            f"{path}: not an ITK transform file ({', '.join(SUFFIXES)}); make one of another tool's: slicer-voxelmorph "
            f"convert --input {path} --reference FIXED --to itk --output start.h5"
        )
    records = read_records(path)
    steps = [_step(record, path) for record in records]
    transforms = [_transform(step, path, reference) for step in steps if step.kind != "CompositeTransform"]
    if not transforms:
        raise InputError(f"{path}: a composite without transforms; export it again")
    if len({transform.GetDimension() for transform in transforms}) > 1:
        raise InputError(f"{path}: it mixes 2D and 3D transforms; give those of one registration")
    if len(transforms) == 1:
        return transforms[0], ()
    if any(step.kind == "BSplineDeformableTransform" for step in steps):
        raise InputError(
            f"{path}: a B-spline of ITK 3 with its bulk transform, which is added and not composed; {_ONLY_SLICER}"
        )
    notes: tuple[str, ...] = ()
    if steps[0].kind != "CompositeTransform":
        notes = (
            f"{path}: it lists {len(transforms)} transforms, which were composed as ANTs composes them, the last of "
            "the file first; SimpleITK would read the first alone",
        )
    return sitk.CompositeTransform(transforms), notes


def transform_of(record: TransformRecord, path: Path) -> sitk.Transform:
    """The transform that one record describes. Raises InputError, naming the file, as `read_transform` does."""
    return _transform(_step(record, path), path, None)


def reached(field: sitk.Image) -> Grid:
    """The field's grid, widened by its longest vector on every side."""
    grid = Grid.of(field)
    longest = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1).max()
    more = np.ceil(longest / np.asarray(grid.spacing)).astype(int)
    origin = np.asarray(grid.origin) - grid.axes @ more
    return Grid(
        tuple((np.asarray(grid.size) + 2 * more).tolist()), grid.spacing, tuple(origin.tolist()), grid.direction
    )


def inverted(field: sitk.Image, grid: Grid, name: str) -> sitk.Image:
    """The inverse, on `grid`, of a displacement that Slicer stored to-parent; raises InputError where it folds."""
    inverse, residual = invert(field, grid, iterations=200, tolerance=1e-4)
    if residual > 0.1:
        raise InputError(
            f"{name}: Slicer stored it to-parent, and its inverse is found only to {residual:.2g} mm (the field folds);"
            " in Slicer save the transform from-parent"
        )
    return inverse


def _step(record: TransformRecord, path: Path) -> _Step:
    match = _CLASS.fullmatch(record.name)
    if match is None:
        raise InputError(f"{path}: {record.name[:60]!r} is no class of ITK's transforms; export it again")
    dimension, to, order = int(match[3]), int(match[4]), int(match[5] or 3)
    if dimension != to or dimension not in (2, 3):
        raise InputError(f"{path}: a transform from {dimension}D to {to}D; give one between images of 2D or of 3D")
    if not (np.isfinite(record.fixed).all() and np.isfinite(record.parameters).all()):
        raise InputError(f"{path}: the transform holds NaN or infinite values; export it again without them")
    return _Step(match["kind"], dimension, order, bool(match["inverse"]), record)


def _transform(step: _Step, path: Path, reference: Grid | None) -> sitk.Transform:
    if step.kind in _FIELDS:
        field = _field(step, path)
        return to_transform(inverted(field, reached(field), str(path)) if step.inverse else field)
    if step.kind in _SPLINES:
        spline = _spline(step, path)
        if not step.inverse:
            return spline
        if reference is None:
            raise InputError(f"{path}: the inverse of a B-spline, which holds no grid of its own; {_ONLY_SLICER}")
        # Other steps of a chain may bring points here from beyond the reference, so the inverse lies wherever the field
        # leads.
        field = from_transform(spline, reference)
        return to_transform(inverted(field, reached(field), str(path)))
    linear = _linear(step, path)
    return linear.GetInverse() if step.inverse else linear


def _field(step: _Step, path: Path) -> sitk.Image:
    grid = _grid(step, path)
    vectors = step.record.parameters.reshape(*grid.shape, step.dimension)
    return check_displacement(grid.image(vectors, vector=True), str(path))


def _spline(step: _Step, path: Path) -> sitk.BSplineTransform:
    grid = _grid(step, path)
    if step.order not in (1, 2, 3) or min(grid.size) < step.order + 1:
        raise InputError(f"{path}: a B-spline of order {step.order} on a grid of {grid.size}; export it again")
    spline = sitk.BSplineTransform(step.dimension, step.order)
    spline.SetFixedParameters(step.record.fixed.tolist())
    spline.SetParameters(step.record.parameters.tolist())
    return spline


def _grid(step: _Step, path: Path) -> Grid:
    """The grid that the fixed parameters of a field or spline describe: size, origin, spacing, direction."""
    d, fixed = step.dimension, step.record.fixed
    if len(fixed) != d * (3 + d):
        raise InputError(
            f"{path}: its {step.kind} has {len(fixed)} fixed parameters, not {d * (3 + d)}; export it again"
        )
    size, origin, spacing, direction = fixed[:d], fixed[d : 2 * d], fixed[2 * d : 3 * d], fixed[3 * d :]
    if np.any(size != np.rint(size)) or size.min() < 1 or np.prod(size) * d != len(step.record.parameters):
        raise InputError(
            f"{path}: its {step.kind} is of size {' x '.join(f'{n:g}' for n in size)} and holds "
            f"{len(step.record.parameters)} numbers; export it again"
        )
    if spacing.min() <= 0 or abs(np.linalg.det(direction.reshape(d, d))) < 1e-3:
        raise InputError(f"{path}: the grid of its {step.kind} has no volume; export it again")
    return Grid(tuple(int(n) for n in size), tuple(spacing), tuple(origin), tuple(direction))


def _linear(step: _Step, path: Path) -> sitk.Transform:
    """A linear class of ITK, as its affine."""
    record, d = step.record, step.dimension
    if step.kind in _AFFINE:
        if len(record.parameters) != d * d + d or len(record.fixed) != d:
            raise InputError(
                f"{path}: its {step.kind} has {len(record.parameters)} parameters and {len(record.fixed)} fixed ones, "
                f"not {d * d + d} and {d}; export it again"
            )
        affine = sitk.AffineTransform(d)
        affine.SetFixedParameters(record.fixed.tolist())
        affine.SetParameters(record.parameters.tolist())
        check_affine(_matrix(affine, path), str(path))
        return affine
    if len(record.parameters) > _MOST_LINEAR_PARAMETERS or len(record.fixed) > _MOST_LINEAR_PARAMETERS:
        raise InputError(f"{path}: a {step.kind}, which is not read; {_ONLY_SLICER}")
    numbers = [" ".join(map(repr, values.tolist())) for values in (record.parameters, record.fixed)]
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "transform.tfm"
        alone.write_text(
            f"#Insight Transform File V1.0\n#Transform 0\nTransform: CompositeTransform_double_{d}_{d}\n"
            # SimpleITK has no Python class for some, but takes any inside a composite.
            f"#Transform 1\nTransform: {record.name.removeprefix('Inverse')}\n"
            f"Parameters: {numbers[0]}\nFixedParameters: {numbers[1]}\n"
        )
        try:
            transform = sitk.ReadTransform(str(alone))
        except RuntimeError as error:
            raise InputError(f"{path}: a {step.kind} that ITK does not read; {_ONLY_SLICER}") from error
    taken = np.asarray(transform.GetParameters())
    if taken.shape != record.parameters.shape or not np.allclose(taken, record.parameters, rtol=1e-5, atol=1e-9):
        raise InputError(f"{path}: ITK does not take the parameters of its {step.kind}; export it again")
    return itk_transform(check_affine(_matrix(transform, path), str(path)))


def _matrix(transform: sitk.Transform, path: Path) -> np.ndarray:
    matrix = matrix_of(transform)
    if matrix is None:
        raise InputError(f"{path}: a {transform.GetName()}, which is not read; {_ONLY_SLICER}")
    return matrix


def _start_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return stream.read(4096).decode("utf-8", errors="replace")


def _of_minc(path: Path) -> sitk.Transform:
    """A linear .xfm that ITK wrote, in LPS.

    Raises InputError for one of MINC or FreeSurfer: ITK would take its RAS points for LPS, and it leads the other way.
    """
    if b"ITK-XFM" not in path.read_bytes()[:_LONGEST_REMARK]:
        raise InputError(
            f"{path}: an .xfm of MINC or FreeSurfer leads from the moving image to the fixed one, in RAS; make an ITK "
            f"transform of it: lta_convert --inmni {path} --outitk start.txt --src MOVING --trg FIXED"
        )
    return itk_transform(check_affine(minc_matrix(path), str(path)))
