"""What is computed on a GPU is what is computed on the CPU; every test skips where there is no such device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.benchmarks.speed.sequence import BreathingBody
from Testing.support.refined_pairs import bump, pulled, texture
from VoxelMorphRegistrationLib.annotations.device_warping import DeviceWarper
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.flow.transfers import fetched, own_stream, sent_array
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.networks.precision import HALF, convolving_in
from VoxelMorphRegistrationLib.networks.replays import Replays
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
from VoxelMorphRegistrationLib.propagation.propagate import propagate
from VoxelMorphRegistrationLib.registration.registrar import Registrar, register
from VoxelMorphRegistrationLib.registration.settings import Settings, resolve_precision
from VoxelMorphRegistrationLib.space.displacement import to_voxel_flow

SHAPE = (24, 32, 32)
TOLERANCE = 0.02  # voxels: convolutions sum in another order, and 8 passes follow each other


@pytest.fixture(params=["cpu", "cuda:0"])
def any_device(request) -> str:
    """For what is quick everywhere."""
    if request.param != "cpu" and not torch.cuda.is_available():
        pytest.skip(f"{request.param}: there is no such device here")
    return request.param


@pytest.fixture(params=["cuda:0"])
def device(request) -> str:
    if not torch.cuda.is_available():
        pytest.skip(f"{request.param}: there is no such device here")
    return request.param


@pytest.fixture(scope="module")
def body() -> BreathingBody:
    return BreathingBody(SHAPE, 24)


def test_a_network_predicts_the_same_field(any_device):
    device = any_device
    torch.manual_seed(0)
    network = build_network({"class": "VxmDense", "ndim": 3, "features": [[8, 16, 16], [16, 16, 16, 8, 8]]})
    fixed, moving = torch.rand(2, 1, 1, *SHAPE)
    with torch.no_grad():
        plain = network(fixed, moving).displacement(SHAPE)
    network.to(device)
    found = network.flow(fixed.to(device), moving.to(device)).displacement(SHAPE)
    assert found.dtype == torch.float32 and found.device == torch.device(device)
    assert (found.cpu() - plain).abs().max() < TOLERANCE * float(plain.abs().max().clamp_min(1))


def test_a_pair_gets_the_same_displacement(device, body):
    here = register(body[5], body[0], "any-anatomy-fast", align="none", device="cpu").displacement
    for precision in ("float32", "half"):
        found = register(body[5], body[0], "any-anatomy-fast", align="none", device=device, precision=precision)
        assert found.report()["precision"] == precision and not found.notes
        apart = sitk.GetArrayFromImage(here) - sitk.GetArrayFromImage(found.displacement)
        assert np.abs(apart).max() < TOLERANCE * min(here.GetSpacing())


@pytest.mark.parametrize(
    ("contrasts", "align", "spacing"),
    [("one", "none", 2.0), ("one", "affine", 2.0), ("two", "none", 1.0)],  # at 2 mm a network sees less than there is
)
def test_a_pair_is_refined_as_well(device, contrasts, align, spacing):
    moving, truth = texture((48, 52, 50)), bump((48, 52, 50), 6.0)
    fixed = pulled(moving, truth)
    pair = [sitk.GetImageFromArray(values) for values in (fixed if contrasts == "one" else 1 - fixed, moving)]
    options = {"align": align, "network_spacing": spacing, "refine": 60}
    alone, here, there = (
        register(*pair, "any-anatomy-fast", device=where, **{**options, **more})
        for where, more in [("cpu", {"refine": 0}), ("cpu", {}), (device, {})]
    )
    errors = [_mean_error(one.displacement, truth) for one in (alone, here, there)]
    assert there.report()["refinement"]["accepted"] == here.report()["refinement"]["accepted"]
    assert errors[1] < errors[0] and errors[2] == pytest.approx(errors[1], abs=0.1)


def _mean_error(displacement: sitk.Image, truth: np.ndarray) -> float:
    """Mean distance to a true voxel flow (3, k, j, i), in voxels."""
    return float(np.linalg.norm(to_voxel_flow(displacement) - truth, axis=0).mean())


def test_a_pass_that_is_replayed_finds_what_it_found_piece_by_piece(device, body):
    network = load_model("any-anatomy-fast", torch.device(device)).network
    pairs = [torch.rand(2, 1, 1, *SHAPE, device=device) for _ in range(6)]
    for convolutions in (torch.float32, HALF):
        with convolving_in(convolutions):
            network.replays = Replays()
            found = [network.flow(*pair).field for pair in pairs]  # the first of them piece by piece
            assert any(one is not None for one in network.replays.recorded())
            for pair, field in zip(pairs, found):
                network.replays = Replays()
                plain = network.flow(*pair).field
                assert (field - plain).abs().max() < TOLERANCE


def test_what_was_replayed_is_not_overwritten_by_the_next(device, body):
    network = load_model("any-anatomy-fast", torch.device(device)).network
    pairs = [torch.rand(2, 1, 1, *SHAPE, device=device) for _ in range(4)]
    for pair in pairs:
        network.flow(*pair)
    first = network.flow(*pairs[0]).field
    kept = first.clone()
    network.flow(*pairs[1])
    assert torch.equal(first, kept)


def test_weights_that_change_are_not_replayed_as_they_were(device, body):
    network = load_model("any-anatomy-fast", torch.device(device)).network
    pair = torch.rand(2, 1, 1, *SHAPE, device=device)
    for _ in range(4):
        before = network.flow(*pair).field
    with torch.no_grad():
        for one in network.parameters():
            one.mul_(0.5)
    changed = network.flow(*pair).field
    network.replays = Replays()
    assert not torch.equal(changed, before) and (network.flow(*pair).field - changed).abs().max() < TOLERANCE
    network.to("cpu").to(device)  # in other places
    assert (network.flow(*pair).field - changed).abs().max() < TOLERANCE


def test_half_precision_is_what_a_gpu_with_units_for_it_takes(device):
    major = torch.cuda.get_device_properties(device).major
    assert (resolve_precision("auto", torch.device(device)) == HALF) == (major >= 7)


def test_a_prediction_does_not_wait_for_the_processor(device, body):
    model = load_model("any-anatomy-fast", torch.device(device))
    fixed, moving = torch.rand(2, 1, 1, *SHAPE, device=device)
    for convolutions in (torch.float32, HALF):
        with convolving_in(convolutions):
            model.network.flow(fixed, moving).displacement(SHAPE)
            torch.cuda.set_sync_debug_mode("error")
            try:
                model.network.flow(fixed, moving).displacement(SHAPE)
            finally:
                torch.cuda.set_sync_debug_mode("default")


def test_stages_are_timed_by_the_device(device, body):
    found = register(body[5], body[0], "any-anatomy-fast", align="none", device=device)
    assert 0 < found.seconds["network"] < found.seconds["total"]


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
def test_labels_are_warped_as_on_the_processor(any_device, body, interpolation):
    labels, field = body.labels(), body.true_displacement(5)
    expected = Segmentation.of(labels).warp(field, interpolation).layers[0]
    warper = DeviceWarper(labels, torch.device(any_device))
    for _ in range(2):
        found = warper.warp(field, interpolation)
        differ = sitk.GetArrayFromImage(found) != sitk.GetArrayFromImage(expected)
        assert differ.mean() < 2e-4 and found.GetPixelID() == labels.GetPixelID()


def test_frames_are_looked_at_together_as_alone(any_device, body):
    registrar = Registrar("any-anatomy-fast", Settings(align="none", device=any_device))
    look = CoarseLook(registrar, body[0])
    frames = [body[index] for index in (1, 3, 5)]
    alone = np.stack([look.at(frame) for frame in frames]).astype(np.float32)
    together = np.stack(look.at_all([look.seen(frame) for frame in frames])).astype(np.float32)
    # On a GPU other convolutions are chosen for a batch, of 11 binary digits each.
    tolerance = (1e-4 if any_device == "cpu" else TOLERANCE) * min(look.grid.spacing) / 8
    np.testing.assert_allclose(together, alone, atol=tolerance, rtol=2**-10)
    assert look.together == 1 if any_device == "cpu" else look.together > 1


def test_a_frame_prepared_by_another_thread_is_registered_as_one_that_was_not(device, body):
    registrar = Registrar("any-anatomy-fast", Settings(align="none", device=device))
    image, reference = body[5], body[0]
    plain = sitk.GetArrayFromImage(registrar.register(image, reference).displacement)
    for _ in range(3):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(registrar.prepare, image).result()
        found = sitk.GetArrayFromImage(registrar.register(image, reference).displacement)
        assert np.abs(found - plain).max() < TOLERANCE * min(image.GetSpacing())


@pytest.mark.parametrize("strategy", ["direct", "sequential", "motion-model"])
def test_a_sequence_gets_the_same_labels(device, body, strategy):
    chosen = range(24) if strategy == "motion-model" else range(6)
    frames = [body[index] for index in chosen]
    volumes = {}
    for where in ("cpu", device):
        options = {"strategy": strategy, "device": where, "keyframes": 4 if strategy == "motion-model" else None}
        # Around labels alone a processor finds something else than everywhere, where a GPU always looks.
        found = propagate(frames, body.labels(), 0, "any-anatomy-fast", detail="everywhere", **options)
        volumes[where] = [{label: values[0] for label, values in one.quality.labels.items()} for one in found]
    for here, there in zip(volumes["cpu"], volumes[device]):
        assert there == pytest.approx(here, rel=0.02)


def test_two_threads_use_the_device_without_waiting_for_each_other(device):
    def added() -> list[float]:
        with own_stream(torch.device(device)):
            return fetched(sent_array(np.arange(5.0), device) + 1).tolist()

    added()  # room made for the first time is waited for
    large, event = torch.rand(6000, 6000, device=device), torch.cuda.Event()
    for _ in range(200):
        large = large @ large
        large = large / large.norm()
    event.record()
    assert added() == [1, 2, 3, 4, 5]
    assert not event.query(), "the other thread's work was waited for"
    torch.cuda.synchronize()


def test_memory_on_the_device_does_not_grow_with_the_frames(device, body):
    model = load_model("any-anatomy-fast", torch.device(device))
    held = []
    for _ in propagate([body[index] for index in range(24)], body.labels(), 0, model, device=device):
        held.append(torch.cuda.memory_allocated())
    # After some frames passes are recorded, which takes memory once.
    assert max(held[16:]) <= max(held[8:16]) * 1.01
