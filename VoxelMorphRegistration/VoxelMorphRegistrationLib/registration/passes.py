"""A model's passes over one prepared pair, refined where that is asked for: tensors in, flows out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..flow import integration, sampling
from ..flow.sampling import Padding
from ..flow.surroundings import Surroundings
from ..network_space.inputs import NetworkInputs
from ..networks import Flow
from ..refinement.contrast import CoarseComparison, choose_similarity
from ..refinement.levels import shrink
from ..refinement.pair import ImagePair
from ..refinement.refine import Refinement, refine
from ..refinement.settings import RefinementSettings
from ..refinement.starts import Start, better_start
from .pair_similarity import PairSimilarity
from .prepared import FinerPair, PreparedPair
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model
    from .settings import Settings

_SQUARINGS = 7
_CHANGE_SQUARINGS = 5  # a change is some voxels long, its steps a tenth of one
# Of `CoarseComparison.lncc`: a start that gains less may lead a network to a worse end than its own rough flow.
# Features tell which of the two, after the rough passes as well as after all of them.
_SURE = 0.02
_REFINED_AROUND = 12  # voxels around what counts; real hearts and livers end nearer with it than by whole images
_LEAST_INFORMATION = 0.7  # of what the images shared before: blur alone costs a tenth or two, a wrong match half


@dataclass(frozen=True)
class PassesResult:
    """What a model's passes found: T = T1(T2(...)), the last pass acts on the fixed image first.

    Attributes:
        flows: of the single passes, each predicted on the moving image as warped by those before it.
        displacement: of all of them together, (1, d, *shape) in voxels of the network's grid; it pulls.
        found_by: what found the first of them: 'network', or what its start was found by.
        refinement: what was tried after the network; None where nothing was.
    """

    flows: tuple[Flow, ...]
    displacement: torch.Tensor
    found_by: str = "network"
    refinement: Refinement | None = None

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

    def run(self, pair: PreparedPair, finer: FinerPair | None = None, near: bool = False) -> PassesResult:
        """The passes' flows and their whole displacement, refined where the settings say so and that is better.

        Args:
            finer: the images for the end of refinement; None where they show no more than the network's grid.
            near: no start is looked for.
        """
        inputs, images = pair.inputs, pair.images
        with self._watch.stage("network", self._device):
            start, rough = (None, None) if near else self._start(images)
        predicted = self._predicted(inputs, start, rough, repeating=not self._refines)
        if not self._refines:
            return predicted
        with self._watch.stage("refine", self._device):
            refined = _faded(self._refined(_counting(images, inputs, predicted), predicted, finer), inputs.fading)
        refused = refined.refinement is not None and not refined.refinement.accepted
        if refused and any(flow.unfinished for flow in predicted.flows):
            return replace(self._predicted(inputs, start, rough), refinement=refined.refinement)
        return refined

    @property
    def _refines(self) -> bool:
        """Whether the settings ask for refinement: 'auto' not where the network was trained for one anatomy, whose
        answer is better than the similarity's optimum.
        """
        in_domain = self._model.card.anatomy not in ("", "any")
        return bool(self._settings.refine) and not (self._settings.refine == "auto" and in_domain)

    def _start(self, images: ImagePair) -> tuple[Start | None, Flow | None]:
        """A start that is better than the network's rough flow, where there is one, and the rough flow of what the
        network sees first, where it was made.

        Networks that are made for one anatomy know its motion; between contrasts LNCC cannot tell which is better.
        """
        if self._model.card.anatomy != "any" or choose_similarity(images) != "lncc":
            return None, None
        network, shape = self._model.network, images.shape
        rough = network.rough_flow(images.fixed, images.moving)
        alone = rough.rough_displacement(shape)
        comparison = CoarseComparison(images)
        start = better_start(images, alone, comparison)
        if start is None or start.gain >= _SURE:
            return start, None if start is not None else rough
        before = _started(start).displacement(shape)
        further = network.rough_flow(images.fixed, sampling.warp(images.moving, before, "border", quick=True))
        together = integration.compose_flows(before, further.rough_displacement(shape), further.padding, quick=True)
        if comparison.distance(together) < comparison.distance(alone):
            return start, further
        return None, rough

    def _predicted(
        self, inputs: NetworkInputs, start: Start | None, rough: Flow | None, repeating: bool = True
    ) -> PassesResult:
        """The passes alone.

        Args:
            rough: the network's rough flow of the fixed image and of the moving one as the start pulls it, which its
                first pass goes on from.
            repeating: as `Network.flow` has it. Refinement does what repeated passes would do, in less time.
        """
        shape = tuple(inputs.grid.shape)
        flows: list[Flow] = []
        total = None
        if start is not None:
            flows = [_started(start)]
            with self._integrating():
                total = flows[0].displacement(shape)
        moving = inputs.moving
        for _ in range(self._model.passes):
            if total is not None:
                with self._integrating():
                    moving = sampling.warp(inputs.moving, total, flows[-1].padding)
            with self._watch.stage("network", self._device):
                flow, rough = self._flow(inputs, moving, total, rough, repeating), None
            with self._integrating():
                total = integration.compose_flows(total, flow.displacement(shape), flow.padding)
                flows.append(flow)
        assert total is not None, "a model has one pass at least"
        found_by = "network" if start is None else start.found_by
        return _faded(PassesResult(tuple(flows), total, found_by), inputs.fading)

    def _flow(
        self,
        inputs: NetworkInputs,
        moving: torch.Tensor,
        before: torch.Tensor | None,
        rough: Flow | None,
        repeating: bool,
    ) -> Flow:
        """One pass: the flow of the moving image as `before` has pulled it, in full detail around what counts."""
        network, detailed = self._model.network, None
        if rough is None and inputs.counting is None:
            return network.flow(inputs.fixed, moving, repeating)
        if rough is None:
            rough = network.rough_flow(inputs.fixed, moving)
        if inputs.counting is not None:
            found = rough.rough_displacement(tuple(inputs.grid.shape))
            detailed = Surroundings.of(inputs.counting, integration.compose_flows(before, found, rough.padding))
        return network.finished(inputs.fixed, moving, rough, repeating, detailed)

    def _refined(self, images: ImagePair, predicted: PassesResult, finer: FinerPair | None) -> PassesResult:
        """Further passes, optimised from nothing on the images as warped so far; none where nothing better was found.

        The change is composed with what was there and not added to its velocity: a force says where tissue shall go
        from where it is, which is the same only while the motion is short. Better is by LNCC where the images differed;
        a result that loses much of the mutual information, which was not maximised, is a wrong match.
        """
        before, padding = predicted.displacement, predicted.padding
        settings = RefinementSettings(
            updates=self._settings.refine,
            similarity=self._settings.refine_similarity,
            padding=padding,
            squarings=_CHANGE_SQUARINGS,
        )
        result = refine(images, settings, before=before, finer=None if finer is None else finer.images)
        if not result.accepted:
            return replace(predicted, refinement=result)
        whole = integration.compose_flows(before, result.displacement, padding)
        judge = PairSimilarity(images, "nmi")
        shared, still_shared = (judge(displacement, padding) - 1 for displacement in (before, whole))
        if still_shared < _LEAST_INFORMATION * shared:
            return replace(predicted, refinement=result.refused())
        changes = (Flow(velocity, "velocity", 1, padding, settings.squarings) for velocity in result.velocities)
        return replace(predicted, flows=(*predicted.flows, *changes), displacement=whole, refinement=result)

    def _integrating(self) -> AbstractContextManager[None]:
        return self._watch.stage("integrate", self._device)


def _counting(images: ImagePair, inputs: NetworkInputs, predicted: PassesResult) -> ImagePair:
    """The pair, of which only the surroundings of what counts are seen, as it lies by the network."""
    if inputs.counting is None:
        return images
    around = Surroundings.of(inputs.counting, predicted.displacement, _REFINED_AROUND)
    return replace(images, within=around)


def _started(start: Start) -> Flow:
    return Flow(start.velocity, "velocity", 1, "border", _SQUARINGS)


def _faded(result: PassesResult, fading: torch.Tensor | None) -> PassesResult:
    """The result with every field ended outside of what both images show: the alignment is all that is known there."""
    if fading is None:
        return result
    flows, total = [], None
    shape = tuple(fading.shape[2:])
    for flow in result.flows:
        share = shrink(fading, tuple(flow.field.shape[2:]))
        faded = flow.faded(share)
        total = integration.compose_flows(total, faded.displacement(shape), flow.padding)
        flows.append(faded)
    assert total is not None, "a model has one pass at least"
    return replace(result, flows=tuple(flows), displacement=total)
