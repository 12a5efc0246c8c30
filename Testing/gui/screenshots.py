"""Pictures of the panel: each mode with a result, at 100 % and 150 %, light and dark, and the tutorials' steps.

    python -m Testing.gui.screenshots [FOLDER]

They are rendered by the tests' host outside Slicer: widgets and fonts are those of this computer's Qt, and no view is
drawn. Without a folder they go to Resources/, where the pages show them with that caption.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_WIDTH = 500  # About the module panel of Slicer's window.
_SCALES = {"100": 1.0, "150": 1.5}
_LOOKS = ("light", "dark")
_MINUTES = 10
_QUICK = "any-anatomy-fast", 5.0  # The pictures show the panel, not what the network can do.
_RUN_FOLDER = "~/patients/01/liver-run"


class _Album:
    """Takes pictures of one panel while its steps are gone through."""

    def __init__(self, host, panel, folder):
        self.host, self.panel, self.ui, self.folder = host, panel, panel.ui, folder
        self.parameters = panel.panel.parameters

    def take(self, name, scale=1.0):
        from Testing.gui.host.appearance import picture

        path = self.folder / f"{name}.png"
        self.ui.notDiagnosticLabel.setFocus()
        picture(self.panel.parent, _WIDTH, scale).save(str(path))
        print(path)

    def every_look(self, mode):
        from Testing.gui.host.appearance import set_look

        for look in _LOOKS:
            set_look(look)
            self.host.process(0.2)
            for scale, factor in _SCALES.items():
                self.take(f"panel_{mode}_{scale}_{look}", factor)
        set_look("light")
        self.host.process(0.2)

    def run(self, button=None, halfway=None, share=0.3):
        """Press a button and wait for its run, with a picture in the middle of it where one is named."""
        (button or self.ui.applyButton).click()
        if halfway is not None:
            middle = round(1000 * share)
            self.host.wait_until(lambda: self.ui.progressBar.value > middle, 60 * _MINUTES, "the middle of the run")
            with _named_folder(self):
                self.take(halfway)
        self.host.wait_until(lambda: not self.panel.panel.running, 60 * _MINUTES, "the run")

    def export(self):
        """Write the first of what can be exported; the folder in the picture is a person's."""
        import slicer

        folder = Path(slicer.app.temporaryPath) / "liver"
        self.host.dialogs.answers.append(("exported files", str(folder)))
        self.ui.exportButton.click()
        self.host.wait_until(lambda: "Exported" in self.ui.statusLabel.text, 60, "the export")
        self.ui.statusLabel.text = self.ui.statusLabel.text.replace(str(folder), "~/patients/01/liver")


