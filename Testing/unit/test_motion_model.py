"""Strategy motion-model: few frames registered, the others combined from theirs, with exact looks and registrations."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.context import FrameContext, FrameReader, Outcome, Registered
from VoxelMorphRegistrationLib.propagation.frames import ImageFrames
from VoxelMorphRegistrationLib.propagation.motion_model_fit import (
    UNLIKE,
    choose_keys,
    combination,
    find_modes,
)
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
            return list(STRATEGIES["motion-model"](context))


def assert_led_to_reference(walk: Walk, outcomes: list[Outcome], tolerance: float = 0.25) -> None:
    for one in outcomes:
        if one.displacement is not None:
            assert np.abs(moved(one.displacement) - (walk.places[0] - walk.places[one.index])).max() < tolerance


def test_few_frames_are_registered_and_the_others_come_where_they_belong():
    walk = Walk(breath())
    outcomes = walk.outcomes()
    assert sorted(one.index for one in outcomes) == list(range(40))
    assert len(walk.pairs) <= 8 and walk.looked == list(range(1, 40))
    assert_led_to_reference(walk, outcomes)
    made = [one.strategy for one in outcomes if one.index]
    assert made.count("direct") == len(walk.pairs) and set(made) == {"direct", "motion-model"}
    assert [one.index for one in outcomes if one.keep] == [pair[0] for pair in walk.pairs]
    assert set(outcomes[-1].release) == {pair[0] for pair in walk.pairs}


def test_while_a_key_frame_is_registered_the_next_one_is_read():
    following = []

    class Waiting(Walk):
        def register(self, fixed, moving, near=False):
            index, until = int(fixed.GetPixel(0, 0, 0)), time.monotonic() + 2
            while self.reads[-1] == index and time.monotonic() < until:
                time.sleep(0.001)
            following.append(self.reads[-1])
            return super().register(fixed, moving, near)

    walk = Waiting(breath())
    outcomes = walk.outcomes()
    keys = [one.index for one in outcomes if one.keep]
    assert len(keys) > 2 and following[: len(keys) - 1] == keys[1:]
    after_the_looks = walk.reads[len(walk.places) - 1 :]
    assert sorted(after_the_looks) == list(range(1, len(walk.places)))


def test_as_many_key_frames_are_registered_as_are_asked_for():
    walk = Walk(breath(), keyframes=3)
    outcomes = walk.outcomes()
    assert len(walk.pairs) == 3
    assert_led_to_reference(walk, outcomes)


def test_a_frame_unlike_all_others_is_no_key_frame_and_is_registered_directly():
    places = breath()
    places[17] = (-9, 14)
    walk = Walk(places)
    outcomes = walk.outcomes()
    apart = {one.index: one for one in outcomes if one.notes and "unlike" in one.notes[0]}
    assert list(apart) == [17] and apart[17].strategy == "direct" and not apart[17].keep
    assert_led_to_reference(walk, outcomes)


class Apart(Walk):
    """Frame 17 looks unlike the others, but its tissue lies where theirs does."""

    def at(self, image: sitk.Image) -> np.ndarray:
        seen = super().at(image)
        if image.GetPixel(0, 0, 0) == 17:
            seen[..., 2] = 30
        return seen


def test_a_frame_that_looks_unlike_the_others_and_fits_the_model_is_named_and_not_registered():
    walk = Apart(breath())
    outcomes = walk.outcomes()
    (apart,) = [one for one in outcomes if one.index == 17]
    assert apart.strategy == "motion-model" and apart.notes[0].startswith("unlike the other frames, but")
    assert 17 not in [pair[0] for pair in walk.pairs]
    assert_led_to_reference(walk, outcomes)


def test_a_direct_registration_that_is_hardly_more_similar_than_the_model_is_not_believed():
    class OfAnotherContrast(Apart):
        def alike(self, image: sitk.Image, displacement: sitk.Image) -> tuple[float, float]:
            if image.GetPixel(0, 0, 0) != 17:
                return super().alike(image, displacement)
            return 0.3, 0.4 if self.is_right(displacement) else 0.41

        def is_right(self, displacement: sitk.Image) -> bool:
            return np.abs(moved(displacement) - (self.places[0] - self.places[17])).max() < 0.25

        def register(self, fixed: sitk.Image, moving: sitk.Image, near: bool = False) -> Registered:
            found = super().register(fixed, moving, near)
            return Registered(moves((5, 5))) if fixed.GetPixel(0, 0, 0) == 17 else found

    walk = OfAnotherContrast(breath())
    outcomes = walk.outcomes()
    (apart,) = [one for one in outcomes if one.index == 17]
    assert apart.strategy == "motion-model" and "no more similar: the motion model is kept" in apart.notes[0]
    assert 17 in [pair[0] for pair in walk.pairs]
    assert_led_to_reference(walk, outcomes)


def test_where_the_image_speaks_against_the_combination_the_frame_is_registered():
    places = breath()
    walk = Walk(places, deceiving={index: -0.5 * places[index] for index in (11, 30)}.items(), keyframes=1)
    outcomes = walk.outcomes()
    assert_led_to_reference(walk, outcomes)
    told = {one.index: one.notes[0] for one in outcomes if one.notes and "key frame" not in one.notes[0]}
    assert set(told) == {11, 30}


def test_a_key_frame_that_registration_made_less_similar_stands_for_no_other():
    places = breath()
    first = Walk(places).outcomes()[1].index
    walk = Walk(places)
    right = walk.register

    def wrong_for_one(fixed: sitk.Image, moving: sitk.Image) -> Registered:
        found = right(fixed, moving)
        return Registered(moves((40, 40))) if fixed.GetPixel(0, 0, 0) == first else found

    walk.register = wrong_for_one
    outcomes = walk.outcomes()
    assert outcomes[1].index == first and outcomes[1].strategy == "direct"
    assert_led_to_reference(walk, [one for one in outcomes if one.index != first], 1.0)


def test_few_frames_are_each_registered_directly():
    walk = Walk(breath(10))
    outcomes = walk.outcomes()
    assert [one.index for one in outcomes] == list(range(10)) and not walk.looked
    assert [pair[0] for pair in walk.pairs] == list(range(1, 10))


def test_a_frame_that_cannot_be_read_fails_alone():
    walk = Walk(breath(), unreadable=[5, 33])
    outcomes = walk.outcomes()
    assert [one.index for one in outcomes if one.failure] == [5, 33]
    assert sorted(one.index for one in outcomes) == list(range(40))
    assert_led_to_reference(walk, outcomes)


def test_a_run_stopped_while_it_looks_goes_on_with_the_looks_it_has(tmp_path):
    (tmp_path / ".resume").mkdir()
    first = Walk(breath(), tmp_path)
    first.stop_after_looks = 25
    with pytest.raises(KeyboardInterrupt):
        first.outcomes()
    second = Walk(breath(), tmp_path)
    outcomes = second.outcomes()
    assert second.looked == list(range(26, 40))
    for one, other in zip(outcomes, Walk(breath()).outcomes()):
        assert one.index == other.index and (
            one.displacement is None or (moved(one.displacement) == moved(other.displacement)).all()
        )


@pytest.mark.parametrize("stop", [1, 3, 9, 25, 39])
def test_a_run_that_goes_on_ends_as_one_that_was_left_alone(tmp_path, stop):
    (tmp_path / ".resume").mkdir()
    whole = Walk(breath(), tmp_path).outcomes()
    done = whole[:stop]
    kept = {one.index: one.displacement for one in done if one.keep}
    again = Walk(breath(), tmp_path, finished=[one.index for one in done], kept=kept)
    rest = again.outcomes()
    assert [one.index for one in rest] == [one.index for one in whole[stop:]] and not again.looked
    for one, other in zip(rest, whole[stop:]):
        assert (moved(one.displacement) == moved(other.displacement)).all()


def test_a_changed_frame_is_looked_at_again_and_a_damaged_look_too(tmp_path):
    (tmp_path / ".resume").mkdir()
    paths = [tmp_path / f"f{n}.nrrd" for n in range(2)]
    for path in paths:
        sitk.WriteImage(GRID.image(np.zeros(GRID.shape, np.float32)), str(path))
    from VoxelMorphRegistrationLib.propagation.frames import FileFrames

    store = MotionStore(tmp_path, FileFrames(paths), 0, "a network")
    look = np.ones((*LOOKS.shape, 3), np.float16)
    store.keep_look(1, look)
    assert (store.look(1) == look).all() and store.look(0) is None
    assert MotionStore(tmp_path, FileFrames(paths), 0, "another network").look(1) is None
    kept = next((tmp_path / ".resume").glob("0001*"))
    kept.write_bytes(kept.read_bytes()[:60])
    assert store.look(1) is None
    store.keep_look(1, look)
    sitk.WriteImage(GRID.image(np.ones((9, 9, 9), np.float32)[:3, :4, :5].copy()), str(paths[1]))
    assert store.look(1) is None


def test_the_curve_and_the_model_are_written(tmp_path):
    (tmp_path / ".resume").mkdir()
    places = breath()
    places[17] = (-9, 14)
    walk = Walk(places, tmp_path)
    walk.outcomes()
    with open(tmp_path / "motion.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["index", "mode_1_mm", *list(rows[0])[2:-2], "unexplained_mm", "frame"]
    assert [int(row["index"]) for row in rows] == list(range(40))
    assert {row["frame"] for row in rows} == {"reference", "key", "unlike", ""} and rows[17]["frame"] == "unlike"
    along = np.array([float(row["mode_1_mm"]) for row in rows])
    alike = np.arange(40) != 17
    assert np.abs(along - np.linalg.norm(places, axis=1))[alike].max() < 0.3
    with np.load(tmp_path / "motion-model.npz") as model:
        assert model["mean"].shape == (*LOOKS.shape, 3) and model["modes"].shape[1:] == model["mean"].shape
        assert model["explained"][0] > 0.98 and sorted(model["key_frames"]) == sorted({p[0] for p in walk.pairs} - {17})
        direction = model["modes"][0, 0, 0, 0]
        assert abs(direction @ (3, 1, 0)) / np.linalg.norm(direction) / np.sqrt(10) == pytest.approx(1, abs=1e-3)


def looks_of(coefficients: np.ndarray, voxels: int = 60, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Looks (n, voxels, 3) of smooth modes with these coefficients (n, m) and noise, mm."""
    draw = np.random.default_rng(seed)
    along = np.linspace(0, 1, voxels)
    waves = [np.sin((m + 2) * 3 * along + k) for m in range(coefficients.shape[1]) for k in range(3)]
    modes = np.reshape(waves, (coefficients.shape[1], 3, voxels))
    return np.einsum("nm,mdv->nvd", coefficients, modes) + draw.normal(0, noise, (len(coefficients), voxels, 3))


