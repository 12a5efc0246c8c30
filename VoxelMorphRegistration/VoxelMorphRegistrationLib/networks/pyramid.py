"""One network run from coarse to fine, each pass on the images warped so far; the outcome is one velocity field.

The algorithm, for a pair (fixed, moving) and the factors (4, 2, 1), starting from no velocity:

    for each factor s:
        1. warp      the images with the velocity so far
        2. average   them over s voxels an axis: an image pyramid
        3. predict   a velocity r for the warped pair, in voxels of this level
        4. add       v <- v + s * r, r interpolated to full resolution

1. Warping between passes instead of predicting the whole motion at once is that of recursive networks (Zhao et al.,
   Recursive Cascaded Networks for Unsupervised Medical Image Registration, ICCV 2019). Here all passes share one set of
   weights. A symmetric network warps both images half way, moving by exp(v / 2) and fixed by exp(-v / 2) (Avants et
   al., Symmetric diffeomorphic image registration with cross-correlation, MedIA 2008); another one moving by exp(v).
2. From coarse to fine as in Mok and Chung, Large Deformation Diffeomorphic Image Registration with Laplacian Pyramid
   Networks, MICCAI 2020.
3. The network's input is (moving, fixed), or with cue windows (moving, fixed, motion cues), and then its output is
   added to the smoothed cues, so that it only has to learn what they miss. A symmetric network is run on both orders of
   the pair and r = (r(fixed, moving) - r(moving, fixed)) / 2 (Iglesias, A ready-to-use machine learning tool for
   symmetric multi-modality registration of brain MRI, Scientific Reports 2023): two equal images get exactly no motion
   whatever the weights, and the images swapped get -v, whose exponential is the inverse.
4. Adding is, to first order (Baker-Campbell-Hausdorff), the logarithm of the composed deformations (Vercauteren et al.,
   Symmetric Log-Domain Diffeomorphic Registration: A Demons-based Approach, MICCAI 2008). The next pass is run on the
   images warped by exp(v), so it corrects what the first order leaves. The result stays a stationary velocity field,
   with exp(-v) as its inverse.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ..flow.filters import apply_separable, gaussian_matrices, resized
from ..flow.integration import integrate, integrate_coarsely
from ..flow.sampling import averaged, warp, warp_averaged
from ..flow.similarity import LocalCorrelation
from ..flow.surroundings import Surroundings
from .inference import predicting
from .motion_cues import motion_cues
from .output import Flow
from .pair_cues import both_orders
from .pairwise import PairwiseNetwork
from .precision import convolutions
from .replays import Replays

_CUE_SMOOTHING = 1.5  # voxels, for the first of the cue windows; of 1.5 and 2.5 the better on synthetic pairs
# Gain in similarity (`_similarity`) by which a pass earns a further one. Frames of one patient gain .003 to .0073 by
# their first pass at full resolution and are worse for more, two people or two contrasts .03 and better for many
# (Testing/benchmarks/training).
_WORTHWHILE = 0.008


class PyramidNetwork(PairwiseNetwork):
    """A `VxmPairwise` run once for each of `factors` on the images warped so far, as the head of this file says.

    After them the last pass is repeated while the pass before gained at least `_WORTHWHILE` in similarity, at most once
    for each of `further_windows`. These take the place of the first of `cue_windows`: the nearer the images are, the
    smaller the window that holds the motion that is left. Frames of one patient are near after the first passes, two
    people are not.

    Attributes:
        factors: how many voxels an axis each pass averages over, such as (4, 2, 1); powers of two up to `multiple`.
        cue_windows: edges in voxels of the windows of the motion cues, none for a network without them.
        symmetric: whether both images are warped half way and both orders of the pair are seen.
        further_windows: the first cue window of each pass that may follow those of `factors`.
    """

    def __init__(
        self,
        *args: Any,
        factors: tuple[int, ...] = (1,),
        cue_windows: tuple[int, ...] = (),
        symmetric: bool = False,
        further_windows: tuple[int, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.factors = tuple(factors)
        self.cue_windows = tuple(cue_windows)
        self.symmetric = symmetric
        self.further_windows = tuple(further_windows)
        self.replays = Replays()

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor, repeating: bool = True) -> Flow:
        self._check(fixed, moving)
        return self._passes(fixed, moving, self.factors, None, self.further_windows, repeating)

    def rough_flow(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        """The velocity after the passes before full resolution: an eighth of the time or less.

        Starts are compared with it, and `finished` goes on from it.
        """
        self._check(fixed, moving)
        with torch.no_grad(), predicting(fixed):
            return self._passes(fixed, moving, self.factors[: self._rough_passes])

    def finished(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        rough: Flow,
        repeating: bool = True,
        detailed: Surroundings | None = None,
    ) -> Flow:
        """`flow`, by running the passes that `rough_flow` left out; see `Network.finished`."""
        self._check(fixed, moving)
        left = self.factors[self._rough_passes :]
        velocity = rough.field
        if detailed is not None:
            fixed, moving, velocity = (detailed.cut(one).contiguous() for one in (fixed, moving, velocity))
        with torch.no_grad(), predicting(fixed):
            flow = self._passes(fixed, moving, left, velocity, self.further_windows, repeating)
        if detailed is None:
            return flow
        joined, elsewhere = detailed.joined(rough.field, flow.field), rough.rough_displacement(detailed.shape)
        return replace(flow, field=joined, detailed=detailed, elsewhere=elsewhere)

    def improve(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        velocity: torch.Tensor | None,
        factor: int,
        windows: tuple[int, ...] | None = None,
    ) -> torch.Tensor:
        """The velocity after one more pass; differentiable, the training's step.

        Args:
            fixed, moving: (B, 1, *shape), as given and not warped.
            velocity: (B, d, *shape) in voxels, channel c along array axis c; None before the first pass.
            factor: how many voxels an axis the pass averages over.
            windows: of the motion cues, in place of `cue_windows`.
        """
        pair = self._warped_pair(fixed, moving, velocity, factor)
        return self._after_pass(velocity, pair, factor, windows or self.cue_windows, tuple(fixed.shape[2:]))

    @property
    def _rough_passes(self) -> int:
        """How many passes come before the first at full resolution; all of them where there are none before it."""
        coarse = next((n for n, factor in enumerate(self.factors) if factor == 1), len(self.factors))
        return coarse or len(self.factors)

    def _passes(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        factors: tuple[int, ...],
        velocity: torch.Tensor | None = None,
        further_windows: tuple[int, ...] = (),
        repeating: bool = True,
    ) -> Flow:
        planned = [(factor, self.cue_windows) for factor in factors]
        further = [(self.factors[-1], (window, *self.cue_windows[1:])) for window in further_windows]
        similarities: list[torch.Tensor] = []  # before each pass at the last factor: that of the one done is unknown
        gaining: list[bool] = []  # of each pair of the batch, once there is a choice
        unfinished = False
        for number, (factor, windows) in enumerate([*planned, *further]):
            if number >= len(planned):
                gaining = _still_gaining(similarities, len(fixed))
                if not any(gaining) or not repeating:
                    unfinished = any(gaining)
                    break
            judged = bool(further) and factor == self.factors[-1]
            step = partial(self._step, factor, windows, judged)
            settings = (factor, windows, judged, convolutions())
            after, similarity = self.replays.call(step, (fixed, moving, velocity), settings, self.parameters())
            assert after is not None, "a pass ends with a velocity"
            if similarity is not None:
                similarities.append(similarity)
            if velocity is not None and not all(gaining):
                after = torch.stack([new if goes_on else old for goes_on, new, old in zip(gaining, after, velocity)])
            velocity = after
        assert velocity is not None, "a pyramid has at least one pass"
        return Flow(velocity, self.kind, 1, self.padding, self.squarings, unfinished)

    def _step(
        self,
        factor: int,
        windows: tuple[int, ...],
        judged: bool,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        velocity: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The velocity after one more pass, and how similar the pair was before it where that is to be `judged`."""
        pair = self._warped_pair(fixed, moving, velocity, factor)
        similarity = _similarity(*pair, self.cue_windows[0]) if judged else None
        return self._after_pass(velocity, pair, factor, windows, tuple(fixed.shape[2:])), similarity

    def _warped_pair(
        self, fixed: torch.Tensor, moving: torch.Tensor, velocity: torch.Tensor | None, factor: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both images warped with the velocity and averaged over `factor` voxels: (B, 1, *shape / factor).

        They are warped when they have been averaged over half as many voxels, which is cheaper and as good.
        """
        first = factor if velocity is None else max(1, factor // 2)
        fixed, moving = averaged(fixed, first), averaged(moving, first)
        if velocity is None:
            return fixed, moving
        velocity, factor = averaged(velocity, first) / first, factor // first
        if self.symmetric:
            # Interpolation blurs. With both images warped alike, what the network makes of that cancels.
            half, squarings = 0.5 * velocity, self.squarings - 1  # half the way in steps as long
            return self._warped(fixed, -half, factor, squarings), self._warped(moving, half, factor, squarings)
        return averaged(fixed, factor), self._warped(moving, velocity, factor, self.squarings)

    def _warped(self, image: torch.Tensor, velocity: torch.Tensor, factor: int, squarings: int) -> torch.Tensor:
        """The image, warped with a velocity in its voxels, and averaged over `factor` of them."""
        squarings = max(squarings - 1, 0)  # on every second voxel one less makes steps as long, in voxels
        if factor == 1:
            return warp(image, integrate_coarsely(velocity, squarings, self.padding), "border", quick=True)
        coarse = averaged(velocity, factor) / factor
        return warp_averaged(image, integrate(coarse, squarings, self.padding, quick=True), factor, "border")

    def _after_pass(
        self,
        velocity: torch.Tensor | None,
        pair: tuple[torch.Tensor, torch.Tensor],
        factor: int,
        windows: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> torch.Tensor:
        """`velocity` (B, d, *shape) and what the network predicts for the warped and averaged pair."""
        update = self._update(*pair, windows)
        if factor > 1:
            # An averaged voxel lies between the fine ones: the faces of both grids coincide, not the corner centres.
            update = factor * resized(update, shape, corners=False)
        return update if velocity is None else velocity + update

    def _update(self, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
        """The network's velocity for a pair, in its voxels; the pair is padded to the multiple the network needs."""
        shape = tuple(fixed.shape[2:])
        padding = [p for n in reversed(shape) for p in (0, -n % self.multiple)]
        if any(padding):
            fixed, moving = (F.pad(image, padding, mode="replicate") for image in (fixed, moving))
        unet = self.fast_unet(fixed) if self.symmetric and windows else None
        if unet is not None:
            update = both_orders(unet, fixed, moving, windows, self._smoothing(windows))
        else:
            predict = self._in_both_orders if self.symmetric else self._one_order
            update = predict(fixed, moving, windows)
        return update[(slice(None), slice(None), *(slice(n) for n in shape))]

    def _in_both_orders(self, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
        """Half the difference of both orders of the pair; on a GPU they are one batch, with half as many kernels."""
        if _both_at_once(fixed):
            with suppress(torch.cuda.OutOfMemoryError):
                images = torch.cat([fixed, moving]), torch.cat([moving, fixed])
                one, other = self._one_order(*images, windows).chunk(2)
                return 0.5 * (one - other)
        return 0.5 * (self._one_order(fixed, moving, windows) - self._one_order(moving, fixed, windows))

    def _one_order(self, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
        if not windows:
            return self.predict(moving, fixed).float()
        # Sums over windows lose too much in half precision, and the cues are an input: no gradient goes through them.
        with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
            cues = [motion_cues(fixed.float(), moving.float(), window) for window in windows]
            displacement, confidence = cues[0][:, :-1], cues[0][:, -1:]
            matrices = gaussian_matrices(fixed.shape[2:], self._smoothing(windows), fixed.device)
            start = apply_separable(displacement * confidence, matrices)
        return start + self.predict(moving, torch.cat([fixed, *cues], dim=1)).float()

    def _smoothing(self, windows: tuple[int, ...]) -> float:
        """Sigma in voxels with which the first window's cues are smoothed."""
        return _CUE_SMOOTHING * windows[0] / self.cue_windows[0]


def _both_at_once(image: torch.Tensor) -> bool:
    """On a CPU, and where gradients are kept, two orders at once take as long as two and twice the memory."""
    return image.device.type == "cuda" and not torch.is_grad_enabled()


def _still_gaining(similarities: list[torch.Tensor], count: int) -> list[bool]:
    """Of each pair of a batch whether the pass before the last one was worth it."""
    if len(similarities) < 2:
        return [False] * count
    before, after = torch.stack(similarities[-2:]).tolist()
    return [late - early >= _WORTHWHILE for early, late in zip(before, after)]


def _similarity(fixed: torch.Tensor, moving: torch.Tensor, window: int) -> torch.Tensor:
    """(B,), the mean squared local correlation of two images each, 0 to 1, each window weighted by its own.

    Windows on empty surroundings correlate with nothing and so have no weight.
    """
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        local = LocalCorrelation(fixed.float(), window, stride=2).local(moving.float()).flatten(1)
        return local.square().sum(1) / local.sum(1).clamp_min(1e-6)