def _pair(album, sequence):
    import slicer

    from VoxelMorphRegistrationLib.mrml.breathing_phantom import FRAMES

    volumes = []
    for index, name in ((0, "exhale"), (FRAMES // 2, "inhale")):
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        volume.CopyContent(sequence.GetNthDataNode(index))
        volume.SetName(name)
        volumes.append(volume)
    album.parameters.fixedVolume, album.parameters.movingVolume = volumes
    album.take("tutorial_pair_1")
    album.run(halfway="tutorial_pair_2", share=0.01)
    album.take("tutorial_pair_3")
    album.every_look("pair")
    album.ui.hardenButton.click()
    album.take("tutorial_pair_4")


def _sequence(album, sequence, segmentation):
    from VoxelMorphRegistrationLib.mrml.browsing import browser_of
    from VoxelMorphRegistrationLib.widgets.parameters import Mode, Refinement

    ui, parameters = album.ui, album.parameters
    parameters.mode, parameters.sequence, parameters.segmentation = Mode.SEQUENCE, sequence, segmentation
    with _named_folder(album):
        album.take("tutorial_sequence_1")
    browser_of(sequence).SetSelectedItemNumber(3)
    album.run(ui.tryButton)
    with _named_folder(album):
        album.take("tutorial_sequence_2")
    album.run(halfway="tutorial_sequence_3")
    ui.nextFlaggedButton.click()
    with _named_folder(album):
        album.take("tutorial_sequence_4")
    _correct(album, 5)
    with _named_folder(album):
        album.every_look("sequence")
    album.run(ui.referenceButton, halfway="tutorial_sequence_5")
    ui.againBoxButton.click()
    ui.againFramesEdit.text = "6, 7"
    ui.againRefinementSelector.currentIndex = 1 + list(Refinement).index(Refinement.SOME)
    with _named_folder(album):
        album.take("tutorial_sequence_6")
    ui.againBoxButton.click()
    ui.advancedSection.collapsed = False
    parameters.network, parameters.networkSpacing = "", 0.0
    album.host.wait_until(lambda: "Licence" in ui.networkInfo.text, 60, "the catalogue")
    with _named_folder(album):
        album.take("panel_advanced")
    ui.advancedSection.collapsed = True
    album.export()
    with _named_folder(album):
        album.take("tutorial_sequence_7")
    _disturb(album, sequence, 7)
    with _named_folder(album):
        album.take("panel_flagged")


def _disturb(album, sequence, frame):
    """A frame whose image the scanner spoilt is made again, and looked at."""
    import numpy as np
    import slicer
    import slicer.util

    album.parameters.network, album.parameters.networkSpacing = _QUICK
    voxels = slicer.util.arrayFromVolume(sequence.GetNthDataNode(frame))
    noise = np.random.default_rng(0).normal(0, 2 * voxels.std(), voxels.shape)
    voxels[:] = np.clip(voxels + noise, voxels.min(), voxels.max())
    album.ui.againBoxButton.click()
    album.ui.againFramesEdit.text = str(frame)
    album.ui.againRefinementSelector.currentIndex = 0
    album.run(album.ui.againButton)
    album.ui.againBoxButton.click()
    album.ui.nextFlaggedButton.click()


def _correct(album, frame):
    """A frame is changed by hand, as the Segment Editor does."""
    import slicer

    from VoxelMorphRegistrationLib.mrml.browsing import browser_of, update_proxies

    output = album.parameters.outputSequence
    browser = browser_of(album.parameters.sequence)
    browser.SetSelectedItemNumber(frame)
    update_proxies(browser)
    proxy = browser.GetProxyNode(output)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(proxy, "lesion")[0] = 0
    proxy.GetSegmentation().GetSegment("lesion").Modified()
    album.panel.panel.update()


class _named_folder:
    """A person's folder in the picture, not this computer's temporary one."""

    def __init__(self, album):
        self._shown = album.ui.runFolderSelector.comboBox()

    def __enter__(self):
        self._kept = self._shown.currentText
        self._shown.blockSignals(True)
        self._shown.setCurrentText(_RUN_FOLDER)

    def __exit__(self, *error):
        self._shown.setCurrentText(self._kept)
        self._shown.blockSignals(False)


def main(folder=None):
    import slicer

    from Testing.gui import MODULE_FILE
    from Testing.gui.host import start
    from Testing.gui.host.appearance import set_look

    folder = Path(folder or _ROOT / "Resources")
    folder.mkdir(parents=True, exist_ok=True)
    host = start()
    set_look("light")
    panel = host.open_module(MODULE_FILE)
    from VoxelMorphRegistrationLib.mrml.breathing_phantom import add_breathing_phantom

    sequence, segmentation = add_breathing_phantom()
    album = _Album(host, panel, folder)
    album.parameters.network, album.parameters.networkSpacing = _QUICK
    album.parameters.runFolder = Path(slicer.app.temporaryPath) / "liver-run"
    _pair(album, sequence)
    _sequence(album, sequence, segmentation)
    host.quit()
    if host.exceptions:
        raise SystemExit("\n".join(host.exceptions))


if __name__ == "__main__":
    main(*sys.argv[1:])
