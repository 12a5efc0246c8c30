"""Half precision inside a U-Net changes a displacement by next to nothing, and nothing else is computed in it."""

from __future__ import annotations

import pytest
import SimpleITK as sitk
import torch
from torch.overrides import TorchFunctionMode

from Testing.support.registration_cases import random_model
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.networks.precision import HALF, convolving_in
from VoxelMorphRegistrationLib.registration.registrar import Registrar, register
from VoxelMorphRegistrationLib.registration.settings import Settings, resolve_precision

SHAPE = (16, 16, 24)
TOLERANCE = 0.02  # voxels

NETWORKS = {
    "VxmDense": {"class": "VxmDense", "ndim": 3, "features": [[8, 16], [16, 8, 8]]},
    "Vxm2018": {"class": "Vxm2018", "ndim": 3, "features": [[8, 8], [8, 8, 8, 4]]},
    "VxmPairwise": {"class": "VxmPairwise", "ndim": 3, "features": [[8, 16], [16, 8]]},
    "in a plane": {"class": "VxmDense", "ndim": 2, "features": [[8, 16], [16, 8, 8]]},
}


class Seen(TorchFunctionMode):
    """Notes the kind of numbers that convolutions and samplings take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.convolved: list[torch.dtype] = []
        self.sampled: set[torch.dtype] = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.conv2d, torch.conv3d):
            self.convolved.append(result.dtype)
        if function is torch.nn.functional.grid_sample:
            self.sampled |= {args[0].dtype, args[1].dtype, result.dtype}
        return result


def blobs(shape: tuple[int, ...], shift: float) -> torch.Tensor:
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    squares = sum((axis - n / 2 - shift) ** 2 for axis, n in zip(axes, shape))
    return torch.exp(-squares / 30)[None, None] + 0.05 * torch.sin(sum(axes))[None, None]


def test_the_bundled_network_finds_the_same_displacement():
    network, shape = load_model("any-anatomy-fast").network, (16, 16, 16)
    fixed, moving = blobs(shape, 0.0), blobs(shape, 2.0)
    plain = network.flow(fixed, moving).displacement(shape)
    with convolving_in(HALF):
        found = network.flow(fixed, moving).displacement(shape)
    assert plain.abs().max() > 1
    assert found.dtype == torch.float32
    assert 0 < (found - plain).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_alone_are_in_half_precision_and_the_last_is_not(name):
    torch.manual_seed(0)
    network = build_network(NETWORKS[name])
    shape = SHAPE[: network.dimension]
    with convolving_in(torch.bfloat16), Seen() as seen:
        flow = network.flow(blobs(shape, 0.0), blobs(shape, 2.0))
        displacement = flow.displacement(shape)
    *convolved, last = seen.convolved
    assert set(convolved) == {torch.bfloat16} and last == torch.float32
    assert seen.sampled == {torch.float32} and displacement.dtype == torch.float32


def test_outside_of_the_context_networks_convolve_in_float32():
    network = build_network(NETWORKS["in a plane"])
    with convolving_in(torch.bfloat16):
        pass
    with Seen() as seen:
        network(blobs(SHAPE[:2], 0.0), blobs(SHAPE[:2], 1.0))
    assert set(seen.convolved) == {torch.float32}


def test_a_cpu_computes_in_float32_and_half_precision_is_refused_there():
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == resolve_precision("float32", cpu) == torch.float32
    with pytest.raises(InputError, match="precision 'half': cpu computes in float32; use 'auto', or a GPU"):
        Registrar("any-anatomy-fast", Settings(device="cpu", precision="half"))
    with pytest.raises(InputError, match="precision 'double': unknown; use one of auto, float32, half"):
        Settings(precision="double")


@pytest.mark.parametrize(("major", "expected"), [(6, torch.float32), (7, HALF), (9, HALF)])
def test_a_gpu_computes_in_half_precision_where_it_has_units_for_it(monkeypatch, major, expected):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("Card", (), {"major": major}))
    gpu = torch.device("cuda:0")
    assert resolve_precision("auto", gpu) == expected
    assert resolve_precision("half", gpu) == HALF and resolve_precision("float32", gpu) == torch.float32


def test_values_that_half_precision_cannot_hold_are_computed_again_in_float32_and_that_is_said():
    image, other = (sitk.GetImageFromArray(blobs((16, 16, 16), shift)[0, 0].numpy()) for shift in (0.0, 1.0))
    model = random_model()
    plain = register(image, other, model, align="none", device="cpu")
    registrar = Registrar(model, Settings(align="none", device="cpu"))
    registrar.convolutions = HALF
    layer = next(one for one in model.network.module.model.modules() if isinstance(one, torch.nn.Conv3d))
    layer.register_forward_hook(lambda layer, given, made: made * (torch.inf if made.dtype == HALF else 1))
    found = registrar.register(image, other)
    assert "half precision cannot hold this network's values: computed again in float32" in found.notes
    assert found.report()["precision"] == "float32"
    assert (sitk.GetArrayFromImage(found.displacement) == sitk.GetArrayFromImage(plain.displacement)).all()
