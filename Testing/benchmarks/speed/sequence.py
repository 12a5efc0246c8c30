"""A body that breathes, as large and as long as is asked for.

python -m Testing.benchmarks.speed.sequence FOLDER COUNT K J I     # its frames as files
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

from VoxelMorphRegistrationLib.propagation.frames import Frames
from VoxelMorphRegistrationLib.space import displacement
from VoxelMorphRegistrationLib.space.grid import Grid

IN_PLANE = 2.4  # mm from voxel to voxel along i and j; along k as the array's shape makes the body round
LABELS, TRUTH = "labels.nrrd", "truth.nrrd"
KNOWN = 6  # the frame whose true displacement is a file too: about half of the largest motion


class BreathingBody(Frames):
    """Frames of `shape` (k, j, i) voxels, made when they are asked for. Frame 0 is at rest.

    A breath has an amplitude of its own and moves along k and j; there is noise.
    """

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        draw = np.random.default_rng(0)
        texture = gaussian_filter(draw.normal(size=shape).astype(np.float32), [n / 40 for n in shape])
        place = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
        radius = np.sqrt(sum(x * x for x in place))
        self._body = (400 + 150 * texture / texture.std()) / (1 + np.exp(12 * (radius - 0.85)))
        self._inside, self._count, self._shape = np.exp(-((radius / 0.8) ** 4)), count, shape
        self._largest = 0.05 * IN_PLANE * shape[2]  # mm of motion
        spacing = (IN_PLANE, IN_PLANE, IN_PLANE * shape[2] / shape[0])
        self._grid = Grid(tuple(reversed(shape)), spacing, (0.0,) * 3, (1, 0, 0, 0, 1, 0, 0, 0, 1))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> sitk.Image:
        values = map_coordinates(self._body, self._moved(index), order=1, mode="nearest")
        noise = np.random.default_rng([index, 1]).normal(0, 10, self._shape)
        return self._grid.image((values + noise).astype(np.int16))

    def true_labels(self, index: int) -> np.ndarray:
        """The labels of frame 0 where the frame's motion takes them, (k, j, i)."""
        drawn = sitk.GetArrayFromImage(self.labels())
        return map_coordinates(drawn, self._moved(index), order=0, mode="nearest")

    def true_displacement(self, index: int) -> sitk.Image:
        """Frame point + u = point of frame 0, LPS mm."""
        return displacement.from_voxel_flow(self._moved(index) - np.indices(self._shape, np.float32), self._grid)

    def _moved(self, index: int) -> np.ndarray:
        """For each voxel of a frame where in frame 0 its tissue was, in voxels: (3, k, j, i)."""
        draw = np.random.default_rng(index)
        deep = 0.0 if index == 0 else self._largest * draw.uniform(0.1, 1) * np.sin(np.pi * draw.random()) ** 2
        spacing = tuple(reversed(self._grid.spacing))
        moved = np.indices(self._shape, np.float32)
        moved[0] += deep / spacing[0] * self._inside
        moved[1] += 0.3 * deep / spacing[1] * self._inside
        return moved

    def labels(self) -> sitk.Image:
        """An organ in the middle of frame 0, and a small one in it."""
        return self._grid.image((self._inside > 0.9).astype(np.uint8) + (self._inside > 0.999))


def write_frames(body: BreathingBody, folder: Path) -> list[Path]:
    """The frames that are not there yet, not compressed, and beside their folder the labels."""
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(body.labels(), str(folder.parent / LABELS))
    paths = [folder / f"{index:05d}.nrrd" for index in range(len(body))]
    for index, path in enumerate(paths):
        if not path.is_file():
            sitk.WriteImage(body[index], str(path))
    return paths


def frames_folder(folder: Path, shape: list[int]) -> Path:
    """Of all frames of this shape."""
    return folder / "x".join(map(str, shape)) / "frames"


def frames_by_another_process(folder: Path, shape: list[int], count: int) -> list[Path]:
    """As `write_frames`, in `frames_folder`, and beside it the true displacement where frame `KNOWN` is among them.

    What making them takes in memory is not this process'.
    """
    place = frames_folder(folder, shape)
    paths = [place / f"{index:05d}.nrrd" for index in range(count)]
    if not all(path.is_file() for path in [*paths, *([place.parent / TRUTH] if count > KNOWN else [])]):
        command = [sys.executable, "-m", __name__, str(place), str(count), *map(str, shape)]
        subprocess.run(command, check=True)
    return paths


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    body = BreathingBody(tuple(int(n) for n in sys.argv[3:6]), count)
    write_frames(body, folder)
    if count > KNOWN:
        sitk.WriteImage(body.true_displacement(KNOWN), str(folder.parent / TRUTH))


if __name__ == "__main__":
    main()
