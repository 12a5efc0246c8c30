"""The module file on slicer-core. Slicer's scripted-module classes need Qt; what of them the logic uses is stood in
for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

from Testing.support.moving_body import CENTRE, SHIFTS, centring, centroid, draw, frame, moved
from Testing.support.scenery import node_of
from Testing.support.scripted_module import stand_in

MODULE = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"

_OPEN = """
import sys, types
for name in ("torch", "voxelmorph", "neurite", "nibabel", "h5py", "platformdirs", "tqdm", "scipy"):
    sys.modules[name] = None
import slicer, slicer.util
sys.path[:0] = [{root!r}, {module!r}]
from Testing.support.scripted_module import stand_in
stand_in(sys.modules.__setitem__)
import VoxelMorphRegistration as module
class Parent: path = module.__file__
shown = module.VoxelMorphRegistration(Parent())
logic = module.VoxelMorphRegistrationLogic()
print(shown.parent.title, shown.parent.categories)
try:
    logic.registerVolumes(None, None)
except Exception as error:
    print(type(error).__name__, error)
assert not [name for name in sys.modules if name.startswith("torch") and sys.modules[name] is not None]
"""


@pytest.fixture
def module(monkeypatch, scene):
    stand_in(lambda name, module: monkeypatch.setitem(sys.modules, name, module))
    monkeypatch.delitem(sys.modules, "VoxelMorphRegistration", raising=False)
    monkeypatch.syspath_prepend(str(MODULE))
    import VoxelMorphRegistration

    return VoxelMorphRegistration


def test_slicer_can_open_the_module_before_anything_is_installed():
    code = _OPEN.format(root=str(MODULE.parent), module=str(MODULE))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "VoxelMorph Registration ['Registration']" in done.stdout
    assert "DependencyMissing torch, voxelmorph" in done.stdout and "pip install" in done.stdout


def test_register_volumes_and_apply_transform_in_slicers_words(module, scene):
    logic = module.VoxelMorphRegistrationLogic()
    fixed, moving = (node_of(scene, frame(shift), name) for shift, name in ((0.0, "fixed"), (4.0, "moving")))
    warped = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    transform = logic.registerVolumes(fixed, moving, None, warped, model=centring(), align="none")
    before = np.abs(slicer.util.arrayFromVolume(moving) - slicer.util.arrayFromVolume(fixed)).mean()
    assert np.abs(slicer.util.arrayFromVolume(warped) - slicer.util.arrayFromVolume(fixed)).mean() < 0.05 * before
    logic.applyTransform(moving, transform)
    assert moving.GetParentTransformNode() is transform


def test_propagate_segmentation_in_slicers_words(module, scene, sequence):
    logic = module.VoxelMorphRegistrationLogic()
    seen = []
    output = logic.propagateSegmentation(
        sequence,
        draw(scene),
        0,
        model=centring(),
        frames="0:3",
        progress=lambda done, total, result: seen.append((done, total)),
        outputTransformSequenceNode=True,
    )
    assert output.GetNumberOfDataNodes() == 3 and seen == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(centroid(output.GetNthDataNode(2), "liver"), moved(SHIFTS[2]), atol=0.5)
    assert output.GetNodeReference("VoxelMorph.Transforms").GetNumberOfDataNodes() == 3


def test_the_forums_array_and_back_in_slicers_words(module, scene, tmp_path):
    logic = module.VoxelMorphRegistrationLogic()
    image = frame(0.0)
    fixed = node_of(scene, image, "fixed")
    field = np.zeros((1, 3, *image.GetSize()[::-1]), np.float32)
    field[:, 2] = 1.5
    np.savez(tmp_path / "voxelmorph.npz", field)
    transform = logic.importDisplacement(np.load(tmp_path / "voxelmorph.npz"), None, fixed)
    pulled = np.array(transform.GetTransformFromParent().TransformPoint(CENTRE * (-1, -1, 1))) * (-1, -1, 1)
    np.testing.assert_allclose(pulled - CENTRE, np.reshape(image.GetDirection(), (3, 3))[:, 0] * 3.0, atol=1e-4)
    logic.exportDisplacement(transform, tmp_path / "t.nrrd")
    np.testing.assert_allclose(sitk.ReadImage(str(tmp_path / "t.nrrd"))[4, 5, 6], pulled - CENTRE, atol=1e-4)


_SELF_TEST = """
import sys, unittest
for name in ("torch", "voxelmorph", "neurite", "pystrum", "nibabel", "h5py", "platformdirs", "tqdm", "matplotlib"):
    sys.modules[name] = None
import slicer, slicer.util
slicer.mrmlScene = slicer.vtkMRMLScene()
sys.path[:0] = [{root!r}, {module!r}]
from Testing.support.scripted_module import stand_in
stand_in(sys.modules.__setitem__)
result = unittest.TextTestRunner().run(unittest.TestLoader().loadTestsFromName("VoxelMorphRegistration"))
assert result.wasSuccessful() and result.testsRun == 3
"""


def test_slicers_own_self_test_passes_where_nothing_is_installed_and_says_what_it_left_out():
    """As on the computers that build Slicer's extensions, and by the loader that `slicer_add_python_unittest` uses."""
    code = _SELF_TEST.format(root=str(MODULE.parent), module=str(MODULE))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Registration was not tested: torch") == 2


def test_slicers_own_self_test_of_the_module_passes(module, scene, logic):
    pytest.importorskip("voxelmorph")
    module.VoxelMorphRegistrationTest().runTest()


def test_the_panel_names_every_widget_the_code_uses():
    sources = (MODULE / "VoxelMorphRegistrationLib" / "widgets").glob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    panel = (MODULE / "Resources" / "UI" / "VoxelMorphRegistration.ui").read_text(encoding="utf-8")
    used = set(re.findall(r"\b_?ui\.(\w+)", source))
    assert len(used) > 30 and used <= set(re.findall(r'<widget class="\w+" name="(\w+)"', panel))
