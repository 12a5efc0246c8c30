"""What registering one pair gives: the displacement, and everything that can be made from it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from ..annotations.label_warping import SmoothWarper
from ..errors import InputError
from ..files.images import write_image
from ..flow import integration, sampling
from ..network_space.inputs import NetworkInputs
from ..network_space.outputs import inverse_displacement
from ..network_space.overlap import check_overlap
from ..networks import Flow
from ..space import displacement as displacements
from ..space.affine import linear_parts
from ..space.checks import check_labels
from ..space.grid import Grid
from ..space.inverse import invert
from .pair_similarity import Metric, PairSimilarity
from .stopwatch import Stopwatch


class Registration:
    """The result of one pair. What costs time and may not be wanted is computed when it is asked for.

    Attributes:
        displacement: on exactly the fixed grid, LPS mm, float32, pulls, contains the alignment.
        alignment: fixed point to moving point, None for the identity.
        network_grid: the grid the network saw; its array order is the tensor's.
        seconds: of each stage, and the total.
        notes: what was done to the input that a person should know.
    """

    def __init__(
        self,
        moving: sitk.Image,
        inputs: NetworkInputs,
        flows: list[Flow],
        flow: torch.Tensor,
        displacement: sitk.Image,
        alignment: sitk.Transform | None,
        metric: Metric,
        stopwatch: Stopwatch,
        description: dict[str, Any],
    ) -> None:
        """`flow` (1, d, *network shape) is the whole network displacement, `flows` the single passes it is made of."""
        self._moving = moving
        self._inputs = inputs
        self._flows = flows
        self._flow = flow
        self._stopwatch = stopwatch
        self._description = description
        self._metric: Metric = metric
        self.displacement = displacement
        self.alignment = alignment
        self.network_grid = inputs.grid
        self.notes = inputs.notes

    @property
    def seconds(self) -> dict[str, float]:
        return self._stopwatch.seconds

    def transform(self) -> sitk.DisplacementFieldTransform:
        """An ITK transform, fixed point to moving point, that owns a float64 copy of the displacement."""
        return displacements.to_transform(self.displacement)

    @cached_property
    def warped(self) -> sitk.Image:
        """The moving image on the fixed grid, linear, in its own pixel type; its smallest value where it has none."""
        with self._stopwatch.stage("warp"), self._stopwatch.stage("total"):
            outside = float(sitk.GetArrayViewFromImage(self._moving).min())
            return displacements.warp(self._moving, self.displacement, "linear", outside)

    def warp_labels(self, labels: sitk.Image, interpolation: str = "nearest") -> sitk.Image:
        """A label map of the moving image (on any grid that overlaps it) on the fixed grid, in its own pixel type.

        Raises InputError for labels that are not whole numbers or lie elsewhere than the moving image.
        """
        if interpolation not in ("nearest", "smooth"):
            raise InputError(f"label interpolation {interpolation!r}: use 'nearest' or 'smooth'")
        check_labels(labels)
        check_labels_overlap(labels, self._moving)
        with self._stopwatch.stage("warp"), self._stopwatch.stage("total"):
            if interpolation == "smooth":
                return SmoothWarper(labels).warp(self.displacement)
            return displacements.warp(labels, self.displacement, "nearest")

    @cached_property
    def similarity(self) -> dict[str, Any]:
        """{'metric', 'before' (after the alignment, before the network), 'after'}, of what the network saw."""
        with self._stopwatch.stage("total"):
            alike = PairSimilarity(self._inputs.fixed, self._metric, self._inputs.mask)
            before, after = (alike(self._inputs.moving, flow, self._flows[-1].padding) for flow in (None, self._flow))
        return {"metric": self._metric, "before": before, "after": after}

    @property
    def inverse_displacement(self) -> sitk.Image:
        """On the moving grid: moving point + u = fixed point. exp(-v) where the network gives a velocity."""
        return self._inverse[0]

    @property
    def inverse_residual(self) -> float | None:
        """mm that the fixed-point inverse left at worst; None when the inverse comes from the velocity."""
        return self._inverse[1]

    @cached_property
    def _inverse(self) -> tuple[sitk.Image, float | None]:
        with self._stopwatch.stage("integrate"), self._stopwatch.stage("total"):
            grid = Grid.of(self._moving)
            flow = self._inverse_flow()
            inverse = None if flow is None else inverse_displacement(flow, self.network_grid, grid, self.alignment)
            return invert(self.displacement, grid) if inverse is None else (inverse, None)

    def _inverse_flow(self) -> torch.Tensor | None:
        """The inverse of T1(T2(...)), ...(T2^-1(T1^-1)): (1, d, *shape); None where a pass has no velocity."""
        total = None
        for flow in self._flows:
            inverse = flow.inverse(tuple(self.network_grid.shape))
            if inverse is None:
                return None
            total = inverse if total is None else integration.compose_flows(inverse, total, flow.padding)
        return total

    @cached_property
    def folded_percent(self) -> float:
        """Percent of the fixed grid's voxels where the displacement folds."""
        with self._stopwatch.stage("total"):
            return displacements.folded_percent(self.displacement)

    def report(self) -> dict[str, Any]:
        """What `--report` writes: JSON-ready."""
        similarity, folded = self.similarity, self.folded_percent
        return {
            **self._description,
            "alignment_matrix": _matrix(self.alignment, self.network_grid.dimension),
            "network_grid": {"size": list(self.network_grid.size), "spacing": list(self.network_grid.spacing)},
            "similarity": dict(similarity),
            "folded_percent": folded,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }

    def dump_network_inputs(self, folder: str | Path) -> None:
        """Write exactly what the network saw, and gave, as images on its grid.

        fixed.nrrd, moving.nrrd (normalised, aligned), warped.nrrd (the network's own warped moving image),
        displacement.nrrd (the network's alone, LPS mm) and alignment.tfm where there is one.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        grid = self.network_grid
        fixed, moving = self._inputs.fixed, self._inputs.moving
        warped = sampling.warp(moving, self._flow, self._flows[-1].padding)
        for name, tensor in (("fixed", fixed), ("moving", moving), ("warped", warped)):
            write_image(grid.image(tensor[0, 0].cpu().numpy()), folder / f"{name}.nrrd")
        flow = displacements.from_voxel_flow(self._flow[0].cpu().numpy(), grid)
        write_image(flow, folder / "displacement.nrrd")
        if self.alignment is not None:
            sitk.WriteTransform(self.alignment, str(folder / "alignment.tfm"))


def check_labels_overlap(labels: sitk.Image, image: sitk.Image, name: str = "labels") -> None:
    """Raises InputError when a label map lies on no part of the image it belongs to."""
    try:
        check_overlap(Grid.of(image), Grid.of(labels), None)
    except InputError as error:
        raise InputError(f"{name}: the label map does not lie on its image; give labels of the moving image") from error


def _matrix(alignment: sitk.Transform | None, dimension: int) -> list[list[float]] | None:
    """Homogeneous matrix, LPS mm, fixed point to moving point; None for an alignment that is not linear."""
    matrix = np.eye(dimension + 1)
    if alignment is not None:
        parts = linear_parts(alignment)
        if parts is None:
            return None
        matrix[:-1, :-1], matrix[:-1, -1] = parts
    return matrix.tolist()
