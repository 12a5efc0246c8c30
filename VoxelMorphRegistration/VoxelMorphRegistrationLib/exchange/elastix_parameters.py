"""elastix' TransformParameters files: their text, and the ITK transform that one file describes."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.detached import check_readable
from ..files.itk_transform_files import TransformRecord, numbers_of
from ..files.itk_transforms import transform_of
from ..space.displacement import to_transform
from ..space.grid import Grid
from . import itk
from .context import Context, warn

#: A quoted text, a comment to the end of the line, a bracket, a word.
_TOKEN = re.compile(r'"[^"]*"|//.*|[()]|[^\s"()]+')
INITIAL_KEYS = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")
_WITH_CONTENT = ("TransformParameters", "DeformationFieldFileName", "TransformFileName")
_IDENTIFYING = re.compile(
    r"^[ \t]*\([ \t]*(?:Transform|TransformParameters|NumberOfParameters|GridSize|HowToCombineTransforms|"
    r"FixedImageDimension|InitialTransformParameters?FileName)\s",
    re.MULTILINE,
)
#: What elastix has and ITK has not.
_ONLY_ELASTIX = (
    "AffineDTITransform",
    "AffineLogTransform",
    "AffineLogStackTransform",
    "BSplineStackTransform",
    "BSplineTransformWithDiffusion",
    "EulerStackTransform",
    "MultiBSplineTransformWithNormal",
    "SplineKernelTransform",
    "TranslationStackTransform",
    "WeightedCombinationTransform",
)


@dataclass(frozen=True)
class Parameters:
    """One TransformParameters file: every entry as its list of texts."""

    path: Path
    entries: dict[str, list[str]]

    @property
    def initial(self) -> str | None:
        """The file name of the transform before this one, as written."""
        name = next((name for key in INITIAL_KEYS if (name := self.text(key))), "NoInitialTransform")
        return None if name == "NoInitialTransform" else name

    @property
    def adds(self) -> bool:
        """Whether the initial transform is added to this one instead of composed with it."""
        way = self.text("HowToCombineTransforms", "Compose")
        if way not in ("Add", "Compose"):
            raise InputError(f"{self.path}: HowToCombineTransforms is {way!r}; correct it to Compose or Add")
        return way == "Add"

    @property
    def dimension(self) -> int:
        """2 or 3."""
        dimension = self.whole_numbers("FixedImageDimension", 1)[0]
        if dimension not in (2, 3):
            raise InputError(f"{self.path}: a transform of {dimension}D images; only 2D and 3D are read")
        return dimension

    def text(self, key: str, default: str = "") -> str:
        """The first value of an entry."""
        return (self.entries.get(key) or [default])[0]

    def flag(self, key: str, default: str = "false") -> bool:
        """An entry that is "true" or "false", as elastix takes no other; raises InputError for another."""
        value = self.text(key, default)
        if value not in ("true", "false"):
            raise InputError(f"{self.path}: {key} is {value!r}; correct it to true or false")
        return value == "true"

    def numbers(self, key: str, count: int | None = None) -> list[float]:
        """The values of an entry; raises InputError when it is missing, no number, or not `count` long."""
        if key not in self.entries:
            raise InputError(f"{self.path}: it has no {key}; give a whole TransformParameters file")
        values = numbers_of(self.entries[key], f"{self.path}: {key}")
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: {key} holds NaN or infinite values; compute it again")
        if count is not None and len(values) != count:
            raise InputError(f"{self.path}: {key} has {len(values)} numbers and needs {count}; correct it")
        return values.tolist()

    def whole_numbers(self, key: str, count: int) -> list[int]:
        values = self.numbers(key, count)
        if not all(value.is_integer() for value in values):
            raise InputError(f"{self.path}: {key} is not made of whole numbers; correct it")
        return [int(value) for value in values]

    def transform(self) -> sitk.Transform:
        """The ITK transform (LPS mm, fixed to moving). Raises NotImplementedError for a class ITK does not have."""
        kind = self.text("Transform")
        dimension = self.dimension
        if kind == "File":
            return self._itk_file()
        if kind == "DeformationFieldTransform":
            return self._field()
        if self.flag("UseBinaryFormatForTransformationParameters"):
            raise NotImplementedError(f"{kind} with binary parameters")
        if "NumberOfParameters" in self.entries:
            self.numbers("TransformParameters", self.whole_numbers("NumberOfParameters", 1)[0])
        if kind in ("BSplineTransform", "RecursiveBSplineTransform"):
            return self._bspline(dimension)
        makers: dict[str, Callable[[], Any]] = {
            "TranslationTransform": lambda: sitk.TranslationTransform(dimension),
            "EulerTransform": sitk.Euler2DTransform if dimension == 2 else sitk.Euler3DTransform,
            "SimilarityTransform": sitk.Similarity2DTransform if dimension == 2 else sitk.Similarity3DTransform,
            "AffineTransform": lambda: sitk.AffineTransform(dimension),
        }
        if kind in _ONLY_ELASTIX:
            raise NotImplementedError(kind)
        if kind not in makers:
            raise InputError(f"{self.path}: {kind[:60]!r} is no transform of elastix that is known here; correct it")
        transform = makers[kind]()
        if kind != "TranslationTransform":
            transform.SetCenter(self.numbers("CenterOfRotationPoint", dimension))
        if kind == "EulerTransform" and dimension == 3:
            transform.SetComputeZYX(self.flag("ComputeZYX"))
        count = transform.GetNumberOfParameters()
        transform.SetParameters(self.numbers("TransformParameters", count))
        return transform

    def beside(self, name: str) -> Path | None:
        """The file that this one names: in its own folder, after both were moved or not, or else as written (from the
        current folder); None when it is nowhere.

        Warns when another file of the same name, with other content, is there as well.
        """
        if not name:
            return None
        bare = PureWindowsPath(name).name if "\\" in name else Path(name).name
        places = [self.path.parent / name, self.path.parent / bare, Path(name)]
        found = [place for place in places if os.path.isfile(place)]
        if not found:
            return None
        for other in found[1:]:
            if not other.samefile(found[0]) and not filecmp.cmp(other, found[0], shallow=False):
                warn(f"{self.path}: of {name}, {found[0]} was taken, and not {other}, which differs from it")
        return found[0]

    def _itk_file(self) -> sitk.Transform:
        name = self.text("TransformFileName")
        file = self.beside(name)
        if file is None:
            raise InputError(f"{self.path}: its transform {name!r} is not there; put it into the same folder")
        if file.samefile(self.path):
            raise InputError(
                f"{self.path}: it names itself as the file of its transform: elastix was told "
                'ITKTransformOutputFileNameExtension "txt" and wrote both under one name, so that the transform is '
                'lost; register again with "tfm" or "h5"'
            )
        return itk.read_transform(file, Context())

    def _field(self) -> sitk.DisplacementFieldTransform:
        name = self.text("DeformationFieldFileName")
        field = self.beside(name)
        if field is None:
            raise InputError(f"{self.path}: its deformation field {name!r} is not there; put it into the same folder")
        return to_transform(itk.read_image(field, Context()))

    def _bspline(self, dimension: int) -> sitk.Transform:
        if self.flag("UseCyclicTransform"):
            raise NotImplementedError("cyclic BSplineTransform")
        key = "BSplineTransformSplineOrder"
        order = self.whole_numbers(key, 1)[0] if key in self.entries else 3
        size = self.whole_numbers("GridSize", dimension)
        spacing = self.numbers("GridSpacing", dimension)
        # elastix writes directions column by column, ITK's fixed parameters have them row by row. It takes a grid
        # without one to lie along the world's axes.
        direction = np.eye(dimension)
        if "GridDirection" in self.entries:
            direction = np.reshape(self.numbers("GridDirection", dimension**2), (dimension, dimension)).T
        index = np.array(self.numbers("GridIndex", dimension) if "GridIndex" in self.entries else [0.0] * dimension)
        origin = np.array(self.numbers("GridOrigin", dimension)) + direction @ (index * spacing)
        record = TransformRecord(
            f"BSplineTransform_double_{dimension}_{dimension}_{order}",
            np.array([*size, *origin, *spacing, *direction.ravel()], float),
            np.array(self.numbers("TransformParameters")),
        )
        return transform_of(record, self.path)


def is_parameter_file(start: str) -> bool:
    """Whether a text that begins so is one of elastix' parameter files, in either of its two forms."""
    return bool(_IDENTIFYING.search(start)) or start.lstrip().startswith("Transform =")


