"""A model's passes over one prepared pair, refined where that is asked for: tensors in, flows out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from ..flow import integration, sampling
from ..flow.sampling import Padding
from ..network_space.inputs import NetworkInputs
from ..networks import Flow
from ..refinement.contrast import coarse_similarity
from ..refinement.pair import ImagePair
from ..refinement.refine import refine
from ..refinement.search import search
from ..refinement.settings import RefinementSettings
from .pair_similarity import PairSimilarity
from .prepared import FinerImages
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model
    from .settings import Settings

_SQUARINGS = 7
_NEAR = 0.9  # of `coarse_similarity`: from there on the network needs no other start
_MATCHED = (
    0.8  # of `coarse_similarity`: below, as between lungs of two people, what a search finds is worse than it looks
)
_LEAST_INFORMATION = 0.7  # of what the images shared before: blur alone costs a tenth or two, a wrong match half


@dataclass(frozen=True)
class PassesResult:
    """What a model's passes found: T = T1(T2(...)), the last pass acts on the fixed image first.

    Attributes:
        flows: of the single passes, each predicted on the moving image as warped by those before it.
        displacement: of all of them together, (1, d, *shape) in voxels of the network's grid; it pulls.
    """

    flows: tuple[Flow, ...]
    displacement: torch.Tensor

    @property
    def padding(self) -> Padding:
        """What the last pass takes to lie outside the moving image."""
        return self.flows[-1].padding

    def inverse(self) -> torch.Tensor | None:
        """The inverse displacement, ...(T2^-1(T1^-1)): (1, d, *shape) in voxels; None where a pass has no velocity."""
        total = None
        for flow in self.flows:
            inverse = flow.inverse(tuple(self.displacement.shape[2:]))
            if inverse is None:
                return None
            total = inverse if total is None else integration.compose_flows(inverse, total, flow.padding)
        return total


class Passes:
    """Runs a model on one pair after another, refines its flow by the settings, and times what it does.

    Args:
        settings: `refine` and `refine_similarity` are looked at.
        watch: the stages 'network', 'integrate' and 'refine' are added to it.
        device: where the model is.
    """

    def __init__(self, model: Model, settings: Settings, watch: Stopwatch, device: torch.device) -> None:
        self._model, self._settings, self._watch, self._device = model, settings, watch, device

    def run(self, inputs: NetworkInputs, finer: FinerImages | None = None) -> PassesResult:
        """The passes' flows and their whole displacement, refined where the settings say so and that is better.

        `finer`: the images for the end of refinement; None where they show no more than the network's grid.
        """
        with self._watch.stage("network", self._device):
            start, rough = self._start(inputs)
        predicted = self._predicted(inputs, start, rough)
        # What a network was trained for it does better than the similarity's optimum: 'auto' leaves its answer alone.
        if not self._settings.refine or (self._settings.refine == "auto" and self._in_domain):
            return predicted
        with self._watch.stage("refine", self._device):
            return self._refined(inputs, predicted, finer) or predicted

    @property
    def _in_domain(self) -> bool:
        return self._model.card.anatomy not in ("", "any")

    def _start(self, inputs: NetworkInputs) -> tuple[Flow | None, Flow | None]:
        """The flow of a global search, where the pair needs one, and else the network's rough flow, where it was made.

        No search where the network brings the images as near alone, and for networks that are not made for any anatomy.
        """
        if self._model.card.anatomy != "any":
            return None, None
        images = ImagePair(inputs.fixed, inputs.moving, inputs.mask)
        if coarse_similarity(images) >= _NEAR:
            return None, None
        shape = tuple(inputs.grid.shape)
        rough = self._model.network.rough_flow(inputs.fixed, inputs.moving)
        alone = coarse_similarity(images, rough.rough_displacement(shape))
        velocity = None if alone >= _NEAR else search(images, tuple(reversed(inputs.grid.spacing)))
        if velocity is None:
            return None, rough
        flow = Flow(velocity, "velocity", 1, "border", _SQUARINGS)
        found = coarse_similarity(images, flow.rough_displacement(shape)) > max(alone, _MATCHED)
        return (flow, None) if found else (None, rough)

    def _predicted(self, inputs: NetworkInputs, start: Flow | None, rough: Flow | None) -> PassesResult:
        """`rough`: the network's rough flow of the inputs, which its first pass then goes on from."""
        shape = tuple(inputs.grid.shape)
        flows: list[Flow] = [] if start is None else [start]
        total = None if start is None else start.displacement(shape)
        moving = inputs.moving
        for _ in range(self._model.passes):
            if total is not None:
                with self._integrating():
                    moving = sampling.warp(inputs.moving, total, flows[-1].padding)
            with self._watch.stage("network", self._device):
                if rough is None or flows:
                    flow = self._model.network.flow(inputs.fixed, moving)
                else:
                    flow = self._model.network.finished(inputs.fixed, moving, rough)
            with self._integrating():
                total = _after(total, flow.displacement(shape), flow.padding)
                flows.append(flow)
        assert total is not None, "a model has one pass at least"
        return PassesResult(tuple(flows), total)

    def _refined(
        self, inputs: NetworkInputs, predicted: PassesResult, finer: FinerImages | None
    ) -> PassesResult | None:
        """One more pass, optimised from nothing on the images as warped so far; None when nothing better was found.

        The change is composed with what was there and not added to its velocity: a force says where tissue shall go
        from where it is, which is the same only while the motion is short. Better is by the similarity that was
        maximised; a result that loses much of the mutual information, which was not maximised, is a wrong match.
        """
        before, padding = predicted.displacement, predicted.padding
        settings = RefinementSettings(
            updates=self._settings.refine,
            similarity=self._settings.refine_similarity,
            padding=padding,
            squarings=_SQUARINGS,
        )
        result = refine(
            ImagePair(inputs.fixed, inputs.moving, inputs.mask),
            None,
            settings,
            before=before,
            finer=None if finer is None else partial(finer.pair, before, padding),
        )
        if not result.accepted:
            return None
        whole = _after(before, result.displacement, padding)
        judge = PairSimilarity(inputs.fixed, "nmi", inputs.mask)
        shared, still_shared = (judge(inputs.moving, displacement, padding) - 1 for displacement in (before, whole))
        if still_shared < _LEAST_INFORMATION * shared:
            return None
        flow = Flow(result.velocity, "velocity", 1, padding, settings.squarings)
        return PassesResult((*predicted.flows, flow), whole)

    def _integrating(self) -> AbstractContextManager[None]:
        return self._watch.stage("integrate", self._device)


def _after(before: torch.Tensor | None, displacement: torch.Tensor, padding: Padding) -> torch.Tensor:
    """The displacement of a pass after those before it: x -> before(displacement(x))."""
    return displacement if before is None else integration.compose_flows(before, displacement, padding)
