"""Pairs of images made from random shapes, with the displacement between them known everywhere.

No real image is used. A random map of shapes is deformed by the exponential of a random velocity field, and both the
map and its deformed copy are given random intensities, blur, bias fields, noise, coarse slices, empty background and a
cut field of view (Hoffmann et al., SynthMorph: learning contrast-invariant registration without acquired images, IEEE
TMI 2022). Shapes and textures are functions of position, so the deformed map is evaluated at the displaced points and
never resampled from voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..flow.integration import compose_flows, integrate, resize_flow
from ..flow.sampling import warp
from .acquisition import Scanner, crop, simulate_acquisition
from .random_bodies import Structure
from .random_draws import Draw
from .random_motion import random_velocity, sliding_displacement


@dataclass(frozen=True)
class SynthesisSettings:
    """What is drawn. Lengths are in voxels.

    Attributes:
        shape: of the images, array order.
        margin: content beyond every face of the images, which a displacement can bring in.
        shapes: least and greatest number of labels beside the background.
        displacement: least and greatest root mean square of the velocity; drawn log-uniformly.
        motion_length: least and greatest distance over which the velocity varies; drawn log-uniformly.
        stretch: bounds of the greatest root mean square of the velocity's gradient, drawn log-uniformly. Breathing has
            .15, a heart .3. Without a bound a large motion of short length has no counterpart in tissue and cannot be
            found again by anything.
        stretch_between: the same for two bodies: from one brain to another it is .9 at 2 mm.
        contrast_change: how often the two images have intensities of their own.
        background: how often the content is a body in an empty background.
        layered: how often there are folded layers, as the cortex is.
        two_bodies: how often the images show two similar bodies, whose details have no counterpart in one another.
        finer_grid: how often the grid is finer than the scanner's voxels, the noise interpolated with the rest.
        sliding: how often a part of one body slides past the rest, as liver and lung do behind the wall of the body.
        sliding_length: least and greatest length it slides by; drawn log-uniformly.
        thick_slices: how often both images are acquired in the same slices, two to six voxels thick.
        one_scan: how often the two images are one scan, all of its texture moving with the tissue, as frames of a
            sequence are; two bodies never are.
        labels: how many labels are returned as one-hot maps.
    """

    shape: tuple[int, int, int] = (48, 48, 48)
    margin: int = 8
    shapes: tuple[int, int] = (4, 14)
    displacement: tuple[float, float] = (0.4, 5.0)
    motion_length: tuple[float, float] = (4.0, 48.0)
    stretch: tuple[float, float] = (0.1, 0.6)
    stretch_between: tuple[float, float] = (0.4, 1.1)
    contrast_change: float = 0.4
    background: float = 0.6
    layered: float = 0.5
    two_bodies: float = 0.35
    finer_grid: float = 0.3
    sliding: float = 0.2
    sliding_length: tuple[float, float] = (1.0, 6.0)
    thick_slices: float = 0.2
    one_scan: float = 0.35
    labels: int = 5


@dataclass
class Pair:
    """Two images and what is true of them.

    Attributes:
        fixed, moving: (1, 1, *shape), intensities 0 to 1, as a network sees them.
        displacement: (1, 3, *shape) voxels, pulls: the tissue at x of the fixed image is at x + u of the moving one.
        fixed_content: (1, C, *shape): two clean images followed by one-hot label maps.
        moving_content: (1, C, *shape + 2 margin), the same of the moving image, margin included.
        weight: (1, 1, *shape), 1 in tissue and little in empty background, where there is nothing to go by.
        margin: in voxels.
        correlation: of each pair's two bodies' fields: 1 where the images show one body and the displacement explains
            all of their difference, less where they show two.

    A batch of them has its number in place of the 1 that each shape begins with.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    displacement: torch.Tensor
    fixed_content: torch.Tensor
    moving_content: torch.Tensor
    weight: torch.Tensor
    margin: int
    correlation: tuple[float, ...] = (1.0,)

    CLEAN_IMAGES: ClassVar[int] = 2

    @classmethod
    def batch(cls, pairs: list[Pair]) -> Pair:
        """Pairs of one shape as one, their tensors joined along the first axis."""
        first = pairs[0]
        if len(pairs) == 1:
            return first
        names = ("fixed", "moving", "displacement", "fixed_content", "moving_content", "weight")
        joined = {name: torch.cat([getattr(pair, name) for pair in pairs]) for name in names}
        return cls(**joined, margin=first.margin, correlation=tuple(c for pair in pairs for c in pair.correlation))


