"""A cheap coarse look at a frame: the velocity that a pyramid network's coarse passes find for it and its reference.

Both images are averaged over 4 voxels an axis of the network's grid and seen by two passes, the first averaged over 2
voxels more. That takes a fortieth of a registration's time, and shows how a frame differs from the reference and from
the other frames; it does not show where each voxel went. The second pass finds what single frames do in one place;
further passes find no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from ..errors import InputError
from ..flow.transfers import fetched
from ..network_space.grid import network_grid
from ..network_space.inputs import NormalisedImage
from ..networks.batches import in_halves, pairs_together
from ..networks.inference import predicting
from ..networks.precision import convolving_in
from ..networks.pyramid import PyramidNetwork
from ..registration.ahead import Ahead, Prepare
from ..space.checks import cleaned
from ..space.grid import Grid

if TYPE_CHECKING:
    from ..models.loading import Model
    from ..registration.registrar import Registrar

_AVERAGED = 4  # network voxels an axis that become one before the first pass
_PASSES = (2, 1)  # further averaging of each pass
_AVERAGE = {2: F.avg_pool2d, 3: F.avg_pool3d}
_AVERAGE_TO: dict[int, Callable[..., torch.Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_KEPT = 2  # averaged voxels an axis that become one of what is kept


class CoarseLook:
    """Looks at frames against one reference.

    Args:
        registrar: whose network looks, at its settings' spacing, through their initial transform and no other
            alignment. A network that is no pyramid has no coarse passes: the bundled one looks in its place.
        reference: the image that is pulled onto the frames.

    Attributes:
        grid: on which looks are given.
        identity: of what looks: looks of another identity do not compare.

    Raises InputError for images of other than three dimensions when the model's network is no pyramid.
    """

    def __init__(self, registrar: Registrar, reference: sitk.Image) -> None:
        self._model = _pyramid(registrar.model, reference.GetDimension())
        self._convolutions = registrar.convolutions
        self._ahead = Ahead(partial(self._averaged, name="frame", transform=None))
        spacing = registrar.settings.network_spacing
        self._full = network_grid(reference, self._model.card.space, spacing).grid
        self._moving = self._averaged(reference, "reference frame", registrar.initial_transform)
        factor = _AVERAGED * _KEPT
        size = tuple(max(1, -(-n // _AVERAGED) // _KEPT) for n in self._full.size)
        matrix = self._full.index_to_physical() @ _coarser(factor, self._full.dimension)
        self.grid = Grid.from_matrix(size, matrix)
        self.identity = f"{self._model.sha256} {spacing} {self._full.size} {_PASSES}"

    @property
    def together(self) -> int:
        """How many frames are best looked at together: as many as the GPU has room for, on a CPU one."""
        return pairs_together(self._model.device, self._moving.numel())

    def at(self, frame: sitk.Image) -> np.ndarray:
        """The coarse velocity that pulls the reference onto a frame: (*grid.shape, d), LPS mm, float16."""
        return self.at_all([self.seen(frame)])[0]

    def seen(self, frame: sitk.Image) -> torch.Tensor:
        """All of a frame that `at_all` wants, some ten thousand values on the network's device."""
        return self._ahead.of(frame)

    @property
    def prepare(self) -> Prepare | None:
        """`seen` ahead, for the thread that reads frames; None on a CPU, which would gain nothing."""
        return self._ahead.prepare if self._model.device.type == "cuda" else None

    def at_all(self, seen: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """What `at` gives of several frames, looked at together."""
        return in_halves(self._looks, seen)

    def _looks(self, seen: Sequence[torch.Tensor]) -> list[np.ndarray]:
        looks = self._computed(seen, self._convolutions)
        if self._convolutions != torch.float32 and not np.isfinite(looks).all():
            looks = self._computed(seen, torch.float32)  # Half precision cannot hold this network's values.
        return list(looks)

    def _computed(self, seen: Sequence[torch.Tensor], convolutions: torch.dtype) -> np.ndarray:
        network, fixed = self._model.network, torch.cat(list(seen))
        assert isinstance(network, PyramidNetwork)
        moving = self._moving.expand_as(fixed)
        velocity = None
        with torch.no_grad(), predicting(fixed), convolving_in(convolutions):
            for factor in _PASSES:
                velocity = network.improve(fixed, moving, velocity, factor)
        assert velocity is not None
        velocity = fetched(_AVERAGE_TO[velocity.shape[1]](velocity, self.grid.shape))
        axes = torch.as_tensor(self._full.axes[:, ::-1].copy(), dtype=torch.float32) * _AVERAGED
        return torch.einsum("cd,bd...->b...c", axes, velocity.float()).numpy().astype(np.float16)

    def _averaged(self, image: sitk.Image, name: str, transform: sitk.Transform | None) -> torch.Tensor:
        image, _ = cleaned(image, name)
        normalised = NormalisedImage.of(image, self._model.card.intensity, name)
        tensor = normalised.on(self._full, transform, self._model.device)
        return _AVERAGE[image.GetDimension()](tensor, _AVERAGED, ceil_mode=True)


def _pyramid(model: Model, dimension: int) -> Model:
    if isinstance(model.network, PyramidNetwork):
        return model
    from ..models.loading import load_model

    looking = load_model(device=model.device)
    if looking.network.dimension != dimension:
        raise InputError(
            f"strategy motion-model: looks at images of {looking.network.dimension} dimensions, these have "
            f"{dimension}; use strategy direct"
        )
    return looking


def _coarser(factor: int, dimension: int) -> np.ndarray:
    """Index of a voxel that averages `factor` voxels an axis to their index: their faces coincide."""
    matrix = np.diag([float(factor)] * dimension + [1.0])
    matrix[:-1, -1] = (factor - 1) / 2
    return matrix
