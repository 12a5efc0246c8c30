"""What a network asks of the grid its images lie on: the axes, the spacing and the shape of its input tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InputError

# Of an anatomical letter: the LPS axis it lies on, and the sign of the direction along it.
DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
BY_SIZE = "by-size"
# A brain's 7.2 million cubic millimetres at 2.2 mm: of 1 mm images every second voxel, of a 4D MRI's or CT's all.
WISHED_VOXELS = 650_000
_MAX_VOXELS = 8_000_000  # take a default U-Net some 5 GB


@dataclass(frozen=True)
class Space:
    """The `space` of a model's card.

    >>> Space("LIA", spacing=1, extent=[160, 192, 224]).to_dict()
    {'tensor_axes': 'LIA', 'spacing': 1, 'extent': [160, 192, 224]}

    Attributes:
        tensor_axes: 'native' for the fixed image's array order, or one letter for each tensor axis (array order): the
            direction it runs towards, as in 'LIA', 'SPL'; 'PL' in 2D.
        spacing: 'native', 'by-size', mm, or mm for each tensor axis (array order). 'by-size' knows no millimetres: the
            same array of voxels gets the same grid at every voxel size (see `voxels`).
        extent: the tensor's shape (array order) when the network takes only one, None when it takes any multiple.
        multiple: each side of a free extent is a multiple of this. None leaves it to the network, and `load_model` sets
            it; a grid made without a network takes 1.
        max_voxels: a free grid that would hold more gets a coarser spacing, unless the spacing was overridden.
        voxels: of 'by-size': isotropic voxels, so many over the fixed image, are wished for, but none finer than the
            finest of the image's own spacings, unless an axis would get fewer than 32.
        flexible: the spacing is a wish, as 'by-size' always is. Along each axis the whole multiple or fraction of the
            image's own spacing that is nearest is taken. At any other the blur of interpolation changes from voxel to
            voxel and stands still while the tissue moves, and a network that matches images follows it.

    Raises:
        InputError: a value that no grid can have, named as in the card ('space.spacing 0').
    """

    tensor_axes: str = "native"
    spacing: str | float | tuple[float, ...] = "native"
    extent: tuple[int, ...] | None = None
    multiple: int | None = None
    max_voxels: int = _MAX_VOXELS
    flexible: bool = False
    voxels: int = WISHED_VOXELS

    def __post_init__(self) -> None:
        for name in ("spacing", "extent"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.tensor_axes != "native" and not _names_each_axis_once(self.tensor_axes):
            raise InputError(
                f"space.tensor_axes {self.tensor_axes!r}; use 'native' or one letter an axis, one of each of L/R, A/P, "
                "I/S (2D: L/R, A/P), such as 'LIA'"
            )
        if self.spacing != BY_SIZE:
            check_spacing(self.spacing, "space.spacing")
        elif self.extent is not None:
            raise InputError(f"space.spacing {BY_SIZE!r} chooses a free grid; give null as space.extent, or a spacing")
        if self.extent is not None and not (
            isinstance(self.extent, tuple) and len(self.extent) in (2, 3) and all(map(_is_count, self.extent))
        ):
            raise InputError(f"space.extent {_as_json(self.extent)!r}; use null or a whole number for each axis")
        for name in ("multiple", "max_voxels", "voxels"):
            value = getattr(self, name)
            if not _is_count(value) and not (name == "multiple" and value is None):
                raise InputError(f"space.{name} {value!r}; use a whole number from 1")
        if not isinstance(self.flexible, bool):
            raise InputError(f"space.flexible {self.flexible!r}; use true or false")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Space:
        """The space of a card's `space` object; keys that are not there take their defaults.

        Raises:
            InputError: naming the key, its value and what is allowed.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(content) - set(known))
        if unknown:
            raise InputError(f"space.{unknown[0]} is not a value of a space; use {', '.join(known)}")
        if "multiple" in content and content["multiple"] is None:
            raise InputError("space.multiple None; use a whole number from 1")
        return cls(**content)

    def to_dict(self) -> dict[str, Any]:
        """The object for a card; what says nothing beyond the defaults is left out."""
        content = {field.name: _as_json(getattr(self, field.name)) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        optional = ("multiple", "max_voxels", "flexible", "voxels")
        return {key: value for key, value in content.items() if key not in optional or value != defaults[key]}

    def check_dimension(self, dimension: int) -> None:
        """Raise `InputError` where the axes, the spacing or the extent are not those of 2D or 3D images."""
        if self.tensor_axes != "native" and len(self.tensor_axes) != dimension:
            raise InputError(
                f"space.tensor_axes {self.tensor_axes!r}; use 'native' or {dimension} letters, one of each of "
                f"{'L/R, A/P, I/S' if dimension == 3 else 'L/R, A/P'}"
            )
        if isinstance(self.spacing, tuple) and len(self.spacing) != dimension:
            raise InputError(f"space.spacing {_as_json(self.spacing)!r}; use 'native', mm, or {dimension} values in mm")
        if self.extent is not None and len(self.extent) != dimension:
            raise InputError(f"space.extent {_as_json(self.extent)!r}; use null or {dimension} whole numbers")


def check_spacing(spacing: Any, what: str) -> None:
    """Raise `InputError`, beginning with `what`, where `spacing` is not 'native', mm, or a tuple of mm."""
    if isinstance(spacing, str) and spacing == "native":
        return
    values = spacing if isinstance(spacing, (tuple, list)) and spacing else (spacing,)
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) and v > 0 for v in values):
        raise InputError(f"{what} {_as_json(spacing)!r}; use 'native', positive mm, or mm for each axis, such as 1.5")


def _names_each_axis_once(letters: Any) -> bool:
    if not (isinstance(letters, str) and len(letters) in (2, 3) and set(letters) <= set(DIRECTIONS)):
        return False
    return sorted(DIRECTIONS[letter][0] for letter in letters) == list(range(len(letters)))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
