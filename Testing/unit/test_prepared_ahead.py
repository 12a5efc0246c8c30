"""A frame is made ready for the network by the thread that reads it, and that changes nothing in what comes out."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import centroid_model, frame, labels
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network_space.inputs import NormalisedImage
from VoxelMorphRegistrationLib.propagation.context import FrameReader
from VoxelMorphRegistrationLib.propagation.frames import ImageFrames
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.ahead import Ahead
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings


def test_what_was_made_ahead_is_taken_once_and_only_for_the_very_same_objects():
    made = []
    ahead = Ahead(lambda *given: made.append(given) or len(made))
    one, other = [1], [1]
    ahead.prepare(one, None)
    assert ahead.of(other, None) == 2 and ahead.of(one, None) == 1 and ahead.of(one, None) == 3
    images = [frame(index) for index in range(4)]  # which `==` would compare voxel by voxel
    for image in images:
        ahead.prepare(image, None)
    before = len(made)
    assert ahead.of(images[3], None) == before and ahead.of(images[2], None) == before - 1
    assert ahead.of(images[1], None) == before + 1


def test_a_prepared_image_is_registered_as_one_that_was_not_and_prepared_no_more(monkeypatch):
    registrar = Registrar(centroid_model(), Settings(align="none", device="cpu"))
    image, reference = frame(3), frame(0)
    plain = registrar.register(image, reference)
    registrar.prepare(image)
    normalised = []
    of = NormalisedImage.of
    monkeypatch.setattr(NormalisedImage, "of", lambda *given: normalised.append(given[0]) or of(*given))
    found = registrar.register(image, reference)
    assert not any(one is image for one in normalised)
    assert (sitk.GetArrayFromImage(found.displacement) == sitk.GetArrayFromImage(plain.displacement)).all()
    assert found.notes == plain.notes


def test_the_reading_thread_prepares_what_it_reads_ahead_and_an_error_of_that_is_not_one_of_reading():
    threads = []

    def prepare(image):
        threads.append(threading.current_thread().name)
        raise InputError("nothing can be done with it")

    with FrameReader(ImageFrames([frame(0), frame(1)])) as reader:
        reader.read(0, 1, prepare)
        assert reader.read(1).GetSize() == frame(1).GetSize()
    assert len(threads) == 1 and threads[0].startswith("voxelmorph-read")


@pytest.mark.parametrize("strategy", ["direct", "sequential"])
def test_every_frame_but_the_first_registered_is_prepared_ahead_and_its_labels_are_the_same(monkeypatch, strategy):
    frames = [frame(index) for index in range(5)]
    settings = PropagationSettings(strategy, registration=Settings(align="none", device="cpu"))
    propagation = Propagation(frames, labels(0), 0, centroid_model(), settings)
    plain = {one.index: one for one in propagation.run()}
    prepared, prepare = [], propagation.registrar.prepare
    monkeypatch.setattr(
        propagation.registrar, "prepare", lambda image, mask=None: prepared.append(image) or prepare(image, mask)
    )
    monkeypatch.setattr(Propagation, "_on_gpu", True)
    found = {one.index: one for one in propagation.run()}
    assert len(prepared) == 3
    for index, one in found.items():
        arrays = (sitk.GetArrayFromImage(each.segmentation.layers[0]) for each in (one, plain[index]))
        np.testing.assert_array_equal(*arrays)


def test_a_look_is_the_same_at_a_frame_that_was_prepared():
    registrar = Registrar(centroid_model(), Settings(align="none", device="cpu"))
    look, image = CoarseLook(registrar, frame(0)), frame(4)
    plain = look.at(image)
    look._ahead.prepare(image)
    assert (look.at(image) == plain).all() and look.prepare is None
