"""Strategy motion-model over tissue at known places, with exact looks and registrations."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.context import FrameContext, FrameReader, Outcome, Registered, found_now
from VoxelMorphRegistrationLib.propagation.frames import ImageFrames
from VoxelMorphRegistrationLib.propagation.motion_model_means import MotionMeans
from VoxelMorphRegistrationLib.propagation.motion_model_store import MotionStore
from VoxelMorphRegistrationLib.propagation.references import Reference
from VoxelMorphRegistrationLib.propagation.strategies import STRATEGIES
from VoxelMorphRegistrationLib.space.grid import Grid

GRID = Grid((5, 4, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
LOOKS = Grid((2, 2, 1), (20.0, 20.0, 30.0), (0.5, 0.5, 1.0), GRID.direction)


def breath(count: int = 40) -> np.ndarray:
    """Where the tissue of each frame lies, mm along x and y: to and fro along one line, with a little of its own each.
    Frame 0 is at rest.
    """
    draw = np.random.default_rng(3)
    phase = draw.uniform(0, 2 * np.pi, count)
    places = np.stack([6 - 6 * np.cos(phase), 2 - 2 * np.cos(phase)], -1) + draw.normal(0, 0.05, (count, 2))
    places[0] = 0
    return places


def moves(vector) -> sitk.Image:
    vectors = np.zeros((*GRID.shape, 3), np.float32)
    vectors[..., :2] = vector
    return GRID.image(vectors, vector=True)


def moved(displacement: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(displacement)[0, 0, 0, :2]


class Walk:
    """The strategy over tissue at `places`, with a log of what was read, looked at and registered.

    A registration and a look are exact, but that of the `deceiving` frames the look shows another place.
    """

    def __init__(self, places, folder=None, keyframes=None, deceiving=(), unreadable=(), finished=(), kept=None):
        self.places, self.folder, self.keyframes = np.asarray(places), folder, keyframes
        self.deceiving, self.unreadable = dict(deceiving), set(unreadable)
        self.finished, self.kept = frozenset(finished), kept or {}
        self.pairs: list[tuple[int, int]] = []
        self.looked: list[int] = []
        self.reads: list[int] = []
        self.stop_after_looks = None

    grid, together, prepare = LOOKS, 1, None

    def seen(self, image: sitk.Image) -> sitk.Image:
        return image

    def at_all(self, images: list[sitk.Image]) -> list[np.ndarray]:
        return [self.at(image) for image in images]

    def at(self, image: sitk.Image) -> np.ndarray:
        index = int(image.GetPixel(0, 0, 0))
        if self.stop_after_looks is not None and len(self.looked) >= self.stop_after_looks:
            raise KeyboardInterrupt
        self.looked.append(index)
        seen = np.zeros((*LOOKS.shape, 3), np.float16)
        seen[..., :2] = self.deceiving.get(index, self.places[0] - self.places[index])
        return seen

    def register(self, fixed: sitk.Image, moving: sitk.Image, near: bool = False) -> Registered:
        index, other = int(fixed.GetPixel(0, 0, 0)), float(moving.GetPixel(0, 0, 0))
        self.pairs.append((index, int(other)))
        return Registered(moves(self.places[int(other)] - self.places[index]))

    def alike(self, image: sitk.Image, displacement: sitk.Image) -> tuple[float, float]:
        apart = self.places[0] - self.places[int(image.GetPixel(0, 0, 0))]
        return 1 - 0.05 * np.linalg.norm(apart), 1 - 0.05 * np.linalg.norm(apart - moved(displacement))

    def outcomes(self) -> list[Outcome]:
        walk = self

        class Frames(ImageFrames):
            def __getitem__(self, index):
                walk.reads.append(index)
                if index in walk.unreadable:
                    raise InputError(f"frame {index}: broken")
                return super().__getitem__(index)

        images = [GRID.image(np.full(GRID.shape, index, np.float32)) for index in range(len(self.places))]
        frames = Frames(images)
        means = MotionMeans(self, self.alike, MotionStore(self.folder, frames, 0), self.keyframes)
        with FrameReader(frames) as reader:
            reference = Reference(0, images[0], None)
            context = FrameContext(
                reference, range(len(images)), reader, self.register, self.finished, self.kept.get, motion=means
            )
            return [found_now(one) for one in STRATEGIES["motion-model"](context)]


def assert_led_to_reference(walk: Walk, outcomes: list[Outcome], tolerance: float = 0.25) -> None:
    for one in outcomes:
        if one.displacement is not None:
            assert np.abs(moved(one.displacement) - (walk.places[0] - walk.places[one.index])).max() < tolerance