@pytest.mark.parametrize("seed", range(5))
def test_frames_apart_in_all_or_in_one_place_are_found_and_no_others(seed):
    draw = np.random.default_rng(seed)
    looks = looks_of(draw.normal(0, (8, 3, 1), (120, 3)), seed=seed)
    looks[20] += (4, -3, 0)  # shifted
    looks[60, 30:34] += (0, 1.5, 0)  # bulges in one place
    looks[90] = draw.normal(0, 3, looks[90].shape)  # nothing of the kind
    modes, apart = find_modes(looks.astype(np.float16))
    assert set(np.flatnonzero(apart > UNLIKE)) == {20, 60, 90}
    assert modes.explained.sum() > 0.98 and len(modes.explained) <= 6


def test_equal_frames_are_not_apart():
    _, apart = find_modes(np.zeros((30, 10, 3), np.float16))
    assert (apart <= UNLIKE).all()


def test_key_frames_are_the_farthest_ones_first():
    coefficients = np.array([[0.1], [5.0], [-4.0], [2.0], [1.0], [-2.0]])
    looks = looks_of(coefficients, noise=0)
    assert choose_keys(looks, np.arange(6), 3)[:2] == [1, 2]
    assert choose_keys(looks, np.array([0, 2, 3, 4]), 2) == [2, 3]


