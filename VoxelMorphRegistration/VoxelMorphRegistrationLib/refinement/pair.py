"""Two images on one grid, and where they are compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InputError


@dataclass(frozen=True)
class ImagePair:
    """A fixed and a moving image on one grid, and where they are compared.

    Attributes:
        fixed, moving: (1, 1, *shape), 2D or 3D, normalised alike.
        mask: (1, 1, *shape), weights on the fixed image; only there the images are compared. None = everywhere.

    Raises:
        InputError: for shapes that do not fit.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    mask: torch.Tensor | None = None

    def __post_init__(self) -> None:
        fixed, moving, mask = self.fixed, self.moving, self.mask
        if fixed.shape != moving.shape or tuple(fixed.shape[:2]) != (1, 1) or len(self.shape) not in (2, 3):
            raise InputError(
                f"refinement: fixed {tuple(fixed.shape)} and moving {tuple(moving.shape)} must both be (1, 1, *shape); "
                "prepare them on one grid"
            )
        if mask is not None and tuple(mask.shape) != tuple(fixed.shape):
            raise InputError(
                f"refinement: a mask of shape {tuple(mask.shape)} does not fit images of {self.shape}; "
                "resample it to their grid"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Array shape of the grid, without batch and channel."""
        return tuple(self.fixed.shape[2:])
