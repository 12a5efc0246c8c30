"""A file that claims more numbers than it holds is refused before room is made for them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.exchange.array_files import array_shape, read_array
from VoxelMorphRegistrationLib.space.grid import Grid

FIXED = Grid((6, 5, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
MANY = (3, 4000, 4000, 4000)  # 768 GB of float32


def refused(path: Path, convention: str | None = "voxelmorph") -> str:
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        exchange.read(path, convention, FIXED)
    assert time.perf_counter() - started < 5
    message = str(caught.value)
    assert str(path) in message and ";" in message and "\n" not in message
    return message


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_npy_files(tmp_path):
    for name, raw in {
        "claims": header(MANY) + b"\0" * 64,
        "short": header((3, 4, 5, 6)) + b"\0" * 64,
        "negative": header((3, 4, 5, 6)).replace(b"(3, 4,", b"(3,-4,"),
        "empty": b"",
        "half": header(MANY)[:40],
    }.items():
        (tmp_path / f"{name}.npy").write_bytes(raw)
        refused(tmp_path / f"{name}.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused(tmp_path / "objects.npy")
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    refused(tmp_path / "words.npy")


def test_npz_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("flow.npy", header(MANY) + b"\0" * 64)
    refused(tmp_path / "claims.npz")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("flow.npy", header((3, 4, 5, 6)) + b"\0" * 64)
    assert "cut short" in refused(tmp_path / "short.npz")
    (tmp_path / "none.npz").write_bytes(b"PK\3\4 nothing")
    refused(tmp_path / "none.npz")


def test_a_bomb_is_refused_and_the_named_variable_raises_the_limit(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", flow=np.zeros((3, 40, 50, 60), np.float32))
    assert array_shape(tmp_path / "bomb.npz") == (3, 40, 50, 60)
    monkeypatch.setenv("VOXELMORPH_LARGEST_GB", "0.0001")
    assert "VOXELMORPH_LARGEST_GB" in refused(tmp_path / "bomb.npz")
    monkeypatch.setenv("VOXELMORPH_LARGEST_GB", "1")
    assert read_array(tmp_path / "bomb.npz").shape == (3, 40, 50, 60)


def test_only_the_array_that_is_wanted_is_read(tmp_path):
    flow = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    np.savez(tmp_path / "several.npz", flow=flow, step=3, image=np.zeros((4, 5, 6)))
    with zipfile.ZipFile(tmp_path / "several.npz", "a") as archive:
        archive.writestr("notes.txt", "not an array")
    np.testing.assert_array_equal(read_array(tmp_path / "several.npz"), flow)


def test_torch_files(tmp_path):
    torch.save(torch.zeros(1).expand(MANY), tmp_path / "one.pt")
    refused(tmp_path / "one.pt")
    torch.save(torch.zeros(3, 4, 5, 6), tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bomb.pt", "w", 8) as bomb:
        for entry in good.infolist():
            bomb.writestr(entry.filename, good.read(entry))
        bomb.writestr("archive/data/9", b"\0" * 10**7)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:900])
    refused(tmp_path / "cut.pt")
    torch.save(torch.ones(3, 4, 5, 6), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert exchange.read(tmp_path / "old.pt", "voxelmorph", FIXED).GetPixel(0, 0, 0) == (1.0, 1.0, 1.0)
    old = (tmp_path / "old.pt").read_bytes()
    number = pickle.dumps(360, 2)[2:-1]
    assert old.count(number) == 1
    (tmp_path / "claims.pt").write_bytes(old.replace(number, pickle.dumps(10**11, 2)[2:-1]))
    assert "claims" in refused(tmp_path / "claims.pt")
    torch.save(exchange, tmp_path / "code.pt") if False else (tmp_path / "code.pt").write_bytes(pickle.dumps(print))
    refused(tmp_path / "code.pt")


@pytest.mark.parametrize("packed", [True, False])
def test_freesurfer_volumes(tmp_path, packed):
    def stored(size, kind=3, voxels=b"\0" * 100):
        raw = struct.pack(">6i", 1, *size, kind) + b"\0" * 260 + voxels
        path = tmp_path / f"warp.{'mgz' if packed else 'mgh'}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
        return path

    for size in ((4000, 4000, 4000, 3), (-1, 5, 4, 3), (0, 0, 0, 0), (6, 5, 4, 3)):
        refused(stored(size), None)
    refused(stored((6, 5, 4, 3), kind=77), None)
    damaged = stored((6, 5, 4, 3), voxels=bytes(range(256)) * 8)
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    damaged.write_bytes(raw[: len(raw) // 2 + 100])
    refused(damaged, None)
