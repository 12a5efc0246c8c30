"""One network run from coarse to fine, each pass on the image warped so far, with one velocity field as the outcome."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.integration import integrate_coarsely
from ..flow.sampling import warp
from ..flow.similarity import LocalCorrelation
from .inference import fast_convolutions
from .motion_cues import motion_cues
from .output import Flow
from .pairwise import PairwiseNetwork

_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_CUE_SMOOTHING = 1.5  # voxels; of 1.5 and 2.5 the better on synthetic pairs
_LINEAR = {2: "bilinear", 3: "trilinear"}
# Likeness that a look must bring for another one to follow. Frames of one patient gain .003 to .0073 by their first
# full look and are worse for more, two people or two contrasts .03 and better for many (Testing/benchmarks/training).
_WORTHWHILE = 0.008


class PyramidNetwork(PairwiseNetwork):
    """A `VxmPairwise` that looks at the pair several times, first coarsely.

    Every pass adds its velocity to the sum so far: to first order the logarithm of the composed deformation
        (Vercauteren
    et al., Symmetric Log-Domain Diffeomorphic Registration, MICCAI 2008), and what that leaves the next pass sees. The
    outcome stays one stationary velocity field, with its inverse for free.

    With `symmetric` each pass looks at the pair in both orders, both images warped half the way, and takes half the
    difference: two images that are the same get no motion at all, whatever bias the weights have, a chain of small
        steps
    does not drift, and the images swapped give the velocity negated.

    With `cue_windows` a pass starts from what the images say by themselves (`motion_cues` of the first window,
    smoothed, weighted by how far it can be believed), shows the network the cues of every window beside the images, and
    the network adds what is missing.

    With `further_windows` the last of the passes is done again for as long as that makes the images more alike, at most
    once for each of these windows, which take the place of the first of `cue_windows`: frames of one patient are soon
    brought together, two people are not, and the nearer they are the less a window need hold.

    Attributes:
        factors: how much coarser than the input each pass looks, such as (4, 2, 1); powers of two up to `multiple`.
        cue_windows: edges in voxels of the windows of the motion cues, none for a network without them.
        symmetric: whether a pass sees both orders.
        further_windows: the windows of the passes that may follow those of `factors`.
    """

    def __init__(
        self,
        *args,
        factors: tuple[int, ...] = (1,),
        cue_windows: tuple[int, ...] = (),
        symmetric: bool = False,
        further_windows: tuple[int, ...] = (),
        **options,
    ) -> None:
        super().__init__(*args, **options)
        self.factors = tuple(factors)
        self.cue_windows = tuple(cue_windows)
        self.symmetric = symmetric
        self.further_windows = tuple(further_windows)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        return self._passes(fixed, moving, self.factors, further=self.further_windows)

    def rough_flow(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        """The passes that look coarsely: an eighth of the time or less, and refinement ends as well from there."""
        with torch.no_grad(), fast_convolutions(fixed):
            return self._passes(fixed, moving, self.factors[: self._rough_passes])

    def finished(self, fixed: torch.Tensor, moving: torch.Tensor, rough: Flow) -> Flow:
        with torch.no_grad(), fast_convolutions(fixed):
            return self._passes(fixed, moving, self.factors[self._rough_passes :], rough.field, self.further_windows)

    @property
    def _rough_passes(self) -> int:
        coarse = next((n for n, factor in enumerate(self.factors) if factor == 1), len(self.factors))
        return coarse or len(self.factors)

    def _passes(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        factors: tuple[int, ...],
        velocity: torch.Tensor | None = None,
        further: tuple[int, ...] = (),
    ) -> Flow:
        self._check(fixed, moving)
        likeness: list[float] = []
        seen = likeness if further else None
        for factor in factors:
            velocity = self.improve(fixed, moving, velocity, factor, None, seen if factor == self.factors[-1] else None)
        for window in further:
            # A look says how alike the images were before it: what the last one brought is not known yet.
            if len(likeness) < 2 or likeness[-1] - likeness[-2] < _WORTHWHILE:
                break
            velocity = self.improve(fixed, moving, velocity, self.factors[-1], window, seen)
        return Flow(velocity, self.kind, 1, self.padding, self.steps)

    def improve(
        self,
        fixed: torch.Tensor,
        moving: torch.Tensor,
        velocity: torch.Tensor | None,
        factor: int,
        window: int | None = None,
        likeness: list[float] | None = None,
    ) -> torch.Tensor:
        """The velocity (B, d, *shape) after one more pass, with the images averaged over `factor` voxels an axis.

        Args:
            window: in place of the first of `cue_windows`.
            likeness: how alike the images were before the pass is added to it.
        """
        shape = tuple(fixed.shape[2:])
        # Images that will be averaged over many voxels are warped when they have been over half as many.
        first = factor if velocity is None else max(1, factor // 2)
        fixed, moving = self._averaged(fixed, first), self._averaged(moving, first)
        if velocity is not None:
            fixed, moving = self._brought_together(fixed, moving, self._averaged(velocity, first) / first)
            fixed, moving = (self._averaged(image, factor // first) for image in (fixed, moving))
        if likeness is not None:
            likeness.append(_likeness(fixed, moving, self.cue_windows[0]))
        seen = tuple(fixed.shape[2:])
        padding = [p for n in reversed(seen) for p in (0, -n % self.multiple)]
        if any(padding):
            fixed, moving = (F.pad(image, padding, mode="replicate") for image in (fixed, moving))
        windows = self.cue_windows if window is None else (window, *self.cue_windows[1:])
        step = self._step(fixed, moving, windows)
        step = step[(..., *(slice(n) for n in seen))]
        if factor > 1:
            # Averaged voxels lie between the fine ones, so here the faces of the grids coincide, not the corner
            # centres.
            step = factor * F.interpolate(step, size=shape, mode=_LINEAR[self.dimension], align_corners=False)
        return step if velocity is None else velocity + step

    def _averaged(self, values: torch.Tensor, factor: int) -> torch.Tensor:
        return _POOL[self.dimension](values, factor) if factor > 1 else values

    def _brought_together(
        self, fixed: torch.Tensor, moving: torch.Tensor, velocity: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The images as warped so far: each by half of the velocity, for a symmetric network, else the moving alone.

        Interpolation blurs. Of a sharp image and a blurred one each order shows the network something else, and what it
        makes of that is no motion; with both warped alike it cancels (the middle of Avants et al., Symmetric
        diffeomorphic image registration with cross-correlation, MedIA 2008).
        """

        def warped(image: torch.Tensor, share: float) -> torch.Tensor:
            return warp(image, integrate_coarsely(share * velocity, self.steps, self.padding), "border")

        if not self.symmetric:
            return fixed, warped(moving, 1.0)
        return warped(fixed, -0.5), warped(moving, 0.5)

    def _step(self, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
        step = self._one_way(fixed, moving, windows)
        if self.symmetric:
            step = 0.5 * (step - self._one_way(moving, fixed, windows))
        return step

    def _one_way(self, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
        if not windows:
            return self.predict(moving, fixed).float()
        # Sums over windows lose too much in half precision, and what was seen is not to be learned from.
        with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
            cues = [motion_cues(fixed.float(), moving.float(), window) for window in windows]
            believed = cues[0][:, :-1] * cues[0][:, -1:]
            sigma = _CUE_SMOOTHING * windows[0] / self.cue_windows[0]
            start = apply_separable(believed, gaussian_matrices(believed.shape[2:], sigma, believed.device))
        return start + self.predict(moving, torch.cat([fixed, *cues], dim=1)).float()


def _likeness(fixed: torch.Tensor, moving: torch.Tensor, window: int) -> float:
    """How alike two images are, 0 to 1: their squared local correlation, weighted by itself.

    Empty surroundings, which correlate with nothing, count for nothing.
    """
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        local = LocalCorrelation(fixed.float(), window, stride=2).local(moving.float())
        return float(local.square().sum() / local.sum().clamp_min(1e-6))
