"""Everything that a person chooses in the panel, kept in the scene's parameter node."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper


class Mode(enum.Enum):
    PAIR = "pair"
    SEQUENCE = "sequence"

    def label(self) -> str:
        if self is Mode.PAIR:
            return _("Register a pair of volumes")
        return _("Carry a segmentation through a sequence")


class Start(enum.Enum):
    """The alignment before the network; `automatic` is rigid for a pair and none for frames of one sequence."""

    AUTOMATIC = "automatic"
    NONE = "none"
    CENTERS = "centers"
    RIGID = "rigid"
    AFFINE = "affine"

    def label(self) -> str:
        return {
            Start.AUTOMATIC: _("By the preset, else by the mode"),
            Start.NONE: _("None: they lie on each other"),
            Start.CENTERS: _("Centers on each other"),
            Start.RIGID: _("Rigid"),
            Start.AFFINE: _("Affine"),
        }[self]

    def option(self, mode: Mode) -> str:
        if self is Start.AUTOMATIC:
            return "rigid" if mode is Mode.PAIR else "none"
        return self.value


class Strategy(enum.Enum):
    DIRECT = "direct"
    SEQUENTIAL = "sequential"
    KEYFRAMES = "keyframes"
    MOTION_MODEL = "motion-model"
    AUTOMATIC = "auto"

    def label(self) -> str:
        return {
            Strategy.DIRECT: _("Each frame with the reference"),
            Strategy.SEQUENTIAL: _("Each frame with the one before"),
            Strategy.KEYFRAMES: _("Every 8th, others interpolated"),
            Strategy.MOTION_MODEL: _("Few, the others combined of them"),
            Strategy.AUTOMATIC: _("Combined from 64 frames on"),
        }[self]


class Refinement(enum.Enum):
    AS_PRESET = ""
    NONE = "0"
    SOME = "30"
    AUTOMATIC = "auto"

    def label(self) -> str:
        return {
            Refinement.AS_PRESET: _("By the preset, else none"),
            Refinement.NONE: _("None: the network's answer"),
            Refinement.SOME: _("30 steps: about twice the time"),
            Refinement.AUTOMATIC: _("Until nothing is gained: slow"),
        }[self]


class Labels(enum.Enum):
    """How labels are warped; as `--label-interpolation`."""

    NEAREST = "nearest"
    SMOOTH = "smooth"

    def label(self) -> str:
        return {
            Labels.NEAREST: _("Voxel by voxel"),
            Labels.SMOOTH: _("Smooth: a little slower"),
        }[self]


@dataclass(frozen=True)
class Changes:
    """What one run is to have in place of what the panel holds; None leaves it."""

    preset: str | None = None
    strategy: Strategy | None = None
    refinement: Refinement | None = None


AS_CHOSEN = Changes()


@parameterNodeWrapper
class Parameters:
    mode: Mode

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    outputTransform: slicer.vtkMRMLTransformNode
    outputVolume: slicer.vtkMRMLScalarVolumeNode
    fullTransform: bool

    sequence: slicer.vtkMRMLSequenceNode
    segmentation: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007 (Slicer's wrapper reads it)
    referenceFrame: Annotated[int, WithinRange(0, 99999)]
    # Each with the segmentation beside it, or with what the output holds of that frame where that is None.
    furtherReferences: list[int]
    furtherSegmentations: list[slicer.vtkMRMLSegmentationNode]
    leftOutSegments: list[str]
    outputSequence: slicer.vtkMRMLSequenceNode
    runFolder: pathlib.Path
    maskMargin: Annotated[float, WithinRange(0.0, 500.0)]
    region: slicer.vtkMRMLMarkupsROINode
    points: Union[  # noqa: UP007
        slicer.vtkMRMLMarkupsFiducialNode,
        slicer.vtkMRMLMarkupsLineNode,
        slicer.vtkMRMLMarkupsCurveNode,
        slicer.vtkMRMLMarkupsClosedCurveNode,
        slicer.vtkMRMLMarkupsAngleNode,
        None,
    ]
    surface: slicer.vtkMRMLModelNode
    saveTransforms: bool
    labels: Labels
    # Of the last run, and the settings that it was timed with.
    secondsAFrame: float
    timedWith: Annotated[str, Default("")]

    preset: Annotated[str, Default("")]
    start: Start
    strategy: Strategy
    refinement: Refinement
    networkSpacing: Annotated[float, WithinRange(0.0, 20.0)]
    network: Annotated[str, Default("")]
    device: Annotated[str, Default("auto")]

    def registration_options(self, changes: Changes = AS_CHOSEN) -> list[str]:
        """The options that `register` and `propagate` share."""
        options = ["--device", self.device]
        preset = self.preset if changes.preset is None else changes.preset
        refinement = self.refinement if changes.refinement is None else changes.refinement
        if preset:
            options += ["--preset", preset]
        # What is chosen under Advanced goes before what a preset sets.
        if self.start is not Start.AUTOMATIC or not preset:
            options += ["--align", self.start.option(self.mode)]
        if refinement is not Refinement.AS_PRESET:
            options += ["--refine", refinement.value]
        if self.networkSpacing > 0:
            options += ["--network-spacing", f"{self.networkSpacing:g}"]
        if self.network:
            options += ["--model", self.network]
        return options

    def propagation_options(self, changes: Changes = AS_CHOSEN) -> list[str]:
        """The options of `propagate` alone, but for what is carried and where to."""
        options = ["--strategy", (changes.strategy or self.strategy).value]
        if self.maskMargin > 0 and self.region is None and self.segmentation is not None:
            options += ["--mask-margin", f"{self.maskMargin:g}"]
        if self.saveTransforms:
            options += ["--save-transforms", "full"]
        if self.labels is not Labels.NEAREST:
            options += ["--label-interpolation", self.labels.value]
        return options

    def references(self) -> list[int]:
        """The segmented frames: the one that was drawn on, and the further ones."""
        return [self.referenceFrame, *self.further_references()]

    def further_references(self) -> dict[int, slicer.vtkMRMLSegmentationNode | None]:
        """The further segmented frames with their segmentations; None for what the output holds of that frame.

        None count where points or a model are carried alone: these belong to one frame.
        """
        if self.segmentation is None:
            return {}
        frames, nodes = list(self.furtherReferences), list(self.furtherSegmentations)
        nodes += [None] * (len(frames) - len(nodes))  # as scenes of earlier versions have it
        return {frame: node for frame, node in zip(frames, nodes) if frame != self.referenceFrame}

    def set_further_references(self, further: Mapping[int, slicer.vtkMRMLSegmentationNode | None]) -> None:
        """Keep these, and no others."""
        self.furtherReferences = list(further)
        self.furtherSegmentations = list(further.values())


def parameters_of(node: slicer.vtkMRMLScriptedModuleNode) -> Parameters:
    """The parameters that a parameter node holds."""
    return Parameters(node)  # type: ignore[call-arg]  # the wrapper's own constructor
