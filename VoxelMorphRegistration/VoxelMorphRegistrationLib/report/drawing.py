"""Parts of pictures: grey values as a small image inside the page, and outlines as paths over it."""

from __future__ import annotations

import base64
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

LONGEST = 256  # pixels along an edge of a picture
_QUALITY = 72


@dataclass(frozen=True)
class Outline:
    """The border of one label in one plane.

    Attributes:
        kind: 'before' or 'after'. label: the label's value; 0 for all together.
        path: SVG path in pixels of the picture.
    """

    kind: str
    label: int
    path: str


@dataclass(frozen=True)
class Picture:
    """A plane as the page shows it.

    Attributes:
        title: what is seen, in words.
        image: data URI of the pixels.
        columns, rows: pixels. width, height: the same in mm, which gives the picture its shape.
        outlines: over the image.
    """

    title: str
    image: str
    columns: int
    rows: int
    width: float
    height: float
    outlines: tuple[Outline, ...] = ()

    @property
    def size(self) -> int:
        """Bytes it takes in the page, or nearly."""
        return len(self.image) + sum(len(outline.path) for outline in self.outlines)


@dataclass(frozen=True)
class Window:
    """Grey values from black to white."""

    black: float
    white: float

    @classmethod
    def of(cls, values: np.ndarray) -> Window:
        """From the 1st to the 99.9th percentile of some ten thousand voxels."""
        step = max(1, round((values.size / 50_000) ** (1 / max(1, values.ndim))))
        some = values[(slice(None, None, step),) * values.ndim]
        some = some[np.isfinite(some)]
        if some.size == 0:
            return cls(0.0, 1.0)
        black, white = (float(value) for value in np.percentile(some, (1, 99.9)))
        return cls(black, white if white > black else black + 1.0)

    def grey(self, values: np.ndarray) -> np.ndarray:
        """uint8; what is not finite is black."""
        scaled = (np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0) - self.black) * (
            255.0 / (self.white - self.black)
        )
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def stride_for(shape: tuple[int, int]) -> tuple[int, int]:
    """Every how many-th row and column is kept, so that neither edge is longer than `LONGEST`."""
    return (-(-shape[0] // LONGEST), -(-shape[1] // LONGEST))


def data_uri(pixels: np.ndarray) -> str:
    """Pixels (rows, columns) or (rows, columns, 3), uint8, as an image inside a page: WebP by Pillow, or PNG by
    SimpleITK where Pillow is missing.
    """
    pixels = np.ascontiguousarray(pixels)
    try:
        from PIL import Image, features
    except ImportError:
        return _as_uri("png", _png(pixels))
    stream = io.BytesIO()
    if not features.check("webp"):
        Image.fromarray(pixels).save(stream, "png", optimize=True)
        return _as_uri("png", stream.getvalue())
    Image.fromarray(pixels).save(stream, "webp", quality=_QUALITY)
    return _as_uri("webp", stream.getvalue())


def outline(mask: np.ndarray) -> str:
    """The border of a mask (rows, columns) along its pixels' edges, as an SVG path in pixels.

    Each straight piece is drawn by itself: upright ones as `Mx yVy`, level ones as `Mx yHx`.
    """
    padded = np.pad(np.asarray(mask, bool), 1)
    upright = [
        f"M{x} {y}V{end}" for x, y, end in _runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)
    ]  # between column x - 1 and column x
    level = [f"M{x} {y}H{end}" for y, x, end in _runs(padded[1:, 1:-1] != padded[:-1, 1:-1])]
    return "".join(upright + level)


def _runs(edges: np.ndarray) -> list[tuple[int, int, int]]:
    """(line, first, one past the last) of each run of True along the lines of an array."""
    steps = np.diff(np.pad(edges.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    lines, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(lines.tolist(), starts.tolist(), ends.tolist()))


def _png(pixels: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path), True)
        return path.read_bytes()


def _as_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
