"""Pictures of the panel in both modes, at 100 % and 150 %, light and dark.

    python -m Testing.gui.screenshots [FOLDER]

They are rendered by the tests' host outside Slicer: widgets and fonts are those of this computer's Qt, and no view is
drawn. Each size needs a process of its own, because Qt reads the scale when it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_WIDTH = 460  # The module panel of Slicer's window at its usual width.
SCALES = {"100": "1", "150": "1.5"}
LOOKS = ("light", "dark")


def _scene(host):
    """A pair of volumes, and a sequence with its segmentation."""
    import slicer

    from Testing.support.moving_body import SHIFTS, TIMES, draw, frame
    from Testing.support.scenery import node_of

    scene = slicer.mrmlScene
    node_of(scene, frame(0.0), "liver_inhale")
    node_of(scene, frame(6.0), "liver_exhale")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "liver_4d")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    for shift, time in zip(SHIFTS, TIMES):
        volume = node_of(scene, frame(shift), "liver")
        sequence.SetDataNodeAtValue(volume, time)
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "liver_4d browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    draw(scene).SetName("liver_4d segmentation")
    host.process()


def _set_up(panel):
    """Choose the pair, as a person would."""
    import slicer

    for selector, name in (("fixedVolumeSelector", "liver_inhale"), ("movingVolumeSelector", "liver_exhale")):
        getattr(panel.ui, selector).setCurrentNode(slicer.util.getNode(name))
    return {"pair": lambda: None}


def render(folder, scale):
    from Testing.gui import MODULE_FILE
    from Testing.gui.host import start
    from Testing.gui.host.appearance import picture, set_look

    host = start()
    panel = host.open_module(MODULE_FILE)
    _scene(host)
    for mode, choose in _set_up(panel).items():
        choose()
        for look in LOOKS:
            set_look(look)
            host.process(0.1)
            path = Path(folder) / f"panel_{mode}_{scale}_{look}.png"
            picture(panel.parent, _WIDTH).save(str(path))
            print(path)


def main(folder=None):
    folder = Path(folder or _ROOT / "Resources")
    folder.mkdir(parents=True, exist_ok=True)
    for scale, factor in SCALES.items():
        code = f"from Testing.gui.screenshots import render; render({str(folder)!r}, {scale!r})"
        environment = {**os.environ, "QT_SCALE_FACTOR": factor, "QT_QPA_PLATFORM": "offscreen"}
        paths = [str(_ROOT), str(_ROOT / "VoxelMorphRegistration"), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
