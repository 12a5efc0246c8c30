"""The motion model of a patient's earlier scan, and which strategy `auto` stands for."""

from __future__ import annotations

import numpy as np
import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.frames import ImageFrames
from VoxelMorphRegistrationLib.propagation.motion_model_fit import UNLIKE, find_modes
from VoxelMorphRegistrationLib.propagation.motion_model_store import Choice, MotionStore, read_modes
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.space.grid import Grid

GRID = Grid((6, 5, 4), (8.0, 8.0, 10.0), (-20.0, 5.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
VOXELS = int(np.prod(GRID.size))


def ways(count: int) -> np.ndarray:
    """(count, voxels, 3): smooth ways in which the tissue can move, of 1 mm at most."""
    k, j, i = np.meshgrid(*(np.linspace(0, 1, n) for n in GRID.shape), indexing="ij")
    shapes = [k, np.sin(np.pi * i) * k, np.cos(np.pi * j)]
    found = np.zeros((count, VOXELS, 3))
    for number in range(count):
        found[number, :, 2 - number] = shapes[number].ravel()
    return found


def scan(frames: int, seed: int, directions: np.ndarray, start: float = 0.0) -> np.ndarray:
    """Looks of one breathing scan, (frames, voxels, 3), mm, from a reference that was breathed in by `start` mm."""
    draw = np.random.default_rng(seed)
    amounts = np.stack([10 * draw.random(frames) - start, *(draw.normal(0, 2, (len(directions) - 1, frames)))])
    return np.tensordot(amounts.T, directions, 1) + draw.normal(0, 0.02, (frames, VOXELS, 3))


@pytest.fixture
def earlier(tmp_path):
    modes, _ = find_modes(scan(40, 1, ways(2)).astype(np.float16))
    store = MotionStore(tmp_path, ImageFrames([GRID.image(np.zeros(GRID.shape))]), 0)
    store.write_model(modes, Choice((), (), ()), GRID)
    return tmp_path / "motion-model.npz", modes


def test_the_next_scan_is_described_by_the_same_modes_in_the_same_order(earlier):
    path, modes = earlier
    known = read_modes(path).on(GRID)
    assert np.allclose(known @ known.T, np.eye(len(known)), atol=1e-5)
    looks = scan(30, 2, ways(2), start=4.0).astype(np.float16)
    again, apart = find_modes(looks, known)
    assert np.allclose(again.vectors[: len(modes.vectors)], modes.vectors, atol=0.01)
    assert (apart < UNLIKE).all()
    assert again.left(looks)[0].max() < 0.05


def test_what_the_earlier_modes_leave_gets_modes_of_its_own_and_strangers_stand_out(earlier):
    known = read_modes(earlier[0]).on(GRID)
    looks = scan(40, 3, ways(3)).astype(np.float16)
    looks[7] += np.float16(4) * np.random.default_rng(0).choice([-1, 1], (VOXELS, 3)).astype(np.float16)
    modes, apart = find_modes(looks, known)
    assert len(modes.vectors) > len(known)
    assert np.flatnonzero(apart > UNLIKE).tolist() == [7]
    assert modes.explained.sum() > 0.99


def test_modes_are_carried_to_the_grid_of_another_scan(earlier):
    finer = Grid((12, 10, 8), (4.0, 4.0, 5.0), (-22.0, 3.0, -2.5), GRID.direction)
    known = read_modes(earlier[0]).on(finer)
    first = np.linalg.norm(known[0].reshape(*finer.shape, 3), axis=-1)
    # The first way grows along k, that is along z.
    assert first[-2].mean() > 3 * first[2].mean()


def test_a_file_that_holds_no_model_and_a_model_from_elsewhere_are_refused(tmp_path, earlier):
    (tmp_path / "text.npz").write_text("no")
    for name in ("text.npz", "none.npz"):
        with pytest.raises(InputError, match=f"{name}: holds no motion model"):
            read_modes(tmp_path / name)
    np.savez_compressed(tmp_path / "damaged.npz", size=np.arange(90))
    whole = (tmp_path / "damaged.npz").read_bytes()
    (tmp_path / "damaged.npz").write_bytes(whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:])
    with pytest.raises(InputError, match="damaged.npz: holds no motion model"):
        read_modes(tmp_path / "damaged.npz")
    away = Grid(GRID.size, GRID.spacing, (900.0, 0.0, 0.0), GRID.direction)
    with pytest.raises(InputError, match="none of its motion"):
        read_modes(earlier[0]).on(away)


@pytest.mark.parametrize(
    "frames, dimension, strategy",
    [(63, 3, "direct"), (64, 3, "motion-model"), (2000, 3, "motion-model"), (500, 2, "direct")],
)
def test_auto_registers_few_frames_directly_and_models_the_motion_of_many(frames, dimension, strategy):
    assert PropagationSettings("auto").chosen(frames, dimension).strategy == strategy


def test_a_strategy_that_was_named_is_taken_whatever_the_sequence():
    assert PropagationSettings("sequential").chosen(2000, 3).strategy == "sequential"
