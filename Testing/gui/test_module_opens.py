"""The module in Slicer's window: it opens, and its own test runs."""

import os
import subprocess
import sys
import types
from pathlib import Path

import slicer

from Testing.gui import MODULE_FILE


def test_the_panel_opens_with_an_empty_scene(host, panel):
    host.process(0.05)
    assert panel.ui.applyButton.enabled is False


def test_apply_waits_for_two_volumes(host, panel):
    fixed, moving = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("f", "m"))
    panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
    assert panel.ui.applyButton.enabled is False
    panel.ui.movingVolumeSelector.setCurrentNode(moving)
    assert panel.ui.applyButton.enabled is True


def test_an_opened_section_shows_nothing_of_the_other_mode(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    ui = panel.ui
    for mode, of_pairs in ((Mode.SEQUENCE, False), (Mode.PAIR, True)):
        for section in (ui.inputsSection, ui.outputsSection, ui.resultSection, ui.advancedSection):
            section.collapsed = True
        panel.panel.parameters.mode = mode
        for section in (ui.inputsSection, ui.outputsSection, ui.resultSection, ui.advancedSection):
            section.collapsed = False
        for widget in (ui.pairInputs, ui.pairOutputs, ui.pairResult, ui.fullTransformCheckBox):
            assert widget.visible is of_pairs
        for widget in (ui.sequenceInputs, ui.sequenceOutputs, ui.sequenceResult, ui.referencesBox, ui.labelsSelector):
            assert widget.visible is not of_pairs
    assert not ui.againBox.visible


def test_the_panel_is_not_wider_than_slicers_module_panel_whatever_is_open(host, panel):
    ui = panel.ui
    for section in (ui.inputsSection, ui.outputsSection, ui.resultSection, ui.advancedSection):
        section.collapsed = False
    ui.againBoxButton.enabled = ui.againBoxButton.checked = ui.againBox.visible = True
    assert panel.parent.minimumSizeHint().width() <= 500


def test_slicers_self_test_of_the_module_passes(host, panel):
    slicer.modules.VoxelMorphRegistrationInstance.runTest()


def test_sample_data_offers_a_body_that_breathes_without_a_download(host, panel, monkeypatch):
    offered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    slicer.app.startupCompleted.emit()
    source = offered[0]
    assert Path(source["thumbnailFileName"]).is_file() and not source["uris"]
    source["customDownloader"](source)
    sequence = slicer.mrmlScene.GetFirstNodeByName("Breathing phantom")
    assert sequence.GetNumberOfDataNodes() == 10
    segmentation = slicer.mrmlScene.GetFirstNodeByName("Liver of frame 0")
    assert list(segmentation.GetSegmentation().GetSegmentIDs()) == ["liver", "lesion"]
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID()).GetImageData() is not None


def test_a_beating_heart_is_slicers_own_sample_and_a_failed_download_is_said_in_words(host, panel, monkeypatch):
    from Testing.gui.scenes import sequence_of

    offered, there = [], []

    class Logic:
        registerCustomSampleDataSource = staticmethod(lambda **source: offered.append(source))

        def downloadSamples(self, name):
            assert name == "CTCardioSeq"
            return there

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=Logic))
    slicer.app.startupCompleted.emit()
    heart = next(source for source in offered if source["sampleName"] == "BeatingHeart")
    heart["customDownloader"](heart)
    assert "could not be downloaded. Is this computer online" in host.dialogs.shown[-1].text
    sequence, browser = sequence_of(2, "CTCardioSeq")
    there.append(sequence)
    heart["customDownloader"](heart)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == browser.GetProxyNode(sequence).GetID() and len(host.dialogs.shown) == 1


_WITHOUT = """
import sys
for name in ("torch", "voxelmorph", "neurite", "nibabel", "h5py", "platformdirs", "tqdm", "scipy", "SimpleITK"):
    sys.modules[name] = None
from Testing.gui.host import start
host = start()
panel = host.open_module({module!r})
host.process(0.2)
host.quit()
assert not host.exceptions, host.exceptions
assert not host.dialogs.shown, host.dialogs.shown
print("opened", panel.moduleName)
"""


def test_the_panel_opens_before_anything_is_installed(host):
    """A process of its own, for torch cannot be unlearned."""
    root = MODULE_FILE.parents[1]
    paths = os.pathsep.join([str(root), str(root / "VoxelMorphRegistration")])
    code = _WITHOUT.format(module=str(MODULE_FILE))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert "opened VoxelMorphRegistration" in done.stdout