def read_parameters(path: Path) -> Parameters:
    """Parse a TransformParameters file. Raises InputError when it is none, or has a line that elastix does not take."""
    check_readable(path)
    entries: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig", errors="replace").splitlines(), 1):
        words = [word for word in _TOKEN.findall(line) if not word.startswith("//")]
        stray = _TOKEN.sub("", line).strip()
        if not words and not stray:
            continue
        key = words[1] if len(words) > 2 else ""
        if stray or words[0] != "(" or words[-1] != ")" or not key.isidentifier() or {"(", ")"} & set(words[1:-1]):
            raise InputError(f"{path}: line {number} is none of a TransformParameters file of elastix; correct it")
        if key in entries:
            raise InputError(f"{path}: {key} stands in it twice; remove the one that is wrong")
        entries[key] = [word[1:-1] if word.startswith('"') else word for word in words[2:-1]]
    if "Transform" not in entries or not any(key in entries for key in _WITH_CONTENT):
        raise InputError(f"{path}: not a TransformParameters file of elastix; give TransformParameters.N.txt")
    return Parameters(path, entries)


def write_parameters(path: Path, kind: str, numbers: Sequence[float], grid: Grid, more: dict[str, object]) -> None:
    """Write a TransformParameters file that transformix resamples onto `grid` with, linearly."""
    dimension = grid.dimension
    direction = np.reshape(grid.direction, (dimension, dimension)).T.ravel()
    entries = {
        "Transform": kind,
        "NumberOfParameters": len(numbers),
        "TransformParameters": list(numbers),
        "InitialTransformParameterFileName": "NoInitialTransform",
        "UseBinaryFormatForTransformationParameters": "false",
        "HowToCombineTransforms": "Compose",
        "FixedImageDimension": dimension,
        "MovingImageDimension": dimension,
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "Size": list(grid.size),
        "Index": [0] * dimension,
        "Spacing": list(grid.spacing),
        "Origin": list(grid.origin),
        "Direction": list(direction),
        "UseDirectionCosines": "true",
        **more,
        "ResampleInterpolator": "FinalBSplineInterpolator",
        "FinalBSplineInterpolationOrder": 1,
        "Resampler": "DefaultResampler",
        "DefaultPixelValue": 0,
        "ResultImageFormat": "nii.gz",
        "ResultImagePixelType": "float",
        "CompressResultImage": "true",
    }
    lines = [f"({key} {_text(value)})" for key, value in entries.items() if value != []]
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_text(item) for item in value)
    return f'"{value}"' if isinstance(value, str) else f"{value:.17g}" if isinstance(value, float) else str(value)
