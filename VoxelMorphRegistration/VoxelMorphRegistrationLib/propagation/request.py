"""A propagation as it is asked for by files: plain values alone, which another process can be sent."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..files.images import read_image
from ..files.markups import read_points
from ..files.meshes import read_surface
from ..registration.settings import Settings, precision_name
from .choices import StrategyName
from .frame_files import Wanted
from .frame_selection import select_frames
from .frames import Frames, open_frames
from .propagate import Propagation
from .record import Run, describe_file, describe_frames, installed_versions
from .settings import PropagationSettings

if TYPE_CHECKING:
    from ..models.loading import Model
    from ..space.grid import Grid

#: Options of a pair that say where and how fast, or that are files: they are told elsewhere in a record.
_ELSEWHERE = ("device", "precision", "initial_transform")


@dataclass(frozen=True)
class Request:
    """What is to be propagated, and how; every option as the command line names it.

    Attributes:
        sequence: where the frames are, see `open_frames`.
        segmentations: files, one for each of `reference_frames`; none where only points or a surface are carried.
        frames: which ones, see `select_frames`.
        strategy, keyframe_step, keyframes, mask_margin: see `PropagationSettings`. mask, motion_model: files.
        points, surface: files. transforms: see `Wanted`.
        model: a name or a file. adapt: how long the network is trained on the sequence first.
        pair: the options of `registration.Settings`.
        arguments: the command line that asks for the same.
    """

    sequence: str
    reference_frames: tuple[int, ...]
    segmentations: tuple[str, ...] = ()
    frames: str | None = None
    strategy: StrategyName = "direct"
    keyframe_step: int = 8
    keyframes: int | None = None
    motion_model: str | None = None
    mask: str | None = None
    mask_margin: float | None = None
    points: str | None = None
    surface: str | None = None
    transforms: int = 0
    model: str | None = None
    adapt: str | None = None
    pair: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def wanted(self) -> Wanted:
        """What is written of a frame."""
        return Wanted(self.transforms, bool(self.points), bool(self.surface))

    def open(self, model: Model | None = None, frames: Frames | None = None) -> Propagation:
        """The propagation, set up and checked, with the network loaded.

        Args:
            model: in place of loading the one that is asked for. frames: in place of opening the sequence.

        Raises InputError for whatever is not usable, see `propagate`.
        """
        if frames is None:
            frames = self.open_frames()
        settings = PropagationSettings(
            strategy=self.strategy,
            keyframe_step=self.keyframe_step,
            select=select_frames(self.frames, len(frames)),
            mask=read_image(self.mask) if self.mask else None,
            mask_margin=self.mask_margin,
            registration=Settings(**self.pair),
            keyframes=self.keyframes,
            motion_model=self.motion_model,
            detail="everywhere" if self.transforms else "segmentation",
        )
        return Propagation(
            frames,
            list(self.segmentations) or [None] * len(self.reference_frames),
            list(self.reference_frames),
            model or self.model,
            settings,
            points=read_points(self.points) if self.points else None,
            surface=read_surface(self.surface) if self.surface else None,
        )

    def open_frames(self, shared: bool = False) -> Frames:
        """The sequence; segmentation and mask are no frames although they may lie among them.

        For `shared` see `frames.open_frames`.
        """
        return open_frames(self.sequence, [*self.segmentations, *([self.mask] if self.mask else [])], shared)

    def describe(self, propagation: Propagation) -> Run:
        """The record of a run: what changes results (`Run.settings`, model, inputs), and what says where and when."""
        strategy = propagation.settings.strategy
        settings = {name: value for name, value in self.pair.items() if name not in _ELSEWHERE}
        settings |= {
            "strategy": strategy,
            "adapt": self.adapt,
            "save_transforms": self.transforms,
            "reference_frames": [reference.index for reference in propagation.references],
            "network_grid": _grid_text(propagation.network_grid()),
            "model_card": propagation.model.card.digest,
        }
        if propagation.detail == "segmentation":
            settings["detail"] = "segmentation"  # not said of the other, which earlier versions had alone
        if strategy == "keyframes":
            settings["keyframe_step"] = self.keyframe_step
        if strategy == "motion-model":
            settings["keyframes"] = self.keyframes
        if any(reference.renumbered for reference in propagation.references):
            # Frames of versions that matched segments by their numbers are not to be mixed with these.
            settings["segments"] = "matched by id and name"
        if self.mask_margin is not None:
            settings["mask_margin"] = self.mask_margin
        model = {"name": propagation.model.card.name, "sha256": propagation.model.sha256}
        circumstances = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "device": str(propagation.registrar.device),
            "precision": precision_name(propagation.registrar.convolutions),
            "sequence": self.sequence,
            "frames": self.frames,
            "arguments": list(self.arguments),
            "working_folder": os.getcwd(),
            "wanted": len(propagation.select),
            "total": len(propagation.frames),
            "index": {"name": propagation.frames.index_name, "unit": propagation.frames.index_unit},
            "cores": os.cpu_count(),
        }
        if propagation.frames.title:
            circumstances["sequence_name"] = propagation.frames.title
        frames = describe_frames(propagation.frames)
        return Run(settings, model, self._inputs(propagation.frames), frames, circumstances, installed_versions())

    def _inputs(self, frames: Frames) -> dict[str, str]:
        inputs: dict[str, str] = {}
        for number, given in enumerate(self.reference_frames):
            index = given % len(frames)
            inputs[f"reference frame {index}"] = describe_file(frames.file(index))
            if self.segmentations:
                inputs[f"segmentation of frame {index}"] = describe_file(self.segmentations[number])
        named = {"points": self.points, "surface": self.surface, "mask": self.mask}
        named["motion model"] = self.motion_model
        named["initial_transform"] = self.pair.get("initial_transform")
        return inputs | {role: describe_file(file) for role, file in named.items() if file}


def _grid_text(grid: Grid) -> str:
    """Size and spacing; where it lies follows from the frames."""
    size, spacing = (" x ".join(f"{value:.6g}" for value in each) for each in (grid.size, grid.spacing))
    return f"{size} voxels of {spacing} mm"
