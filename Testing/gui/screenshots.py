"""Pictures of the panel with a result in it, in each of its modes, at 100 % and 150 %, light and dark.

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
_MINUTES = 5


def _volumes():
    """Two volumes of a moving body, and a sequence of it with its segmentation, under a person's names."""
    import slicer

    from Testing.support.moving_body import SHIFTS, TIMES, draw, frame
    from Testing.support.scenery import node_of

    scene = slicer.mrmlScene
    pair = [node_of(scene, frame(shift), name) for shift, name in ((0.0, "liver exhale"), (6.0, "liver inhale"))]
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "liver 4D")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    for shift, time in zip(SHIFTS, TIMES):
        volume = node_of(scene, frame(shift), "volume")
        sequence.SetDataNodeAtValue(volume, time)
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "liver 4D browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    segmentation = draw(scene)
    segmentation.SetName("liver segmentation")
    return pair, sequence, segmentation


def _run(host, ui):
    ui.applyButton.click()
    host.wait_until(lambda: ui.applyButton.text == "Apply", 60 * _MINUTES, "the run to end")


def _modes(host, panel):
    """The name of each mode, with its result shown."""
    import slicer

    ui = panel.ui
    (fixed, moving), sequence, segmentation = _volumes()
    ui.fixedVolumeSelector.setCurrentNode(fixed)
    ui.movingVolumeSelector.setCurrentNode(moving)
    _run(host, ui)
    yield "pair"
    if not hasattr(ui, "modeSelector"):
        return
    ui.modeSelector.currentIndex = 1
    ui.sequenceSelector.setCurrentNode(sequence)
    ui.segmentationSelector.setCurrentNode(segmentation)
    ui.runFolderSelector.currentPath = str(Path(slicer.app.temporaryPath) / "liver 4D run")
    _run(host, ui)
    shown = ui.runFolderSelector.comboBox()
    shown.blockSignals(True)  # A person's folder in the picture, not this computer's temporary one.
    shown.setCurrentText("~/patients/01/liver 4D run")
    yield "sequence"


def main(folder=None):
    from Testing.gui import MODULE_FILE
    from Testing.gui.host import start
    from Testing.gui.host.appearance import picture, set_look

    folder = Path(folder or _ROOT / "Resources")
    folder.mkdir(parents=True, exist_ok=True)
    host = start()
    panel = host.open_module(MODULE_FILE)
    for mode in _modes(host, panel):
        for look in _LOOKS:
            set_look(look)
            host.process(0.2)
            for scale, factor in _SCALES.items():
                path = folder / f"panel_{mode}_{scale}_{look}.png"
                picture(panel.parent, _WIDTH, factor).save(str(path))
                print(path)
    host.quit()
    if host.exceptions:
        raise SystemExit("\n".join(host.exceptions))


if __name__ == "__main__":
    main(*sys.argv[1:])
