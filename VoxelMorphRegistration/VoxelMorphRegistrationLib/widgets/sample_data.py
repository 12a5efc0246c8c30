"""What the Sample Data module offers to try this module on: a body that breathes, and Slicer's own scan of a heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _


def register(thumbnail: Path) -> None:
    """Offer two sequences: one that is made by formulas without a download, and Slicer's own 4D scan of a heart.

    `thumbnail`: the picture of the first. To be called once Slicer has loaded all of its modules.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="VoxelMorph",
        sampleName="BreathingPhantom",
        thumbnailFileName=str(thumbnail),
        uris=[],
        fileNames=[],
        customDownloader=show_breathing_phantom,
    )
    # Under another name than Slicer's own sample, which is looked up by its name when it is downloaded.
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="VoxelMorph",
        sampleName="BeatingHeart",
        uris=[],
        fileNames=[],
        customDownloader=show_beating_heart,
    )


def show_breathing_phantom(source: Any = None) -> None:
    """What the Sample Data module calls: the sequence in the scene, its first frame in the slice views."""
    from ..mrml.breathing_phantom import add_breathing_phantom

    sequence, _segmentation = add_breathing_phantom()
    _show_first_frame(sequence)


def show_beating_heart(source: Any = None) -> None:
    """Slicer's sample CTCardioSeq in the scene; where it cannot be downloaded, that is said in words."""
    import SampleData

    nodes = SampleData.SampleDataLogic().downloadSamples("CTCardioSeq")
    sequence = next((node for node in nodes if hasattr(node, "IsA") and node.IsA("vtkMRMLSequenceNode")), None)
    if sequence is None:
        slicer.util.errorDisplay(
            _(
                "CTCardioSeq could not be downloaded. Is this computer online, and is a proxy needed (environment "
                "variable HTTPS_PROXY)? BreathingPhantom, beside it, needs no download."
            ),
            _("VoxelMorph Registration"),
        )
        return
    _show_first_frame(sequence)


def _show_first_frame(sequence: slicer.vtkMRMLSequenceNode) -> None:
    from ..mrml.browsing import browser_of

    browser = browser_of(sequence)
    if browser is not None:
        slicer.util.setSliceViewerLayers(background=browser.GetProxyNode(sequence), fit=True)
