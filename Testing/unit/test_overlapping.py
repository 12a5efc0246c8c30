"""Frames that are found ahead of those that are measured come in the same order, with the same labels, and end."""

from __future__ import annotations

import _thread
import signal
import threading
import time

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import centroid_model, frame, labels
from VoxelMorphRegistrationLib.errors import DependencyMissing, InputError
from VoxelMorphRegistrationLib.propagation import propagate
from VoxelMorphRegistrationLib.propagation.context import Outcome
from VoxelMorphRegistrationLib.propagation.overlapping import MAKERS, made_ahead, one_by_one
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.settings import Settings


def numbers(count, begun, ended):
    try:
        for number in range(count):
            begun.append((number, threading.current_thread().name))
            yield number
    finally:
        ended.append(True)


def number_of(found):
    return found[0]


def test_frames_are_found_by_one_thread_and_made_by_others_ahead_of_the_caller_and_in_order():
    begun, ended, made = [], [], []

    def make(found):
        number, started = found
        assert started <= time.perf_counter()
        time.sleep(0.02 * (5 - number))  # later ones are made sooner
        made.append((number, threading.current_thread().name))
        return number

    order = list(made_ahead(numbers(5, begun, ended), make))
    assert order == [0, 1, 2, 3, 4] and ended == [True]
    assert [number for number, _ in made] != order and sorted(number for number, _ in made) == order
    assert all(name.startswith("voxelmorph-find") for _, name in begun)
    assert len({name for _, name in made}) == MAKERS and all(name.startswith("voxelmorph-make") for _, name in made)
    assert [number for number, _ in one_by_one(numbers(3, [], []))] == [0, 1, 2]


def test_no_more_is_found_ahead_than_is_held_in_memory():
    begun = []
    results = made_ahead(numbers(100, begun, []), number_of)
    for taken in range(1, 20):
        next(results)
        time.sleep(0.005)
        assert len(begun) <= taken + MAKERS + 1
    results.close()


def test_closing_ends_the_threads_and_what_they_go_through():
    begun, ended = [], []
    ahead = made_ahead(numbers(100, begun, ended), number_of)
    next(ahead)
    ahead.close()
    assert ended == [True] and len(begun) <= MAKERS + 2
    assert not any(one.name.startswith("voxelmorph-") for one in threading.enumerate())


def test_closing_ends_a_long_search_between_two_frames_and_not_after_all_of_them(monkeypatch):
    """As the looks of motion-model at all frames, which are one step of its strategy."""
    reached = []

    def searching(context):
        yield Outcome(0, context.reference.image)
        for index in range(1, 500):
            context.attempt(index, None, lambda image, index=index: reached.append(index) or time.sleep(0.005))
        yield Outcome(1)

    monkeypatch.setattr(Propagation, "_on_gpu", True)
    monkeypatch.setitem(propagate.STRATEGIES, "direct", searching)
    running = propagation("direct", [frame(0)] * 500).run()
    next(running)
    running.close()
    assert len(reached) < 250
    assert not any(one.name.startswith("voxelmorph-") for one in threading.enumerate())


@pytest.fixture
def interruptible():
    """Python's own handling of SIGINT: a test that a script starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_cancellation_that_wakes_nobody_is_heard_while_a_frame_is_found():
    released = threading.Event()

    def waiting():
        released.wait(10)
        yield 1

    threading.Timer(0.05, _thread.interrupt_main).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(made_ahead(waiting(), number_of, released.set))
    assert time.monotonic() - began < 5


def test_an_error_comes_after_all_that_was_found_before_it():
    def failing():
        yield 1
        yield 2
        raise DependencyMissing("a package is missing")

    found = []
    with pytest.raises(DependencyMissing):
        for number in made_ahead(failing(), number_of):
            found.append(number)
    assert found == [1, 2]


def propagation(strategy: str, frames) -> Propagation:
    settings = PropagationSettings(strategy, registration=Settings(align="none", device="cpu"))
    return Propagation(frames, labels(0), 0, centroid_model(), settings)


@pytest.mark.parametrize("strategy", ["direct", "sequential", "keyframes"])
def test_a_sequence_found_ahead_gets_the_same_labels_in_the_same_order(monkeypatch, strategy):
    frames = [frame(index) for index in range(5)]
    plain = list(propagation(strategy, frames).run())
    monkeypatch.setattr(Propagation, "_on_gpu", True)
    found = list(propagation(strategy, frames).run())
    assert [one.index for one in found] == [one.index for one in plain]
    for one, other in zip(found, plain):
        assert (one.status, one.keep, one.release) == (other.status, other.keep, other.release)
        arrays = (sitk.GetArrayFromImage(each.segmentation.layers[0]) for each in (one, other))
        np.testing.assert_array_equal(*arrays)


def test_three_frames_that_fail_alike_end_a_run_that_is_ahead_too(monkeypatch):
    monkeypatch.setattr(Propagation, "_on_gpu", True)
    run = propagation("direct", [frame(0)] * 8)
    monkeypatch.setattr(run.registrar, "register", lambda *given: 1 / 0)
    results = []
    with pytest.raises(InputError, match="ZeroDivisionError"):
        for result in run.run():
            results.append(result)
    assert [one.status for one in results] == ["reference", "failed", "failed", "failed"]
    assert not any(one.name.startswith("voxelmorph-") for one in threading.enumerate())
