"""Random bodies: what is in a synthetic image, as functions of position that are evaluated anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..flow.sampling import identity
from .random_draws import Draw, smooth_noise


@dataclass(frozen=True)
class Structure:
    """How a body is made up, which two images of it share. Lengths are in voxels.

    Its fields are (1, count + 5, *shape): one for each shape, the body's, two for a vessel tree, the layers', the
    texture. Its labels are 0 background, 1 to count the shapes, count + 1 vessels, count + 2 and count + 3 the layers.
    """

    count: int
    lengths: tuple[float, float, float, float, float]
    body_level: float
    tube: float
    layers: tuple[float, float]
    layers_everywhere: bool

    @classmethod
    def drawn(cls, shapes: tuple[int, int], layered: float, background: float, draw: Draw) -> Structure:
        """A random one; the numbers are those of `SynthesisSettings`."""
        first = draw.uniform(-0.2, 0.1) if draw.chance(layered) else math.inf
        return cls(
            count=draw.integer(*shapes),
            lengths=(
                draw.uniform(16.0, 32.0),
                draw.uniform(3.0, 14.0),
                draw.uniform(10.0, 24.0),
                draw.uniform(4.0, 12.0),
                draw.uniform(1.5, 5.0),
            ),
            body_level=draw.uniform(-0.6, 0.3) if draw.chance(background) else -math.inf,
            tube=draw.uniform(0.0, 0.12),
            layers=(first, first + draw.uniform(0.1, 0.4)),
            layers_everywhere=draw.chance(0.3),
        )

    @property
    def label_count(self) -> int:
        return self.count + 4

    def fields(self, shape: tuple[int, ...], draw: Draw) -> torch.Tensor:
        """The fields of a random body, (1, count + 5, *shape)."""
        return self._arranged(_body(shape, draw), shape, draw)

    def altered(self, fields: torch.Tensor, correlation: float, draw: Draw) -> torch.Tensor:
        """The fields of another body of the same outline whose fields correlate with these by `correlation`."""
        outline = fields[:, self.count : self.count + 1]
        other = self._arranged(outline, tuple(fields.shape[2:]), draw)
        altered = correlation * fields + math.sqrt(1.0 - correlation**2) * other
        altered[:, self.count : self.count + 1] = outline
        return altered

    def labels(self, fields: torch.Tensor) -> torch.Tensor:
        """The label map (1, 1, *shape) of fields (1, count + 5, *shape)."""
        count = self.count
        labels = fields[:, :count].argmax(1, keepdim=True) + 1
        height = fields[:, count + 3 : count + 4]
        where = torch.ones_like(labels, dtype=torch.bool) if self.layers_everywhere else labels <= (count + 1) // 2
        for level, threshold in enumerate(self.layers):
            labels = torch.where(where & (height > threshold), count + 2 + level, labels)
        vessels = fields[:, count + 1 : count + 3].abs().amax(1, keepdim=True) < self.tube
        labels = torch.where(vessels, count + 1, labels)
        return torch.where(fields[:, count : count + 1] > self.body_level, labels, 0)

    def _arranged(self, outline: torch.Tensor, shape: tuple[int, ...], draw: Draw) -> torch.Tensor:
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


def _body(shape: tuple[int, ...], draw: Draw) -> torch.Tensor:
    """A field above 0 in a rough ellipsoid."""
    centred = torch.stack(
        [
            (c - n * draw.uniform(0.4, 0.6)) / (n * draw.uniform(0.25, 0.6))
            for c, n in zip(identity(shape, draw.device)[0], shape)
        ]
    )
    return (1.0 - centred.pow(2).sum(0))[None, None] + 0.3 * smooth_noise(shape, 20.0, 1, draw.generator)
