"""Strategy motion-model: few frames registered, the others combined from theirs, with exact looks and registrations."""

from __future__ import annotations

import time

import numpy as np
import SimpleITK as sitk

from Testing.support.motion_walk import Walk, assert_led_to_reference, breath, moved, moves
from VoxelMorphRegistrationLib.propagation.context import Registered


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
