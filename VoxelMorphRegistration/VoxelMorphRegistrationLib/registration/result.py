"""What registering one pair gives: the displacement, and everything that can be made from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..annotations.label_warping import SmoothWarper
from ..errors import InputError
from ..files.images import write_image
from ..flow import sampling
from ..network_space.outputs import inverse_displacement
from ..network_space.overlap import check_overlap
from ..refinement.contrast import CoarseComparison, choose_similarity
from ..space import displacement as displacements
from ..space.affine import matrix_of
from ..space.checks import check_labels
from ..space.grid import Grid
from ..space.inverse import invert
from ..version import __version__
from .choices import LABEL_INTERPOLATIONS, Alignment, LabelInterpolation
from .doubts import doubts
from .pair_similarity import Metric, PairSimilarity
from .passes import PassesResult
from .prepared import PreparedPair
from .stopwatch import Stopwatch


@dataclass(frozen=True)
class Provenance:
    """What made a registration.

    Attributes:
        model, sha256: name of the model and hash of its weights' file.
        device: torch's name of it.
        alignment: the kind of start before the network.
        metric: of the similarity that is reported.
        preset: the preset its settings come from, '' for none.
        precision: of the U-Net's convolutions, 'float32' or 'half'.
    """

    model: str
    sha256: str
    device: str
    alignment: Alignment
    metric: Metric
    preset: str = ""
    precision: str = "float32"


class Registration:
    """The result of one pair. What costs time and may not be wanted is computed when it is asked for.

    Attributes:
        displacement: on exactly the fixed grid, LPS mm, float32, pulls (`warped(x) = moving(x + u(x))`), contains the
            alignment.
        alignment: fixed point to moving point, LPS mm; None for the identity.
        network_grid: the grid the network saw; its array order is the tensor's.
        notes: what was done to the input that a person should know.
    """

    def __init__(
        self,
        pair: PreparedPair,
        found: PassesResult,
        displacement: sitk.Image,
        provenance: Provenance,
        stopwatch: Stopwatch,
    ) -> None:
        self._pair = pair
        self._moving = pair.moving
        self._inputs = pair.inputs
        self._found = found
        self._provenance = provenance
        self._stopwatch = stopwatch
        self.displacement = displacement
        self.alignment = pair.alignment
        self.network_grid = pair.inputs.grid
        self.notes = pair.inputs.notes

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each of `stopwatch.STAGES` so far, and 'total'."""
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

    def warp_labels(self, labels: sitk.Image, interpolation: LabelInterpolation = "nearest") -> sitk.Image:
        """A label map of the moving image (on any grid that overlaps it) on the fixed grid, in its own pixel type.

        On the CPU, whatever the device. `Segmentation.warp` uses a GPU, for many displacements of the same labels.

        Raises:
            InputError: for labels that are not whole numbers or lie elsewhere than the moving image, and for an unknown
                interpolation.
        """
        if interpolation not in LABEL_INTERPOLATIONS:
            raise InputError(f"label interpolation {interpolation!r}: use 'nearest' or 'smooth'")
        check_labels(labels)
        check_labels_overlap(labels, self._moving)
        with self._stopwatch.stage("warp"), self._stopwatch.stage("total"):
            if interpolation == "smooth":
                return SmoothWarper(labels).warp(self.displacement)
            return displacements.warp(labels, self.displacement, "nearest")

    @cached_property
    def similarity(self) -> dict[str, Any]:
        """{'metric', 'untouched', 'before', 'after'}: how alike the pair is on the network's grid, without what it was
        padded with: as given, after the alignment (and the initial transform), and at the end.

        'metric' is 'ncc' (Pearson's correlation, -1..1) or 'nmi' (normalised mutual information, 1..2), inside the mask
        where there is one; see `PairSimilarity`.
        """
        metric, padding = self._provenance.metric, self._found.padding
        with self._stopwatch.stage("total"):
            measure = PairSimilarity(self._pair.images, metric)
            before, after = (measure(flow, padding) for flow in (None, self._found.displacement))
            untouched = before if self.alignment is None else measure(moving=self._pair.unaligned())
        return {"metric": metric, "untouched": untouched, "before": before, "after": after}

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the result by its numbers, one sentence each; empty where nothing does: `doubts.py`."""
        with self._stopwatch.stage("total"):
            images = self._pair.images
            structure = CoarseComparison(images).denoised_lncc(self._found.displacement)
            contrast = choose_similarity(images.pulled(self._found.displacement))
        return doubts(self.similarity, self.folded_percent, structure, contrast)

    @property
    def inverse_displacement(self) -> sitk.Image:
        """On the moving grid, LPS mm: moving point + u = fixed point.

        exp(-v) where the network gives a velocity v, else by fixed-point iteration (`space.inverse.invert`).
        """
        return self._inverse[0]

    @property
    def inverse_residual(self) -> float | None:
        """mm that the fixed-point inverse left at worst; None when the inverse comes from the velocity."""
        return self._inverse[1]

    @cached_property
    def _inverse(self) -> tuple[sitk.Image, float | None]:
        with self._stopwatch.stage("integrate"), self._stopwatch.stage("total"):
            grid = Grid.of(self._moving)
            flow = self._found.inverse()
            inverse = None if flow is None else inverse_displacement(flow, self.network_grid, grid, self.alignment)
            return invert(self.displacement, grid) if inverse is None else (inverse, None)

    @cached_property
    def folded_percent(self) -> float:
        """Percent of the fixed grid's voxels where the displacement folds."""
        with self._stopwatch.stage("total"):
            return displacements.folded_percent(self.displacement)

    def report(self) -> dict[str, Any]:
        """What `--report` writes, ready for JSON: version, model {name, sha256}, device, precision, preset, alignment
        (its kind), alignment_matrix (homogeneous, LPS mm, fixed point to moving; None where not linear), network_grid
        {size, spacing}, start (what found it: 'network', 'coarse LNCC', 'discrete search'), refinement (None, or
        {similarity, updates, similarity_before, similarity_after, accepted, part}), similarity {metric, untouched,
        before, after}, folded_percent, doubts, notes, seconds.
        """
        similarity, folded, doubtful, made = self.similarity, self.folded_percent, self.doubts, self._provenance
        return {
            "version": __version__,
            "model": {"name": made.model, "sha256": made.sha256},
            "device": made.device,
            "precision": made.precision,
            "preset": made.preset,
            "alignment": made.alignment,
            "alignment_matrix": _matrix(self.alignment, self.network_grid.dimension),
            "network_grid": {"size": list(self.network_grid.size), "spacing": list(self.network_grid.spacing)},
            "start": self._found.found_by,
            "refinement": None if self._found.refinement is None else self._found.refinement.summary(),
            "similarity": dict(similarity),
            "folded_percent": folded,
            "doubts": list(doubtful),
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }

    def dump_network_inputs(self, folder: str | Path) -> None:
        """Write exactly what the network saw, and gave, as images on its grid.

        fixed.nrrd, moving.nrrd (normalised, aligned), warped.nrrd (the network's own warped moving image),
        displacement.nrrd (the network's alone, LPS mm) and alignment.tfm where there is one.
        """
        folder = Path(folder)
        grid = self.network_grid
        fixed, moving = self._inputs.fixed, self._inputs.moving
        warped = sampling.warp(moving, self._found.displacement, self._found.padding)
        for name, tensor in (("fixed", fixed), ("moving", moving), ("warped", warped)):
            write_image(grid.image(tensor[0, 0].cpu().numpy()), folder / f"{name}.nrrd")
        flow = displacements.from_voxel_flow(self._found.displacement[0].cpu().numpy(), grid)
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
    matrix = np.eye(dimension + 1) if alignment is None else matrix_of(alignment)
    return None if matrix is None else matrix.tolist()
