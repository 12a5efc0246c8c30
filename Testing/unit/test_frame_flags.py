"""Which frames of a table a person is sent to."""

from __future__ import annotations

import math

from VoxelMorphRegistrationLib.propagation.flags import judge


def row(index: int, **changes) -> dict[str, str]:
    """A frame of a smooth breathing motion: the centroid moves by a sine, the volume hardly changes."""
    phase = math.sin(index / 20 * 2 * math.pi)
    values = {
        "index": index, "status": "reference" if index == 0 else "done", "folded_percent": 0, "inside_before": 0.7,
        "inside_after": 0.95 + 0.005 * phase, "inverse_consistency_mm": 0.1, "volume_ml_1": 100 + phase,
        "centroid_r_1": 10, "centroid_a_1": 20, "centroid_s_1": 30 + 10 * phase,
    }  # fmt: skip
    return {name: str(value) for name, value in {**values, **changes}.items()}


def table(**changes) -> list[dict[str, str]]:
    return [row(index, **(changes if index == 7 else {})) for index in range(20)]


def flagged(rows) -> dict[int, str]:
    return {index: judgement.reasons for index, judgement in enumerate(judge(rows, [1])) if judgement.reasons}


def test_smooth_motion_flags_no_frame():
    assert flagged(table()) == {}


def test_a_volume_that_jumps_is_flagged_with_its_label_and_size():
    found = flagged(table(volume_ml_1=130))
    assert "volume of label 1 jumps by 29 %" in found[7]


def test_a_label_that_leaps_aside_is_flagged():
    assert "label 1 jumps by 12.0 mm" in flagged(table(centroid_r_1=22))[7]


def test_a_label_that_is_gone_is_flagged():
    assert "label 1 is gone" in flagged(table(volume_ml_1="", centroid_r_1="", centroid_a_1="", centroid_s_1=""))[7]


def test_folding_inconsistency_and_lost_similarity_are_flagged():
    assert "1.5 % of the voxels fold, more than 0.5 %" in flagged(table(folded_percent=1.5))[7]
    assert "come back 4.0 mm" in flagged(table(inverse_consistency_mm=4))[7]
    assert "fell from 0.97 to 0.95" in flagged(table(inside_before=0.97))[7]
    assert "lower than in other frames" in flagged(table(inside_after=0.72))[7]


def test_a_frame_whose_similarity_is_not_above_the_untouched_one_is_flagged():
    assert "is 0.6 and was 0.8 untouched" in flagged(table(similarity_before=0.8, similarity_after=0.6))[7]
    assert "nothing was gained" in flagged(table(similarity_before=0.7, similarity_after=0.7))[7]
    assert flagged(table(similarity_before=0.7, similarity_after=0.9)) == {}
    assert flagged(table(similarity_before="", similarity_after="")) == {}


def test_a_frame_that_lay_on_its_reference_has_nothing_to_gain():
    assert flagged(table(similarity_before=0.995, similarity_after=0.993)) == {}
    assert "nothing was gained" in flagged(table(similarity_before=0.995, similarity_after=0.9))[7]


def test_what_counts_as_lying_on_the_reference_is_told_by_the_kind_of_similarity():
    """Mutual information is above one even where nothing matches."""
    told = {"similarity_metric": "nmi", "similarity_before": 1.2}
    assert "nothing was gained" in flagged(table(**told, similarity_after=1.2))[7]
    assert "nothing was gained" in flagged(table(**told, similarity_after=1.195))[7]
    assert flagged(table(**told, similarity_after=1.21)) == {}
    assert flagged(table(**{**told, "similarity_before": 1.9}, similarity_after=1.8)) == {}


def test_a_failed_frame_is_flagged_and_its_neighbours_are_not():
    empty = {name: "" for name in row(7) if name not in ("index", "status")}
    assert flagged(table(**{**empty, "status": "failed"})) == {7: "failed"}


def test_a_table_of_one_frame_or_none_is_judged_without_complaint():
    assert judge([], [1]) == []
    assert judge([row(0)], [1])[0].reasons == ""
