"""The console code that Docs/slicer.md and the README show runs as it stands, on nodes of the names it uses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

from Testing.support.moving_body import draw, frame
from Testing.support.scenery import node_of
from Testing.support.scripted_module import stand_in
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.models import loading

ROOT = Path(__file__).resolve().parents[2]


def console_code(page: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in blocks if re.search(r"\blogic\b", block))


@pytest.fixture
def nodes(monkeypatch, scene, sequence):
    """What the examples name; the bundled network in its fast form."""
    stand_in(lambda name, module: monkeypatch.setitem(sys.modules, name, module))
    monkeypatch.delitem(sys.modules, "VoxelMorphRegistration", raising=False)
    monkeypatch.syspath_prepend(str(ROOT / "VoxelMorphRegistration"))
    monkeypatch.setattr(loading, "DEFAULT_MODEL", "any-anatomy-fast")
    return {
        "fixedVolumeNode": node_of(scene, frame(0.0), "fixed"),
        "movingVolumeNode": node_of(scene, frame(4.0), "moving"),
        "volumeSequenceNode": sequence,
        "segmentationNode": draw(scene),
    }


def save(node, storage_class: str, path: Path) -> None:
    storage = getattr(slicer, storage_class)()
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1


@pytest.fixture
def files(monkeypatch, nodes, tmp_path):
    """The files that the examples read, a finished run among them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    save(nodes["volumeSequenceNode"], "vtkMRMLVolumeSequenceStorageNode", tmp_path / "cine.seq.nrrd")
    save(nodes["segmentationNode"], "vtkMRMLSegmentationStorageNode", tmp_path / "liver.seg.nrrd")
    run = "propagate --sequence cine.seq.nrrd --segmentation liver.seg.nrrd --reference-frame 0 --output out/patient01"
    assert main([*run.split(), "--model", "any-anatomy-fast", "--progress", "none"]) == 0
    np.savez("voxelmorph.npz", np.zeros((1, 3, *frame(0.0).GetSize()[::-1]), np.float32))
    return tmp_path


def test_the_pages_console_code_runs_from_top_to_bottom(nodes, files):
    exec(compile(console_code("Docs/slicer.md"), "Docs/slicer.md", "exec"), nodes)
    count = nodes["volumeSequenceNode"].GetNumberOfDataNodes()
    assert nodes["segmentations"].GetNumberOfDataNodes() == nodes["transforms"].GetNumberOfDataNodes() == count
    assert nodes["run"].segmentation.GetNumberOfDataNodes() == count
    assert nodes["movingVolumeNode"].GetParentTransformNode() is nodes["transform"]
    assert (files / "1Warp.nii.gz").is_file()


def test_the_readmes_console_code_runs(nodes):
    exec(compile(console_code("README.md"), "README.md", "exec"), nodes)
    assert nodes["movingVolumeNode"].GetParentTransformNode() is nodes["transform"]
