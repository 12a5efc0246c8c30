"""A model's passes over one prepared pair, refined where that is asked for: tensors in, flows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..flow import integration, sampling
from ..flow.sampling import Padding
from ..network_space.inputs import NetworkInputs
from ..networks import Flow
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model
    from .settings import Settings

_SQUARINGS = 7


class NetworkRun:
    """Runs a model on one pair after another, by the `refine` settings of a `Registrar`, and times what it does."""

    def __init__(self, model: Model, settings: Settings, watch: Stopwatch, device: torch.device) -> None:
        self._model, self._settings, self._watch, self._device = model, settings, watch, device

    def __call__(self, inputs: NetworkInputs) -> tuple[list[Flow], torch.Tensor]:
        """The passes' flows, each predicted on the image as warped so far, and their whole displacement.

        T = T1(T2(...)): the last pass acts on the fixed image first.
        """
        # Refinement that goes on until it gains no more does the finest work itself, and ends as well from a rough
        # start.
        refines_fully = self._settings.refine == "auto" and not self._in_domain and inputs.mask is None
        flows, total = self._predicted(inputs, rough=refines_fully)
        if self._settings.refine:
            with self._watch.stage("refine", self._device):
                refined = self._refined(inputs, flows, total)
            if refined is not None:
                return refined
        return self._finished(inputs, flows) if refines_fully else (flows, total)

    @property
    def _in_domain(self) -> bool:
        return self._model.card.anatomy not in ("", "any")

    def _predicted(self, inputs: NetworkInputs, rough: bool) -> tuple[list[Flow], torch.Tensor]:
        predict = self._model.network.rough_flow if rough else self._model.network.flow
        flows: list[Flow] = []
        total, moving = None, inputs.moving
        shape = tuple(inputs.grid.shape)
        for number in range(self._model.passes):
            if number > 0:
                with self._integrating():
                    moving = sampling.warp(inputs.moving, total, flows[-1].padding)
            with self._watch.stage("network", self._device):
                flow = predict(inputs.fixed, moving)
            with self._integrating():
                step = flow.rough_displacement(shape) if rough else flow.displacement(shape)
                total = step if total is None else integration.compose_flows(total, step, flow.padding)
                flows.append(flow)
        return flows, total

    def _finished(self, inputs: NetworkInputs, flows: list[Flow]) -> tuple[list[Flow], torch.Tensor]:
        """What the network makes of its own rough flow, where refinement did not better that."""
        earlier, rough = flows[:-1], flows[-1]
        shape = tuple(inputs.grid.shape)
        before = _composed(earlier, shape)
        moving = inputs.moving if before is None else sampling.warp(inputs.moving, before, rough.padding)
        with self._watch.stage("network", self._device):
            flow = self._model.network.finished(inputs.fixed, moving, rough)
        with self._integrating():
            step = flow.displacement(shape)
            total = step if before is None else integration.compose_flows(before, step, flow.padding)
        return [*earlier, flow], total

    def _refined(
        self, inputs: NetworkInputs, flows: list[Flow], total: torch.Tensor
    ) -> tuple[list[Flow], torch.Tensor] | None:
        """The last pass's velocity optimised; after a network that gives no velocity, one more pass from nothing.

        None when nothing better was found.
        """
        from ..refinement.refine import refine

        last = flows[-1]
        shape = tuple(inputs.grid.shape)
        extends = last.kind == "velocity"
        earlier = flows[:-1] if extends else flows
        before = _composed(earlier, shape) if extends else total
        moving = inputs.moving if before is None else sampling.warp(inputs.moving, before, last.padding)
        squarings = last.steps if extends else _SQUARINGS
        result = refine(
            inputs.fixed,
            moving,
            integration.resize_flow(last.field, shape, scale=float(last.factor)) if extends else None,
            total if extends and before is None and last.factor == 1 else None,
            steps=self._settings.refine,
            similarity=self._settings.refine_similarity,
            mask=inputs.mask,
            padding=last.padding,
            integration_steps=squarings,
            in_domain=self._in_domain,
            seed=self._settings.seed,
            finer=None if inputs.finer is None else lambda: _finer(inputs, before, last.padding),
        )
        if not result.accepted:
            return None
        flow = Flow(result.velocity, "velocity", 1, last.padding, squarings)
        step = result.displacement
        return [*earlier, flow], step if before is None else integration.compose_flows(before, step, last.padding)

    def _integrating(self):
        return self._watch.stage("integrate", self._device)


def _composed(flows: list[Flow], shape: tuple[int, ...]) -> torch.Tensor | None:
    total = None
    for flow in flows:
        step = flow.displacement(shape)
        total = step if total is None else integration.compose_flows(total, step, flow.padding)
    return total


def _finer(inputs: NetworkInputs, before: torch.Tensor | None, padding: Padding) -> tuple[torch.Tensor, torch.Tensor]:
    """The finer images, the moving one as the passes before have warped it."""
    fixed, moving = inputs.finer()
    if before is not None:
        moving = sampling.warp(moving, integration.resize_flow(before, tuple(moving.shape[2:])), padding)
    return fixed, moving
