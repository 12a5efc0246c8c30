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
from ..refinement.pair import ImagePair
from ..refinement.refine import refine
from ..refinement.settings import RefinementSettings
from .prepared import FinerImages
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model
    from .settings import Settings

_SQUARINGS = 7


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
        automatic = self._settings.refine == "auto"
        # What a network was trained for it does better than the similarity's optimum: 'auto' leaves its answer alone.
        refines = bool(self._settings.refine) and not (automatic and self._in_domain)
        # Refinement that goes on until it gains no more does the finest work itself, and ends as well from a rough
        # start.
        rough = refines and automatic and inputs.mask is None
        predicted = self._predicted(inputs, rough)
        if refines:
            with self._watch.stage("refine", self._device):
                refined = self._refined(inputs, predicted, finer)
            if refined is not None:
                return refined
        return self._finished(inputs, predicted) if rough else predicted

    @property
    def _in_domain(self) -> bool:
        return self._model.card.anatomy not in ("", "any")

    def _predicted(self, inputs: NetworkInputs, rough: bool) -> PassesResult:
        predict = self._model.network.rough_flow if rough else self._model.network.flow
        shape = tuple(inputs.grid.shape)
        flows: list[Flow] = []
        total: torch.Tensor | None = None
        moving = inputs.moving
        while total is None or len(flows) < self._model.passes:
            if total is not None:
                with self._integrating():
                    moving = sampling.warp(inputs.moving, total, flows[-1].padding)
            with self._watch.stage("network", self._device):
                flow = predict(inputs.fixed, moving)
            with self._integrating():
                displacement = flow.rough_displacement(shape) if rough else flow.displacement(shape)
                total = _after(total, displacement, flow.padding)
                flows.append(flow)
        return PassesResult(tuple(flows), total)

    def _finished(self, inputs: NetworkInputs, predicted: PassesResult) -> PassesResult:
        """What the network makes of its own rough flow, where refinement did not better that."""
        *earlier, rough = predicted.flows
        shape = tuple(inputs.grid.shape)
        before = _composed(earlier, shape)
        moving = inputs.moving if before is None else sampling.warp(inputs.moving, before, rough.padding)
        with self._watch.stage("network", self._device):
            flow = self._model.network.finished(inputs.fixed, moving, rough)
        with self._integrating():
            displacement = _after(before, flow.displacement(shape), flow.padding)
        return PassesResult((*earlier, flow), displacement)

    def _refined(
        self, inputs: NetworkInputs, predicted: PassesResult, finer: FinerImages | None
    ) -> PassesResult | None:
        """The last pass's velocity optimised; after a network that gives no velocity, one more pass from nothing.

        None when nothing better was found.
        """
        last = predicted.flows[-1]
        shape = tuple(inputs.grid.shape)
        extends = last.kind == "velocity"
        earlier = predicted.flows[:-1] if extends else predicted.flows
        before = _composed(earlier, shape) if extends else predicted.displacement
        moving = inputs.moving if before is None else sampling.warp(inputs.moving, before, last.padding)
        settings = RefinementSettings(
            updates=self._settings.refine,
            similarity=self._settings.refine_similarity,
            padding=last.padding,
            squarings=last.squarings if extends else _SQUARINGS,
        )
        result = refine(
            ImagePair(inputs.fixed, moving, inputs.mask),
            integration.resize_flow(last.field, shape, scale=float(last.factor)) if extends else None,
            settings,
            start_displacement=predicted.displacement if extends and before is None and last.factor == 1 else None,
            finer=None if finer is None else partial(finer.pair, before, last.padding),
        )
        if not result.accepted:
            return None
        flow = Flow(result.velocity, "velocity", 1, last.padding, settings.squarings)
        return PassesResult((*earlier, flow), _after(before, result.displacement, last.padding))

    def _integrating(self) -> AbstractContextManager[None]:
        return self._watch.stage("integrate", self._device)


def _after(before: torch.Tensor | None, displacement: torch.Tensor, padding: Padding) -> torch.Tensor:
    """The displacement of a pass after those before it: x -> before(displacement(x))."""
    return displacement if before is None else integration.compose_flows(before, displacement, padding)


def _composed(flows: list[Flow] | tuple[Flow, ...], shape: tuple[int, ...]) -> torch.Tensor | None:
    total = None
    for flow in flows:
        total = _after(total, flow.displacement(shape), flow.padding)
    return total
