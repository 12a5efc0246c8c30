"""A MRML scene of Slicer's real core (the slicer-core wheel), standing where Slicer's application keeps its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import slicer.util  # noqa: E402

_HERE = Path(__file__).resolve().parent
for _folder in (_HERE.parents[1] / "VoxelMorphRegistration", _HERE):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


def _register_conversions():
    """What the Segmentations module does when Slicer starts: without it no segment has a representation."""
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    for rule in ("vtkBinaryLabelmapToClosedSurface", "vtkClosedSurfaceToBinaryLabelmap"):
        factory.RegisterConverterRule(getattr(slicer, f"{rule}ConversionRule")())


_register_conversions()


@pytest.fixture
def scene(monkeypatch):
    """An empty scene, also as `slicer.mrmlScene`, with the sequences logic that keeps browsers and proxies in step."""
    scene = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    yield scene
    scene.Clear(1)
