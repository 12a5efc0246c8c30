"""How long the window stands still during whole runs of large data, from Apply to the result that is shown.

    python -m Testing.gui.whole_runs             # prints the table
    python -m Testing.gui.whole_runs --record    # and writes it into Docs/slicer.md
    python -m Testing.gui.whole_runs --only pair # runs whose name begins so

The gap is the largest between two ticks of a timer of the window, on the tests' host outside Slicer; time that other
programs took of the processor is not counted. The network is the fast one at 5 mm: what it computes is the worker's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from Testing.support.marked_pages import between

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "slicer.md"
PAIR_SIZE, FRAME_SIZE, FRAMES = (256, 256, 160), (192, 192, 96), 6
_MINUTES = 15


def ball(size: tuple[int, int, int], shift: float) -> np.ndarray:
    """A textured ball, float32 (k, j, i), of half the extent of the image, moved along j."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in reversed(size)], indexing="ij")
    distance = np.sqrt(k**2 + (j - shift) ** 2 + i**2)
    return 800 * (1 + 0.2 * np.sin(9 * k + 7 * (j - shift) + 5 * i)) / (1 + np.exp((distance - 0.5) * 40))


def pair(panel: Any, folder: Path, full: bool) -> str:
    """Chosen for a run: its input in words."""
    import slicer
    import slicer.util

    parameters = panel.panel.parameters
    fixed, moving = (
        slicer.util.addVolumeFromArray(ball(PAIR_SIZE, shift), name=name)
        for name, shift in (("fixed", 0.0), ("moving", 0.06))
    )
    parameters.fixedVolume, parameters.movingVolume, parameters.fullTransform = fixed, moving, full
    parameters.outputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    return "x".join(map(str, PAIR_SIZE))


def sequence(panel: Any, folder: Path, transforms: bool) -> str:
    """Chosen for a run: its input in words."""
    import slicer
    import slicer.util

    from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
    from VoxelMorphRegistrationLib.mrml.segmentations import update_segmentation_node
    from VoxelMorphRegistrationLib.mrml.volumes import image_from_volume
    from VoxelMorphRegistrationLib.space.grid import Grid
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    scene, parameters = slicer.mrmlScene, panel.panel.parameters
    frames = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    grid = None
    for index in range(FRAMES):
        values = ball(FRAME_SIZE, 0.02 * index).astype(np.int16)
        volume = slicer.util.addVolumeFromArray(values, name="volume")
        grid = grid or Grid.of(image_from_volume(volume))
        frames.SetDataNodeAtValue(volume, str(index))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "cine browser")
    browser.SetAndObserveMasterSequenceNodeID(frames.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organ")
    update_segmentation_node(drawn, Segmentation.of(grid.image((ball(FRAME_SIZE, 0.0) > 400).astype(np.uint8))))
    drawn.CreateDefaultDisplayNodes()
    parameters.mode, parameters.sequence, parameters.segmentation = Mode.SEQUENCE, frames, drawn
    parameters.saveTransforms, parameters.runFolder = transforms, folder
    return f"{FRAMES} frames of {'x'.join(map(str, FRAME_SIZE))}"


RUNS: dict[str, Callable[[Any, Path], str]] = {
    "pair, transform as by default": lambda panel, folder: pair(panel, folder, False),
    "pair, transform at every voxel": lambda panel, folder: pair(panel, folder, True),
    "sequence": lambda panel, folder: sequence(panel, folder, False),
    "sequence, transforms kept": lambda panel, folder: sequence(panel, folder, True),
}


def measured(host: Any, name: str) -> dict[str, Any]:
    """The largest gap of one run, in a scene and a panel of its own."""
    import slicer

    from Testing.gui import MODULE_FILE

    panel = host.open_module(MODULE_FILE)
    host.process(0.5)
    with tempfile.TemporaryDirectory() as folder:
        size = RUNS[name](panel, Path(folder) / "run")
        parameters = panel.panel.parameters
        parameters.network, parameters.networkSpacing = "any-anatomy-fast", 5.0
        host.process(0.5)
        began = time.monotonic()
        with host.tick_gaps() as gaps:
            panel.ui.applyButton.click()
            host.wait_until(lambda: not panel.panel.running, 60 * _MINUTES, name)
            host.process(1.0)
        said = panel.ui.statusLabel.text
        seconds = time.monotonic() - began
        panel.cleanup()
    slicer.mrmlScene.Clear(0)
    if not said.startswith("Done"):
        raise SystemExit(f"{name}: {said}")
    return {"name": name, "size": size, "seconds": seconds, "gap": gaps.largest}


def table(found: list[dict[str, Any]]) -> str:
    lines = ["| run | of | seconds | largest gap, s |", "|---|---|---|---|"]
    lines += [f"| {one['name']} | {one['size']} | {one['seconds']:.0f} | {one['gap']:.2f} |" for one in found]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--record", action="store_true", help="write the table into Docs/slicer.md")
    args = parser.parse_args()
    names = [name for name in RUNS if not args.only or name.startswith(tuple(args.only))]

    from Testing.gui.host import start

    host = start()
    found = [measured(host, name) for name in names]
    host.quit()
    if host.exceptions:
        raise SystemExit("\n".join(host.exceptions))
    print(table(found))
    if args.record:
        text = between(PAGE.read_text(encoding="utf-8"), "gaps", f"\n{table(found)}\n")
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
