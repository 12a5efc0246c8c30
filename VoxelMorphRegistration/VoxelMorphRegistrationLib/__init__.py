"""VoxelMorph in 3D Slicer: networks to transforms, and one segmentation carried through thousands of frames.

    from VoxelMorphRegistrationLib import load_model, register, propagate

The names below are the public ones. Each is imported when it is first asked for, so that importing the package costs
next to nothing and works before torch and voxelmorph are installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from . import exchange
    from .annotations.segmentation import Segmentation
    from .errors import DependencyMissing, InputError
    from .models.loading import load_model
    from .propagation.frame_result import FrameResult
    from .propagation.frames import open_frames
    from .propagation.propagate import propagate
    from .propagation.settings import PropagationSettings
    from .registration.registrar import Registrar, register
    from .registration.result import Registration
    from .registration.settings import Settings
    from .space.grid import Grid

_HOMES = {
    "load_model": "models.loading",
    "register": "registration.registrar",
    "Registrar": "registration.registrar",
    "Settings": "registration.settings",
    "Registration": "registration.result",
    "propagate": "propagation.propagate",
    "PropagationSettings": "propagation.settings",
    "FrameResult": "propagation.frame_result",
    "open_frames": "propagation.frames",
    "Segmentation": "annotations.segmentation",
    "Grid": "space.grid",
    "InputError": "errors",
    "DependencyMissing": "errors",
}
__all__ = [
    "DependencyMissing",
    "FrameResult",
    "Grid",
    "InputError",
    "PropagationSettings",
    "Registrar",
    "Registration",
    "Segmentation",
    "Settings",
    "__version__",
    "exchange",
    "load_model",
    "open_frames",
    "propagate",
    "register",
]


def __getattr__(name: str) -> object:
    if name == "exchange":
        return import_module(".exchange", __name__)
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