def synthesise(settings: SynthesisSettings, draw: Draw) -> Pair:
    """One random pair. The same state of `draw` gives the same pair; the tensors are on its device."""
    margin = settings.margin
    canvas = tuple(n + 2 * margin for n in settings.shape)

    # A velocity this smooth loses nothing on a grid of half the voxels, where its exponential costs an eighth.
    coarse = tuple((n + 1) // 2 for n in canvas)
    two_bodies = draw.chance(settings.two_bodies)
    stretch = draw.log_uniform(*(settings.stretch_between if two_bodies else settings.stretch))
    # Two bodies are never as near as two frames of one.
    low, high = (value / 2 for value in settings.displacement)
    bounds = (min(high, 4.0 * low), high) if two_bodies else (low, high)
    lengths = (settings.motion_length[0] / 2, settings.motion_length[1] / 2)
    velocity = random_velocity(coarse, bounds, lengths, stretch, draw)
    displacement = resize_flow(integrate(velocity, 7, "border"), canvas)
    if not two_bodies and draw.chance(settings.sliding):
        slid = sliding_displacement(canvas, settings.sliding_length, draw)
        displacement = compose_flows(displacement, slid, "border")

    structure = Structure.drawn(settings.shapes, settings.layered, settings.background, draw)
    moving_fields = structure.fields(canvas, draw)
    fixed_fields = warp(moving_fields, displacement, "border")
    correlation = 1.0
    if two_bodies:
        correlation = draw.uniform(0.75, 0.97)
        fixed_fields = structure.altered(fixed_fields, correlation, draw)

    moving_labels, fixed_labels = structure.labels(moving_fields), structure.labels(fixed_fields)

    means = draw.numbers(structure.label_count)
    means[0] = 0.0 if draw.chance(0.8) else means[0]
    other = means + 0.06 * draw.normals(structure.label_count)
    if draw.chance(settings.contrast_change):
        other = draw.numbers(structure.label_count)
        other[0] = means[0]
    texture = draw.uniform(0.0, 0.4) * draw.numbers(structure.label_count) ** 2
    texture[0] = 0.0

    voxel = draw.uniform(1.5, 2.2) if draw.chance(settings.finer_grid) else 1.0
    slices = (draw.integer(0, 2), draw.uniform(2.0, 6.0)) if draw.chance(settings.thick_slices) else None
    scanner = Scanner(voxel, slices=slices)
    if not two_bodies and draw.chance(settings.one_scan):
        scanner, other = Scanner(voxel, blur=draw.uniform(0.6, 1.2), most_noise=0.01, slices=slices), means
    fixed = simulate_acquisition(
        means[fixed_labels] + texture[fixed_labels] * fixed_fields[:, -1:], draw, margin, scanner
    )
    moving = simulate_acquisition(
        other[moving_labels] + texture[moving_labels] * moving_fields[:, -1:], draw, margin, scanner
    )

    clean = draw.numbers(structure.label_count)
    chosen = torch.randperm(structure.label_count, generator=draw.decisions)[: settings.labels].tolist()
    contents = [
        torch.cat(
            [
                means[labels] + texture[labels] * fields[:, -1:],
                clean[labels] + 0.1 * fields[:, -1:] * (labels > 0),
                *[(labels == label).float() for label in chosen],
            ],
            dim=1,
        )
        for labels, fields in ((fixed_labels, fixed_fields), (moving_labels, moving_fields))
    ]
    weight = crop(torch.where(fixed_labels > 0, 1.0, 0.1), margin)
    content = crop(contents[0], margin)
    return Pair(fixed, moving, crop(displacement, margin), content, contents[1], weight, margin, (correlation,))
