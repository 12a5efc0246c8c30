"""The one contract behind every VoxelMorph architecture: two images in, one flow out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from ..errors import InputError
from ..flow.integration import resize_flow
from ..flow.sampling import Padding
from ..flow.surroundings import Surroundings
from .compiled import CompiledUnets, Prediction
from .inference import fast_convolutions, in_slabs, predicting
from .output import Flow
from .precision import half_convolutions
from .slab_unet import SlabUnet


class Network(nn.Module):
    """A registration network: a module that maps (moving, fixed) to a raw field, and how that field is to be read.

    VoxelMorph calls the moving image `source` and the fixed one `target`; they are stacked in that order.

    Attributes:
        module: the bare network, whose `state_dict` has its maker's keys.
        dimension: 2 or 3.
        multiple: every axis of the input must be a multiple of this (2 ** levels).
        kind: what the field is: a stationary velocity to be integrated, or the displacement itself.
        padding: what the integration samples outside the grid.
        squarings: of the integration (a card's `integration_steps`); 0 with kind 'displacement'.
        field_factor: how many times coarser than the input the module's field comes out.
        reduction: how many times coarser still it is made before integration (VoxelMorph's int_downsize on a
            full-resolution U-Net).
    """

    def __init__(
        self,
        module: nn.Module,
        dimension: int,
        multiple: int,
        kind: Literal["velocity", "displacement"],
        padding: Padding,
        squarings: int,
        reduction: int = 1,
        field_factor: int = 1,
    ) -> None:
        super().__init__()
        self.module = module
        self.dimension = dimension
        self.multiple = multiple
        self.kind = kind
        self.padding: Padding = padding
        self.squarings = squarings
        self.reduction = reduction
        self.field_factor = field_factor
        self.compiled = CompiledUnets()

    def flow(self, fixed: torch.Tensor, moving: torch.Tensor, repeating: bool = True) -> Flow:
        """The flow that pulls `moving` onto `fixed`, without gradients and with the fastest convolutions there are.

        Args:
            fixed, moving: (B, 1, *shape) float32 on the same grid, prepared as the network's card says.
            repeating: whether a network that can repeat its last pass does so while that helps.

        Raises:
            InputError: shapes differ, or are not a multiple of `multiple`.
        """
        with torch.no_grad(), predicting(fixed):
            return self.forward(fixed, moving, repeating)

    def rough_flow(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        """A cheaper approximation of `flow`, which `finished` goes on from; `flow` itself where there is none."""
        return self.flow(fixed, moving)

    def finished(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        rough: Flow,
        repeating: bool = True,
        detailed: Surroundings | None = None,
    ) -> Flow:
        """`flow`, from the `rough_flow` of the same images, without computing that part again.

        Args:
            detailed: where to go on; None for everywhere. Elsewhere the flow stays the rough one.
        """
        return rough

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor, repeating: bool = True) -> Flow:
        """As `flow`, but differentiable in the parameters and the images: the path for training and adaptation."""
        self._check(fixed, moving)
        field = self.predict(moving, fixed).float()
        if self.reduction > 1:
            shape = tuple(n // self.reduction for n in field.shape[2:])
            field = resize_flow(field, shape, scale=1.0 / self.reduction)
        return Flow(field, self.kind, self.field_factor * self.reduction, self.padding, self.squarings)

    def predict(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The module's raw field (B, d, *shape / field_factor), in voxels of its own grid."""
        unet = self.fast_unet(source)
        images = torch.cat([source, target], dim=1)
        if unet is not None:
            return unet(images)
        with half_convolutions(images) or fast_convolutions():
            return self.module(images)

    def fast_unet(self, image: torch.Tensor) -> Prediction | None:
        """What predicts from stacked images (1, C, *shape), of the kind of `image`, sooner than the module; None where
        the module itself has to.
        """
        in_float32 = half_convolutions(image) is None
        slabs = self.slab_unet() if in_float32 and in_slabs(image) else None
        if slabs is None:
            return None

        def predict(images: torch.Tensor) -> torch.Tensor:
            compiled = self.compiled.of(self.layers(), images)
            return slabs(images) if compiled is None else compiled(images)

        return predict

    def layers(self) -> nn.Module:
        """The module's layers as one that takes the stacked images."""
        return self.module

    def slab_unet(self) -> SlabUnet | None:
        """The module's layers to be computed slab by slab; None where it has others than those that can be."""
        make = getattr(self.module, "slab_unet", None)
        return None if make is None else make()

    def _check(self, fixed: torch.Tensor, moving: torch.Tensor) -> None:
        shape = tuple(fixed.shape[2:])
        if tuple(moving.shape[2:]) != shape:
            raise InputError(
                f"network input: the fixed image is {shape} and the moving {tuple(moving.shape[2:])}; "
                "resample both onto one grid first"
            )
        if len(shape) != self.dimension:
            raise InputError(f"network input: this is a {self.dimension}D network and the images are {len(shape)}D")
        if any(n % self.multiple or n == 0 for n in shape):
            raise InputError(
                f"network input: the shape {shape} is not a multiple of {self.multiple} in every axis; pad it first"
            )
