"""Pairs of images made from random shapes, with the displacement between them known everywhere.

No real image is used. A random map of shapes is deformed by the exponential of a random velocity field, and both the
map and its deformed copy are given random intensities, blur, bias fields, noise, coarse slices, empty background and a
cut field of view (Hoffmann et al., SynthMorph: learning contrast-invariant registration without acquired images, IEEE
TMI 2022). Shapes and textures are functions of position, so the deformed map is evaluated at the displaced points and
never resampled from voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from ..warping import identity, integrate, resize_flow, warp


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
        two_bodies: how often the images show two bodies alike, whose details have no counterpart in one another.
        labels: how many labels are returned as one-hot maps.
    """

    shape: tuple[int, int, int] = (48, 48, 48)
    margin: int = 6
    shapes: tuple[int, int] = (4, 14)
    displacement: tuple[float, float] = (0.4, 5.0)
    motion_length: tuple[float, float] = (4.0, 48.0)
    stretch: tuple[float, float] = (0.1, 0.6)
    stretch_between: tuple[float, float] = (0.4, 1.1)
    contrast_change: float = 0.4
    background: float = 0.6
    layered: float = 0.5
    two_bodies: float = 0.35
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
        likeness: 1 where the displacement explains all of the difference, less where two bodies differ by themselves.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    displacement: torch.Tensor
    fixed_content: torch.Tensor
    moving_content: torch.Tensor
    weight: torch.Tensor
    margin: int
    likeness: float = 1.0

    CLEAN_IMAGES: ClassVar[int] = 2


def synthesise(settings: SynthesisSettings, generator: torch.Generator) -> Pair:
    """One random pair. The same generator state gives the same pair; the tensors are on the generator's device."""
    draw = _Draw(generator)
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
    velocity = random_velocity(coarse, bounds, lengths, stretch, generator)
    displacement = resize_flow(integrate(velocity, 7, "border"), canvas)

    structure = _Structure.drawn(settings, draw)
    moving_fields = structure.fields(canvas, draw)
    fixed_fields = warp(moving_fields, displacement, "border")
    likeness = 1.0
    if two_bodies:
        likeness = draw.uniform(0.75, 0.97)
        fixed_fields = structure.altered(fixed_fields, likeness, draw)

    moving_labels, fixed_labels = structure.labels(moving_fields), structure.labels(fixed_fields)

    means = draw.numbers(structure.label_count)
    means[0] = 0.0 if draw.chance(0.8) else means[0]
    other = means + 0.06 * draw.normals(structure.label_count)
    if draw.chance(settings.contrast_change):
        other = draw.numbers(structure.label_count)
        other[0] = means[0]
    texture = draw.uniform(0.0, 0.4) * draw.numbers(structure.label_count) ** 2
    texture[0] = 0.0

    fixed = _photograph(means[fixed_labels] + texture[fixed_labels] * fixed_fields[:, -1:], draw, margin)
    moving = _photograph(other[moving_labels] + texture[moving_labels] * moving_fields[:, -1:], draw, margin)

    clean = draw.numbers(structure.label_count)
    chosen = torch.randperm(structure.label_count, generator=generator, device=generator.device)[: settings.labels]
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
    weight = _crop(torch.where(fixed_labels > 0, 1.0, 0.1), margin)
    content = _crop(contents[0], margin)
    return Pair(fixed, moving, _crop(displacement, margin), content, contents[1], weight, margin, likeness)


