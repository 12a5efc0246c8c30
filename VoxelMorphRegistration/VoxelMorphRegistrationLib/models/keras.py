"""Keras `.h5` files of VoxelMorph: VxmDense (a JSON configuration) and the 2018 networks (their whole graph)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ..errors import DependencyMissing, InputError
from ..files.guarded import check_hdf5
from ..networks import build_network
from .file_contents import Weights, dense_architecture


def read_keras(path: Path, architecture: dict | None = None) -> Weights:
    """The weights in a Keras file; its padding is 'border', for TensorFlow's VoxelMorph clamps to the edge.

    Raises:
        InputError: not HDF5, truncated, without its configuration (and no `architecture` given), or another class.
        DependencyMissing: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise DependencyMissing("h5py is needed to read .h5 weights; install it with: pip install h5py") from error
    if path.suffix.lower() == ".keras":
        raise InputError(f"{path}: Keras 3 archives are not VoxelMorph's format; save the network as .h5")
    check_hdf5(path)
    try:
        with h5py.File(path, "r") as file:
            shape = None
            if architecture is None:
                architecture, shape = _architecture(path, file)
            convolutions = _convolutions(path, file)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:  # h5py has one for each kind of damage
        raise InputError(f"{path}: not an HDF5 file, or a truncated or damaged one; copy it again") from error
    return Weights(architecture, _state(path, architecture, convolutions), shape)


def _architecture(path: Path, file) -> tuple[dict, tuple[int, ...]]:
    text = file.attrs.get("model_config")
    if text is None:
        if "layer_names" in file.attrs:
            raise InputError(
                f"{path}: the file holds weights without the network's configuration (written by save_weights()); "
                "write it again with model.save(), or put a card with the architecture beside it"
            )
        raise InputError(f"{path}: this HDF5 file is not a Keras network (it has no model_config)")
    try:
        model = json.loads(text)
        name, config = model["class_name"], model["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the network's configuration cannot be read; it is not a VoxelMorph file") from error
    if name == "VxmDense":
        return dense_architecture(path, config, padding="border"), tuple(int(n) for n in config["inshape"])
    if name in ("Model", "Functional"):
        return _strided_architecture(path, config)
    raise InputError(
        f"{path}: networks of class {name} are not supported; VxmDense files and the 2018 networks of VoxelMorph are"
    )


def _strided_architecture(path: Path, config: dict) -> tuple[dict, tuple[int, ...]]:
    """The 2018 layout read off the Keras graph: strided convolutions down, plain ones up, then `flow`."""
    try:
        layers = [(layer["class_name"], layer["name"], layer["config"]) for layer in config["layers"]]
        shapes = [layer.get("batch_input_shape") for kind, _, layer in layers if kind == "InputLayer"]
        convolutions = [(name, layer) for kind, name, layer in layers if kind in ("Conv2D", "Conv3D")]
        encoder = [layer["filters"] for _, layer in convolutions if layer["strides"][0] == 2]
        decoder = [
            layer["filters"]
            for name, layer in convolutions
            if layer["strides"][0] == 1 and name not in ("flow", "log_sigma")
        ]
        upsamplings = sum(kind.startswith("UpSampling") for kind, _, _ in layers)
        shape = tuple(int(n) for n in shapes[0][1:-1])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(f"{path}: this Keras network is not one of VoxelMorph's") from error
    names = [name for name, _ in convolutions]
    known_decoder = upsamplings in (len(encoder) - 1, len(encoder))
    if "flow" not in names or len(encoder) < 2 or not known_decoder or len(shapes) != 2:
        raise InputError(
            f"{path}: this Keras network is not one of VoxelMorph's 2018 ones "
            "(two images in, a strided encoder, a layer 'flow')"
        )
    integrates = any(kind == "VecInt" for kind, _, _ in layers)
    half = upsamplings == len(encoder) - 1
    if half and not integrates:
        raise InputError(f"{path}: a half-resolution 2018 network without an integration layer is not known")
    return {
        "class": "Vxm2018",
        "ndim": len(shape),
        "features": [encoder, decoder],
        # The graph does not carry the layer's own option; 7 is what VoxelMorph built it with.
        "integration_steps": 7 if integrates else 0,
        "half_resolution": half,
        "padding": "border",
    }, shape


def _convolutions(path: Path, file) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each convolution in the order of the layers, that of the network's forward pass."""
    group = file["model_weights"] if "model_weights" in file else file
    found = []
    for layer in _names(group.attrs.get("layer_names", ())):
        if layer.endswith("log_sigma"):  # the uncertainty of a probabilistic network; registration takes the mean
            continue
        arrays = [np.asarray(group[layer][name]) for name in _names(group[layer].attrs.get("weight_names", ()))]
        if len(arrays) == 2 and arrays[0].ndim in (4, 5):
            found.append((arrays[0], arrays[1]))
        elif arrays:
            raise InputError(f"{path}: layer {layer} is no convolution; this is not a VoxelMorph registration network")
    if not found:
        raise InputError(f"{path}: it holds no convolutions; this is not a VoxelMorph network")
    return found


def _names(values) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _state(
    path: Path, architecture: dict, convolutions: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, torch.Tensor]:
    expected = build_network(architecture).module.state_dict()
    weights = [key for key in expected if key.endswith(".weight")]
    if len(weights) != len(convolutions):
        raise InputError(
            f"{path}: the file has {len(convolutions)} convolutions and the network its configuration describes "
            f"{len(weights)}; the file is damaged or of another kind of network"
        )
    state = {}
    for key, (kernel, bias) in zip(weights, convolutions):
        # Keras: (*spatial, in, out); torch: (out, in, *spatial). Neither flips the kernel.
        weight = np.moveaxis(kernel, (-1, -2), (0, 1))
        state[key] = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
        state[key.removesuffix("weight") + "bias"] = torch.from_numpy(np.ascontiguousarray(bias, dtype=np.float32))
    return state
