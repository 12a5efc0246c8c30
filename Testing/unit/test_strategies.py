"""In what order frames are visited and what is made of their displacements, with a registration that is exact."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import DependencyMissing, InputError
from VoxelMorphRegistrationLib.propagation.context import FrameContext, FrameReader, Outcome, Registered
from VoxelMorphRegistrationLib.propagation.failure import Failure, SuccessiveFailures
from VoxelMorphRegistrationLib.propagation.frames import ImageFrames
from VoxelMorphRegistrationLib.propagation.references import Reference
from VoxelMorphRegistrationLib.propagation.strategies import STRATEGIES
from VoxelMorphRegistrationLib.space.grid import Grid

GRID = Grid((5, 4, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def at(place: float) -> sitk.Image:
    """A frame whose tissue lies so many mm along x; its voxels hold that number."""
    return GRID.image(np.full(GRID.shape, place, np.float32))


def moves(millimetres: float) -> sitk.Image:
    vectors = np.zeros((*GRID.shape, 3), np.float32)
    vectors[..., 0] = millimetres
    return GRID.image(vectors, vector=True)


def millimetres(displacement: sitk.Image) -> float:
    vectors = sitk.GetArrayFromImage(displacement)
    assert not vectors[..., 1:].any() and np.ptp(vectors[..., 0]) < 1e-4
    return float(vectors[0, 0, 0, 0])


class Walk:
    """One strategy over tissue at `places`, with a log of the frames read and the pairs registered."""

    def __init__(self, places, reference=0, indices=None, step=3, finished=(), kept=None, fails=(), unreadable=()):
        self.places, self.reference, self.step = places, reference, step
        self.indices = list(range(len(places)) if indices is None else indices)
        self.finished, self.kept = frozenset(finished), kept or {}
        self.fails, self.unreadable = dict(fails), dict(unreadable)
        self.pairs: list[tuple[int, int]] = []

    def register(self, fixed: sitk.Image, moving: sitk.Image, near: bool = False) -> Registered:
        here, there = fixed.GetPixel(0, 0, 0), moving.GetPixel(0, 0, 0)
        pair = (self.places.index(here), self.places.index(there))
        if pair in self.fails:
            raise self.fails[pair]
        self.pairs.append(pair)
        return Registered(moves(there - here), [f"{pair[0]} onto {pair[1]}"])

    def outcomes(self, strategy: str) -> list[Outcome]:
        walk = self

        class Frames(ImageFrames):
            def __getitem__(self, index):
                if index in walk.unreadable:
                    raise walk.unreadable[index]
                return super().__getitem__(index)

        frames = Frames([at(place) for place in self.places])
        reference = Reference(self.reference, at(self.places[self.reference]), None)
        with FrameReader(frames) as reader:
            context = FrameContext(
                reference, self.indices, reader, self.register, self.finished, self.kept.get, self.step
            )
            return list(STRATEGIES[strategy](context))


PLACES = [0.0, 1.0, 3.0, 6.0, 10.0, 15.0, 21.0, 28.0]


def found(outcomes) -> dict[int, float]:
    return {one.index: millimetres(one.displacement) for one in outcomes if one.displacement is not None}


def test_direct_visits_in_order_and_registers_each_frame_with_the_reference():
    walk = Walk(PLACES, reference=3)
    outcomes = walk.outcomes("direct")
    assert [one.index for one in outcomes] == list(range(8))
    assert walk.pairs == [(n, 3) for n in range(8) if n != 3]
    assert outcomes[3].displacement is None and outcomes[3].image is not None
    assert outcomes[5].notes == ("5 onto 3",)


@pytest.mark.parametrize("strategy", ["direct", "sequential"])
@pytest.mark.parametrize("reference", [0, 3, 7])
def test_every_frame_is_led_to_the_reference(strategy, reference):
    outcomes = Walk(PLACES, reference).outcomes(strategy)
    assert sorted(one.index for one in outcomes) == list(range(8))
    for index, moved in found(outcomes).items():
        assert moved == pytest.approx(PLACES[reference] - PLACES[index], abs=1e-4)


def test_sequential_goes_outward_and_registers_each_frame_with_the_one_before():
    walk = Walk(PLACES, reference=3)
    assert [one.index for one in walk.outcomes("sequential")] == [3, 4, 5, 6, 7, 2, 1, 0]
    assert walk.pairs == [(4, 3), (5, 4), (6, 5), (7, 6), (2, 3), (1, 2), (0, 1)]


def test_sequential_keeps_the_last_displacement_and_releases_the_one_before():
    outcomes = {one.index: one for one in Walk(PLACES, reference=2).outcomes("sequential")}
    assert all(one.keep for index, one in outcomes.items() if index != 2)
    assert {index: one.release for index, one in outcomes.items()} == {
        2: (), 3: (), 4: (3,), 5: (4,), 6: (5,), 7: (6,), 1: (), 0: (1,)
    }  # fmt: skip


def test_sequential_goes_on_from_the_last_finished_frame_that_was_kept():
    walk = Walk(PLACES, finished=[0, 1, 2, 3], kept={3: moves(-6.0)})
    outcomes = walk.outcomes("sequential")
    assert [one.index for one in outcomes] == [4, 5, 6, 7]
    assert walk.pairs == [(4, 3), (5, 4), (6, 5), (7, 6)]
    assert not any("again" in note for one in outcomes for note in one.notes)


@pytest.mark.parametrize(("kept", "again"), [({}, [1, 2, 3, 4]), ({2: moves(-3.0)}, [3, 4]), ({3: moves(-6.0)}, [4])])
def test_sequential_registers_again_what_was_not_kept_and_says_so(kept, again):
    walk = Walk(PLACES, finished=[0, 1, 2, 3, 4], kept=kept)
    outcomes = walk.outcomes("sequential")
    assert [one.index for one in outcomes] == [5, 6, 7]
    assert walk.pairs == [(index, index - 1) for index in (*again, 5, 6, 7)]
    told = [[note for note in one.notes if "registered again" in note] for one in outcomes]
    assert len(told[0]) == 1 and str(again[0]) in told[0][0] and told[1:] == [[], []]


def test_sequential_passes_over_a_frame_that_fails_and_releases_nothing_for_it():
    walk = Walk(PLACES, fails={(3, 2): ValueError("no")}.items(), unreadable={5: InputError("f5: broken")}.items())
    outcomes = walk.outcomes("sequential")
    assert [one.index for one in outcomes if one.failure] == [3, 5]
    assert walk.pairs == [(1, 0), (2, 1), (4, 2), (6, 4), (7, 6)]
    assert found(outcomes)[7] == pytest.approx(-28.0, abs=1e-4)
    assert [one.release for one in outcomes if one.index in (3, 4, 5)] == [(), (2,), ()]


def test_a_finished_frame_that_cannot_be_read_any_more_does_not_end_the_run():
    walk = Walk(PLACES, finished=[0, 1, 2, 3], kept={3: moves(-6.0)}, unreadable={3: OSError("gone")}.items())
    outcomes = walk.outcomes("sequential")
    assert [one.index for one in outcomes] == [4, 5, 6, 7] and not any(one.failure for one in outcomes)
    assert walk.pairs[:3] == [(1, 0), (2, 1), (4, 2)] and found(outcomes)[4] == pytest.approx(-10.0, abs=1e-4)


def test_keyframes_come_before_the_frames_between_which_are_interpolated_in_the_frame_number():
    walk = Walk(PLACES, step=3)
    outcomes = walk.outcomes("keyframes")
    assert [one.index for one in outcomes] == [0, 3, 1, 2, 6, 4, 5, 7]
    assert [one.index for one in outcomes if one.keep] == [3, 6, 7]
    known = found(outcomes)
    assert known[3] == pytest.approx(-6.0) and known[6] == pytest.approx(-21.0)
    assert known[1] == pytest.approx(-2.0) and known[2] == pytest.approx(-4.0)
    assert known[4] == pytest.approx(-6.0 - 5.0) and known[5] == pytest.approx(-6.0 - 10.0)
    compared = {one.index: millimetres(one.direct_too) for one in outcomes if one.direct_too is not None}
    assert compared == {2: pytest.approx(-3.0), 5: pytest.approx(-15.0)}


def test_keyframes_release_a_key_frame_once_all_that_lies_on_both_sides_is_done():
    outcomes = {one.index: one for one in Walk(PLACES, step=3).outcomes("keyframes")}
    assert {index: one.release for index, one in outcomes.items() if one.release} == {5: (3,), 7: (6,)}


def test_keyframes_backwards_from_the_reference_interpolate_too():
    outcomes = Walk(PLACES, reference=7, step=3).outcomes("keyframes")
    assert [one.index for one in outcomes] == [7, 4, 6, 5, 1, 3, 2, 0]
    assert found(outcomes)[6] == pytest.approx((28.0 - 10.0) / 3)


def test_frames_whose_key_frame_fails_are_interpolated_as_far_as_the_next_one():
    walk = Walk(PLACES, step=3, fails={(3, 0): RuntimeError("no")}.items())
    outcomes = walk.outcomes("keyframes")
    assert [one.index for one in outcomes] == [0, 3, 6, 1, 2, 4, 5, 7]
    assert found(outcomes)[2] == pytest.approx(-21.0 / 3) and found(outcomes)[4] == pytest.approx(-14.0)


def test_frames_after_the_last_key_frame_that_fails_are_registered_themselves():
    walk = Walk(PLACES[:4], step=3, fails={(3, 0): RuntimeError("no")}.items())
    outcomes = walk.outcomes("keyframes")
    assert [one.index for one in outcomes] == [0, 3, 1, 2]
    assert found(outcomes) == {1: pytest.approx(-1.0), 2: pytest.approx(-3.0)}


def test_keyframes_go_on_with_what_was_kept_and_register_again_what_was_not():
    kept = {3: moves(-6.0), 6: moves(-21.0)}
    walk = Walk(PLACES, step=3, finished=[0, 1, 2, 3, 4, 6], kept=kept)
    outcomes = walk.outcomes("keyframes")
    assert [one.index for one in outcomes] == [5, 7] and walk.pairs == [(5, 0), (7, 0)]
    assert found(outcomes)[5] == pytest.approx(-16.0)
    walk = Walk(PLACES, step=3, finished=[0, 1, 2, 3, 4, 6])
    outcomes = walk.outcomes("keyframes")
    assert walk.pairs == [(6, 0), (3, 0), (5, 0), (7, 0)] and found(outcomes)[5] == pytest.approx(-16.0)


def test_between_key_frames_that_cannot_be_had_any_more_frames_are_registered_themselves():
    walk = Walk(PLACES, step=3, finished=[0, 1, 2, 3, 6], unreadable={3: OSError("gone")}.items())
    outcomes = walk.outcomes("keyframes")
    assert found(outcomes) == {4: pytest.approx(-10.0), 5: pytest.approx(-15.0), 7: pytest.approx(-28.0)}


@pytest.mark.parametrize("strategy", ["direct", "sequential", "keyframes"])
def test_only_the_frames_asked_for_are_visited(strategy):
    outcomes = Walk(PLACES, reference=2, indices=[1, 4, 6]).outcomes(strategy)
    assert sorted(one.index for one in outcomes) == [1, 4, 6]


def test_an_outcome_left_for_later_is_read_at_once_found_when_asked_for_and_releases_what_it_is_told():
    read, found = [], []

    class Frames(ImageFrames):
        def __getitem__(self, index):
            read.append(index)
            if index == 2:
                raise InputError("frame 2: damaged")
            return super().__getitem__(index)

    frames = Frames([at(place) for place in PLACES])
    with FrameReader(frames) as reader:
        context = FrameContext(Reference(0, at(0.0), None), [1, 2], reader, Walk(PLACES).register)
        good, bad = (context.later(index, None, lambda image: found.append(1) or Outcome(1, image)) for index in (1, 2))
        assert read == [1, 2] and not found
        outcome = good.releasing((4, 5)).find()
        assert found == [1] and outcome.release == (4, 5) and outcome.failure is None
        failed = bad.releasing((4,)).find()
    assert failed.failure is not None and "damaged" in failed.failure.message and failed.release == (4,)


@pytest.mark.parametrize("error", [KeyError("where"), InputError("bad"), OSError("gone"), ZeroDivisionError("x")])
def test_any_error_of_a_frame_fails_that_frame_alone_with_its_name_and_traceback(error):
    outcomes = Walk(PLACES, fails={(2, 0): error}.items()).outcomes("direct")
    (failed,) = [one for one in outcomes if one.failure]
    assert failed.index == 2 and failed.failure.kind is type(error)
    assert "frame 2" in failed.failure.message and "\n" not in failed.failure.message
    assert "in register" in failed.failure.traceback and type(error).__name__ in failed.failure.traceback


@pytest.mark.parametrize(
    "error", [DependencyMissing("install it"), ModuleNotFoundError("no module"), KeyboardInterrupt()]
)
def test_what_is_of_no_single_frame_ends_the_run(error):
    with pytest.raises(type(error)):
        Walk(PLACES, fails={(2, 0): error}.items()).outcomes("direct")


def test_three_successive_frames_that_fail_alike_stop_a_run_and_others_do_not():
    def failures(*errors):
        noted = SuccessiveFailures()
        for index, error in enumerate(errors):
            noted.note(index, error and Failure.of(error, f"frame {index}"))

    alike = [KeyError("a"), KeyError("b"), KeyError("c")]
    with pytest.raises(InputError, match="frames 0, 1, 2.*frame 2: 'c' .KeyError.*finished frames stay"):
        failures(*alike)
    failures(alike[0], alike[1], None, alike[2])
    failures(alike[0], alike[1], ValueError(), alike[2])
    failures(alike[0], alike[1], InputError("file"), alike[2])
    failures(*[InputError("bad")] * 9, *[FileNotFoundError("gone")] * 9)
