"""What the rules of the models' cards make of an image's values, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import SimpleITK as sitk

from Testing.support.network_images import as_seen
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network_space.intensity import IntensityRule
from VoxelMorphRegistrationLib.network_space.space import Space


class TestIntensity:
    """The vocabulary of the cards."""

    values = np.asarray([-1000.0, -160, 40, 240, 3000] + [40.0] * 200).reshape(1, 5, 41).astype(np.float32)

    def _seen(self, rule, values=None):
        image = sitk.GetImageFromArray(self.values if values is None else values)
        return as_seen(image, Space("native"), IntensityRule.from_dict(rule)).ravel()

    def test_minmax_runs_from_zero_to_one(self):
        seen = self._seen({"rule": "minmax"})
        assert seen.min() == 0 and seen.max() == 1
        assert np.allclose(seen[2], 1040 / 4000)

    def test_a_window_clips_to_hounsfield_units(self):
        assert np.allclose(self._seen({"rule": "window", "low": -160, "high": 240})[:5], [0, 0, 0.5, 1, 1])

    def test_percentiles_clip_as_numpy_has_them(self):
        values = np.random.default_rng(0).normal(size=(10, 10, 10)).astype(np.float32)
        low, high = np.percentile(values, (1, 99))
        oracle = np.clip((values - low) / (high - low), 0, 1)
        assert np.allclose(self._seen({"rule": "percentile", "low": 1, "high": 99}, values), oracle.ravel(), atol=1e-6)

    def test_an_image_that_is_nearly_all_background_is_not_lost_to_percentiles(self):
        values = np.zeros((10, 10, 10), np.float32)
        values[5, 5, 5] = 7
        assert self._seen({"rule": "percentile", "low": 1, "high": 99}, values).max() == 1

    def test_soft_tissue_between_air_and_bone_gets_the_contrast_its_frequency_earns(self):
        random = np.random.default_rng(1)
        parts = (random.uniform(-1000, -995, 4000), random.normal(50, 20, 5000), random.uniform(300, 1200, 500))
        values = np.concatenate(parts).astype(np.float32).reshape(10, 950, 1)
        plain = self._seen({"rule": "percentile", "low": 0, "high": 100}, values)
        spread = self._seen({"rule": "percentile", "low": 0, "high": 100, "equalise": 1.0}, values)
        tissue = slice(4000, 9000)
        assert plain[tissue].std() < 0.02
        # Of the foreground's ranks (scipy's) nine tenths of the range remain, above the background's tenth.
        ranks = scipy.stats.rankdata(values.ravel()[4000:]) / 5500
        assert np.abs(spread[4000:] - (0.1 + 0.9 * ranks)).max() < 0.03
        assert np.abs(spread[:4000]).max() < 0.1
        half = self._seen({"rule": "percentile", "low": 0, "high": 100, "equalise": 0.5}, values)
        assert np.allclose(half, (plain + spread) / 2, atol=1e-6)

    def test_equalising_keeps_the_order_of_intensities(self):
        values = np.random.default_rng(2).gamma(1.0, size=(12, 12, 12)).astype(np.float32)
        seen = self._seen({"rule": "percentile", "low": 1, "high": 99, "equalise": 0.5}, values)
        order = np.argsort(values.ravel())
        assert (np.diff(seen[order]) >= -1e-6).all()
        assert seen.min() == 0 and seen.max() == pytest.approx(1)

    def test_division_is_left_out_where_it_has_been_done(self):
        rule = {"rule": "divide", "by": 255, "unless_max_below": 2}
        assert np.allclose(self._seen(rule, np.asarray([[[0.0, 51, 255]]], np.float32)), [0, 0.2, 1])
        assert np.allclose(self._seen(rule, np.asarray([[[0.0, 0.2, 1]]], np.float32)), [0, 0.2, 1])
        assert np.allclose(
            self._seen(
                {"rule": "divide", "by": 2, "unless_max_below": None}, np.asarray([[[0.0, 0.2, 1]]], np.float32)
            ),
            [0, 0.1, 0.5],
        )

    def test_a_constant_image_is_refused(self):
        for rule in ("minmax", "none", "percentile"):
            with pytest.raises(InputError, match="constant"):
                self._seen({"rule": rule}, np.full((3, 4, 5), 8, np.float32))

    def test_a_window_that_holds_nothing_of_the_image_is_refused(self):
        with pytest.raises(InputError, match="window"):
            self._seen({"rule": "window", "low": 5000, "high": 6000})

    @pytest.mark.parametrize(
        "rule",
        [
            {},
            {"rule": "zscore"},
            {"rule": "window"},
            {"rule": "window", "low": 2, "high": 1},
            {"rule": "percentile", "low": 99, "high": 1},
            {"rule": "percentile", "equalise": 1.5},
            {"rule": "divide", "by": 0},
        ],
    )
    def test_rules_that_cannot_be_followed_are_refused(self, rule):
        with pytest.raises(InputError):
            IntensityRule.from_dict(rule)


def test_integer_images_are_seen_as_they_are():
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.float64):
        array = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(dtype)
        assert np.array_equal(as_seen(sitk.GetImageFromArray(array), Space("native")), array)
