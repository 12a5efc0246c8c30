"""VoxelMorph in 3D Slicer: networks to transforms, and one segmentation carried through thousands of frames."""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "load_model": "models",
    "register": "registration",
    "Registration": "registration",
    "propagate": "propagation",
    "InputError": "errors",
    "DependencyMissing": "errors",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str):
    # Slicer opens the module before torch and voxelmorph are installed, so nothing heavy is imported until it is used.
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
