"""elastix' TransformParameters files: their text, and the ITK transform that one file describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic import atomic_write
from ..space.displacement import to_transform
from ..space.grid import Grid
from . import itk
from .context import Context

_LINE = re.compile(r"^\s*\(\s*(\w+)\s+(.*?)\s*\)\s*(?://.*)?$")
_VALUE = re.compile(r'"([^"]*)"|(\S+)')
_INITIAL_KEYS = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")


@dataclass(frozen=True)
class Parameters:
    """One TransformParameters file: every entry as its list of texts."""

    path: Path
    entries: dict[str, list[str]]

    @property
    def initial(self) -> str | None:
        """The file name of the transform before this one, as written."""
        for key in _INITIAL_KEYS:
            name = self.entries.get(key, ["NoInitialTransform"])[0]
            if name != "NoInitialTransform":
                return name
        return None

    @property
    def adds(self) -> bool:
        """Whether the initial transform is added to this one instead of composed with it."""
        return self.entries.get("HowToCombineTransforms", ["Compose"])[0] == "Add"

    def numbers(self, key: str, count: int | None = None) -> list[float]:
        """The values of an entry; raises InputError when it is missing, no number, or not `count` long."""
        try:
            values = [float(text) for text in self.entries[key]]
        except KeyError as error:
            raise InputError(f"{self.path}: it has no {key}; give a whole TransformParameters file") from error
        except ValueError as error:
            raise InputError(f"{self.path}: {key} is not made of numbers; correct it") from error
        if count is not None and len(values) != count:
            raise InputError(f"{self.path}: {key} has {len(values)} numbers and needs {count}; correct it")
        return values

    def transform(self) -> sitk.Transform:
        """The ITK transform (LPS mm, fixed to moving). Raises NotImplementedError for a class ITK does not have."""
        kind = self.entries.get("Transform", [""])[0]
        dimension = int(self.numbers("FixedImageDimension", 1)[0])
        if dimension not in (2, 3):
            raise InputError(f"{self.path}: a transform of {dimension}D images; only 2D and 3D are read")
        if self.entries.get("UseBinaryFormatForTransformationParameters", ["false"])[0] == "true":
            raise NotImplementedError(f"{kind} with binary parameters")
        if kind in ("BSplineTransform", "RecursiveBSplineTransform"):
            return self._bspline(dimension)
        if kind == "DeformationFieldTransform":
            return self._field()
        makers: dict[str, Callable[[], Any]] = {
            "TranslationTransform": lambda: sitk.TranslationTransform(dimension),
            "EulerTransform": sitk.Euler2DTransform if dimension == 2 else sitk.Euler3DTransform,
            "SimilarityTransform": sitk.Similarity2DTransform if dimension == 2 else sitk.Similarity3DTransform,
            "AffineTransform": lambda: sitk.AffineTransform(dimension),
        }
        if kind not in makers:
            raise NotImplementedError(kind or "transform without a name")
        transform = makers[kind]()
        if kind != "TranslationTransform":
            transform.SetCenter(self.numbers("CenterOfRotationPoint", dimension))
        if kind == "EulerTransform" and dimension == 3:
            transform.SetComputeZYX(self.entries.get("ComputeZYX", ["false"])[0] == "true")
        count = transform.GetNumberOfParameters()
        transform.SetParameters(self.numbers("TransformParameters", count))
        return transform

    def beside(self, name: str) -> Path | None:
        """The file that this one names: as written, or in its own folder after both were moved; None when neither is
        there.
        """
        places = [Path(name), self.path.parent / name, self.path.parent / Path(name).name]
        return next((place for place in places if place.is_file()), None)

    def _field(self) -> sitk.DisplacementFieldTransform:
        name = self.entries.get("DeformationFieldFileName", [""])[0]
        field = self.beside(name)
        if not name or field is None:
            raise InputError(f"{self.path}: its deformation field {name} is not there; put it into the same folder")
        return to_transform(itk.read_image(field, Context()))

    def _bspline(self, dimension: int) -> sitk.BSplineTransform:
        if self.entries.get("UseCyclicTransform", ["false"])[0] == "true":
            raise NotImplementedError("cyclic BSplineTransform")
        order = int(self.entries.get("BSplineTransformSplineOrder", ["3"])[0])
        size = [int(number) for number in self.numbers("GridSize", dimension)]
        spacing = self.numbers("GridSpacing", dimension)
        # elastix writes directions column by column, ITK's fixed parameters have them row by row.
        direction = np.reshape(self.numbers("GridDirection", dimension**2), (dimension, dimension)).T
        index = np.array(self.numbers("GridIndex", dimension))
        origin = np.array(self.numbers("GridOrigin", dimension)) + direction @ (index * spacing)
        transform = sitk.BSplineTransform(dimension, order)
        transform.SetFixedParameters([*map(float, size), *origin, *spacing, *direction.ravel()])
        transform.SetParameters(self.numbers("TransformParameters", dimension * int(np.prod(size))))
        return transform


def read_parameters(path: Path) -> Parameters:
    """Parse a TransformParameters file. Raises InputError when it is none."""
    entries = {}
    for line in path.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match:
            entries[match[1]] = [quoted or plain for quoted, plain in _VALUE.findall(match[2])]
    if "Transform" not in entries or "TransformParameters" not in entries and "DeformationFieldFileName" not in entries:
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