def test_key_frames_end_when_a_further_one_explains_nothing_more():
    draw = np.random.default_rng(1)
    for modes, most in ((1, 8), (4, 16)):
        looks = looks_of(draw.normal(0, 5, (200, modes)), noise=0.05)
        keys = choose_keys(looks, np.arange(200))
        assert modes < len(keys) <= most and len(set(keys)) == len(keys)


def test_key_frames_end_when_what_they_leave_is_little_enough():
    looks = looks_of(np.random.default_rng(1).normal(0, 5, (200, 6)), noise=0.05)
    candidates = np.arange(200)
    few, many = (len(choose_keys(looks, candidates, enough=mm)) for mm in (50.0, 0.0))
    assert few == 4 < many <= 24
    assert len(choose_keys(looks[:40], np.arange(40))) <= 5


def test_a_combination_of_key_frames_is_what_made_the_look():
    looks = looks_of(np.array([[5.0, 0.0], [0.0, 5.0], [5.0, 5.0], [2.0, 1.0]]), noise=0)
    weights = combination(looks[:3], looks[3])
    assert np.abs(np.einsum("k,kvd->vd", weights, looks[:3]) - looks[3]).max() < 0.1
    assert np.abs(combination(looks[:3], np.zeros_like(looks[0]))).max() == 0