def random_velocity(
    shape: tuple[int, ...],
    amplitude: tuple[float, float],
    lengths: tuple[float, float],
    stretch: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """A smooth random velocity field (1, 3, *shape) in voxels: noise of several lengths, at times affine or along an axis.

    Args:
        amplitude: bounds of its root mean square, drawn log-uniformly.
        lengths: bounds of the distance over which the noise varies, drawn log-uniformly.
        stretch: the root mean square of its gradient is lowered to this where it is greater.
    """
    draw = _Draw(generator)
    rms = draw.log_uniform(*amplitude)
    velocity = torch.zeros(1, 3, *shape, device=generator.device)
    for _ in range(3):
        length = draw.log_uniform(*lengths)
        noise = smooth_noise(shape, length, 3, generator, smoothing=2)
        # Short motions are small ones: the gradient, not the displacement, is of one size in tissue.
        velocity += draw.uniform(0.2, 1.0) * length * noise / _rms(noise)
    velocity /= _rms(velocity)
    if draw.chance(0.5):
        centred = torch.stack([c - (n - 1) / 2 for c, n in zip(identity(shape, velocity.device)[0], shape)])
        matrix = draw.normals(9).view(3, 3)
        linear = torch.einsum("cd,d...->c...", matrix, centred)[None]
        linear = linear / _rms(linear) + draw.uniform(0.0, 1.0) * draw.normals(3).view(1, 3, 1, 1, 1)
        velocity += draw.uniform(0.0, 1.5) * linear
    if draw.chance(0.25):
        # Breathing is mostly along one axis.
        axis = draw.integer(0, 2)
        velocity[:, [c for c in range(3) if c != axis]] *= 0.2
    velocity *= rms / _rms(velocity)
    gradient = sum(float(velocity.diff(dim=axis).pow(2).sum(1).mean()) for axis in (2, 3, 4)) ** 0.5
    return velocity * min(1.0, stretch / max(gradient, 1e-6))


def smooth_noise(
    shape: tuple[int, ...], length: float, channels: int, generator: torch.Generator, smoothing: int = 0
) -> torch.Tensor:
    """Noise (1, channels, *shape) that varies over `length` voxels; `smoothing` box filters round its grid off."""
    coarse = [max(2, math.ceil(n / length) + 1) for n in shape]
    noise = torch.randn(1, channels, *coarse, generator=generator, device=generator.device)
    noise = F.interpolate(noise, size=shape, mode="trilinear", align_corners=True)
    width = 2 * int(length / 4) + 1
    for _ in range(smoothing):
        for axis in range(3):
            noise = _box(noise, width, axis)
    return noise


def _box(image: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    padding, window = [0, 0, 0], [1, 1, 1]
    padding[axis], window[axis] = width // 2, width
    padded = F.pad(image, [p for n in reversed(padding) for p in (n, n)], mode="replicate")
    return F.avg_pool3d(padded, window, stride=1)


@dataclass(frozen=True)
class _Structure:
    """How a body is made up, which two images of it share. Lengths are in voxels.

    Its fields are (1, count + 5, *shape): one for each shape, the body's, two for a vessel tree, the layers', the texture.
    Its labels are 0 background, 1 to count the shapes, count + 1 vessels, count + 2 and count + 3 the layers.
    """

    count: int
    lengths: tuple[float, float, float, float, float]
    body_level: float
    tube: float
    layers: tuple[float, float]
    layers_everywhere: bool

    @classmethod
    def drawn(cls, settings: SynthesisSettings, draw: "_Draw") -> "_Structure":
        first = draw.uniform(-0.2, 0.1) if draw.chance(settings.layered) else math.inf
        return cls(
            count=draw.integer(*settings.shapes),
            lengths=(
                draw.uniform(16.0, 32.0),
                draw.uniform(5.0, 14.0),
                draw.uniform(10.0, 24.0),
                draw.uniform(4.0, 12.0),
                draw.uniform(1.5, 5.0),
            ),
            body_level=draw.uniform(-0.6, 0.3) if draw.chance(settings.background) else -math.inf,
            tube=draw.uniform(0.0, 0.12),
            layers=(first, first + draw.uniform(0.1, 0.4)),
            layers_everywhere=draw.chance(0.3),
        )

    @property
    def label_count(self) -> int:
        return self.count + 4

    def fields(self, shape: tuple[int, ...], draw: "_Draw") -> torch.Tensor:
        return self._arranged(_body(shape, draw), shape, draw)

    def altered(self, fields: torch.Tensor, likeness: float, draw: "_Draw") -> torch.Tensor:
        """The fields of another body of the same outline that correlate with these by `likeness`."""
        outline = fields[:, self.count : self.count + 1]
        other = self._arranged(outline, tuple(fields.shape[2:]), draw)
        altered = likeness * fields + math.sqrt(1.0 - likeness**2) * other
        altered[:, self.count : self.count + 1] = outline
        return altered

    def labels(self, fields: torch.Tensor) -> torch.Tensor:
        """Label map (1, 1, *shape)."""
        count = self.count
        labels = fields[:, :count].argmax(1, keepdim=True) + 1
        height = fields[:, count + 3 : count + 4]
        where = torch.ones_like(labels, dtype=torch.bool) if self.layers_everywhere else labels <= (count + 1) // 2
        for level, threshold in enumerate(self.layers):
            labels = torch.where(where & (height > threshold), count + 2 + level, labels)
        vessels = fields[:, count + 1 : count + 3].abs().amax(1, keepdim=True) < self.tube
        labels = torch.where(vessels, count + 1, labels)
        return torch.where(fields[:, count : count + 1] > self.body_level, labels, 0)

    def _arranged(self, outline: torch.Tensor, shape: tuple[int, ...], draw: "_Draw") -> torch.Tensor:
        large, small, vessels, layers, texture = self.lengths
        many = max(1, self.count // 2)
        parts = [
            smooth_noise(shape, large, many, draw.generator),
            outline,
            smooth_noise(shape, vessels, 2, draw.generator),
            smooth_noise(shape, layers, 1, draw.generator),
            smooth_noise(shape, texture, 1, draw.generator),
        ]
        if self.count > many:
            parts.insert(1, smooth_noise(shape, small, self.count - many, draw.generator))
        return torch.cat(parts, dim=1)


def _body(shape: tuple[int, ...], draw: "_Draw") -> torch.Tensor:
    """A field above 0 in a rough ellipsoid."""
    centred = torch.stack(
        [
            (c - n * draw.uniform(0.4, 0.6)) / (n * draw.uniform(0.25, 0.6))
            for c, n in zip(identity(shape, draw.device)[0], shape)
        ]
    )
    return (1.0 - centred.pow(2).sum(0))[None, None] + 0.3 * smooth_noise(shape, 20.0, 1, draw.generator)


def _photograph(image: torch.Tensor, draw: "_Draw", margin: int) -> torch.Tensor:
    """The image as a scanner of little virtue gives it, cropped to the field of view and scaled to [0, 1]."""
    shape = tuple(image.shape[2:])
    if draw.chance(0.6):
        image = _blur(image, draw.uniform(0.3, 1.2))
    if draw.chance(0.25):
        axis = draw.integer(0, 2)
        coarse = list(shape)
        coarse[axis] = max(8, int(shape[axis] / draw.uniform(1.5, 4.0)))
        image = F.interpolate(F.interpolate(image, size=coarse, mode="area"), size=shape, mode="trilinear")
    image = _crop(image, margin)
    shape = tuple(image.shape[2:])
    if draw.chance(0.5):
        bias = draw.uniform(0.0, 0.3) * smooth_noise(shape, draw.uniform(24.0, 64.0), 1, draw.generator)
        image = image * torch.exp(bias)
    image = image + draw.uniform(0.0, 0.06) * torch.randn(image.shape, generator=draw.generator, device=image.device)
    if draw.chance(0.1):
        axis = draw.integer(2, 4)
        width = draw.integer(1, shape[axis - 2] // 4)
        image.narrow(axis, 0 if draw.chance(0.5) else shape[axis - 2] - width, width).fill_(float(image.min()))
    low, high = torch.quantile(image[:, :, ::2, ::2, ::2].reshape(-1), torch.tensor([0.01, 0.99], device=image.device))
    image = ((image - low) / (high - low).clamp_min(1e-3)).clamp(0.0, 1.0)
    return image ** math.exp(draw.uniform(-0.35, 0.35)) if draw.chance(0.4) else image


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(1, int(2.5 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = -1
        padding = [0, 0, 0]
        padding[axis] = radius
        padded = F.pad(image, [p for n in reversed(padding) for p in (n, n)], mode="replicate")
        image = F.conv3d(padded, kernel.view(shape))
    return image


def _crop(image: torch.Tensor, margin: int) -> torch.Tensor:
    inner = slice(margin, -margin) if margin else slice(None)
    return image[:, :, inner, inner, inner].contiguous()


def _rms(field: torch.Tensor) -> torch.Tensor:
    return field.pow(2).sum(1).mean().sqrt().clamp_min(1e-6)


class _Draw:
    """Random numbers from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, device=self.device))

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=self.generator, device=self.device))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def numbers(self, count: int) -> torch.Tensor:
        return torch.rand(count, generator=self.generator, device=self.device)

    def normals(self, count: int) -> torch.Tensor:
        return torch.randn(count, generator=self.generator, device=self.device)
