"""What a network asks of a device, without one: torch's `meta` device computes nothing and says what is asked of it."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from VoxelMorphRegistrationLib.networks import build_network, replays

SHAPE = (32, 32, 32)
NETWORKS = {
    "pyramid": {
        "class": "VxmPairwise",
        "ndim": 3,
        "features": [[8, 16], [16, 8]],
        "pyramid": [4, 2, 1],
        "cue_windows": [7],
        "symmetric": True,
    },
    "VxmDense": {"class": "VxmDense", "ndim": 3, "features": [[8, 16], [16, 8, 8]], "integration_factor": 2},
}


class Crossings(TorchDispatchMode):
    """Counts what goes between the processor's memory and the device; numbers asked back are errors of `meta`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [one for one in (*args, result) if isinstance(one, torch.Tensor) and one.dim() > 0]
        self.count += len({one.device.type for one in tensors}) > 1
        return result


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_never_waits_for_the_processor(monkeypatch, name):
    monkeypatch.setattr(torch, "autocast", lambda *kind, **options: nullcontext())  # `meta` has none
    network = build_network(NETWORKS[name]).to("meta")
    fixed, moving = torch.empty(2, 1, 1, *SHAPE, device="meta")
    crossed = []
    for _ in range(2):
        with Crossings() as crossings:
            displacement = network.flow(fixed, moving).displacement(SHAPE)
        crossed.append(crossings.count)
    assert displacement.device.type == "meta" and tuple(displacement.shape) == (1, 3, *SHAPE)
    assert crossed[0] > 0, "constants are brought there once"
    assert crossed[1] == 0


def test_a_network_is_copied_and_kept_without_what_a_device_recorded():
    network = build_network(NETWORKS["pyramid"])
    network.replays._recorded["a shape"] = object()
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network.replays))):
        assert not getattr(other, "replays", other).recorded()


def test_without_a_gpu_what_is_to_be_replayed_is_called(monkeypatch):
    monkeypatch.setattr(replays, "_recorded", lambda *given: pytest.fail("recorded"))
    with torch.no_grad():
        for _ in range(5):
            found, none = replays.Replays().call(lambda one, other: (one + 1, other), (torch.zeros(2), None), "once")
            assert found.tolist() == [1, 1] and none is None
