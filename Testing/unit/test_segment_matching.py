"""Segments of several references are the same by id, then by name, never by the number of their label."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagate_command import command, table
from Testing.support.propagation_cases import weights_file
from VoxelMorphRegistrationLib.annotations.segment import Segment, generated_segment
from VoxelMorphRegistrationLib.annotations.segment_matching import match_segments
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases" / "two_references"


def drawn(*segments: Segment, dtype=np.uint8) -> Segmentation:
    """A row of voxels, ten of each segment, in their order."""
    values = np.repeat(np.array([0, *(segment.label for segment in segments)], dtype), 10)
    return Segmentation.of(sitk.GetImageFromArray(values[None, None]), segments=segments)


def named(*names: str, ids=None, labels=None) -> Segmentation:
    ids, labels = ids or names, labels or range(1, len(names) + 1)
    return drawn(*(Segment(i, name, label) for i, name, label in zip(ids, names, labels)))


def matched(*segmentations: Segmentation):
    return match_segments(segmentations, [f"frame {number}" for number in range(len(segmentations))])


def row(segmentation: Segmentation) -> list[int]:
    return sitk.GetArrayFromImage(segmentation.label_image())[0, 0, ::10].tolist()


def test_equal_ids_are_equal_segments_whatever_their_numbers():
    first = named("Myocardium", "Tumour")
    second = named("Tumour", "Myocardium")
    found = matched(first, second)
    assert row(found.segmentations[0]) == [0, 1, 2] and row(found.segmentations[1]) == [0, 2, 1]
    assert [(one.name, one.label) for one in found.segments] == [("Myocardium", 1), ("Tumour", 2)]
    assert found.notes == ((), ())


def test_names_decide_where_ids_differ_whatever_their_case():
    found = matched(named("Liver", "Left  kidney", ids=["x", "y"]), named("left kidney", "LIVER", ids=["p", "q"]))
    assert row(found.segmentations[1]) == [0, 2, 1]
    assert [one.id for one in found.segmentations[1].segments] == ["y", "x"]


def test_blanks_and_underscores_are_alike_in_names():
    """A colour table writes lung_left, TotalSegmentator's header lung_left as well, people lung left."""
    found = matched(named("lung_left", "heart", ids=["x", "y"]), named("heart", "lung left", ids=["p", "q"]))
    assert row(found.segmentations[1]) == [0, 2, 1] and found.notes == ((), ())


def test_ids_that_slicer_numbered_give_way_to_names_that_contradict_them():
    ids = ["Segment_1", "Segment_2"]
    found = matched(named("Myocardium", "Tumour", ids=ids), named("Tumour", "Myocardium", ids=ids))
    assert row(found.segmentations[1]) == [0, 2, 1] and found.notes[1] == ()


def test_a_renamed_segment_is_known_by_its_id_and_that_is_said():
    found = matched(named("Myocardium", ids=["1.2.3"]), named("Myo ES", ids=["1.2.3"]))
    assert row(found.segmentations[1]) == [0, 1] and found.segmentations[1].segments[0].name == "Myocardium"
    assert found.notes[1] == ("segment 'Myo ES' is taken for 'Myocardium' of frame 0, whose id it has",)


def test_a_segment_of_one_reference_alone_gets_a_number_of_its_own_and_that_is_said():
    found = matched(named("liver", "spleen"), named("vein", "liver"))
    assert row(found.segmentations[1]) == [0, 3, 1]
    assert [(one.name, one.label) for one in found.segments] == [("liver", 1), ("spleen", 2), ("vein", 3)]
    assert found.notes[1] == ("segment 'vein' is drawn here and not in frame 0", "segment 'spleen' is not drawn here")


def test_a_new_segment_does_not_take_the_id_of_another():
    found = matched(named("a", "b", ids=["Segment_1", "Segment_2"]), named("b", "c", ids=["Segment_1", "Segment_2"]))
    assert row(found.segmentations[1]) == [0, 2, 3]
    assert len({one.id for one in found.segments}) == 3


def test_of_three_references_the_third_is_matched_with_all_before():
    found = matched(named("a", "b"), named("b", "c"), named("c", "a"))
    assert [row(one) for one in found.segmentations] == [[0, 1, 2], [0, 2, 3], [0, 3, 1]]


def test_overlapping_segments_are_matched_across_layers():
    image = sitk.GetImageFromArray(np.array([[[0, 1, 1]]], np.uint8))
    one = Segmentation.of(image, image, segments=[Segment("a", "a", 1, 0), Segment("b", "b", 1, 1)])
    other = Segmentation.of(image, image, segments=[Segment("b", "b", 1, 0), Segment("a", "a", 1, 1)])
    found = matched(one, other)
    values = [[int(sitk.GetArrayFromImage(layer).max()) for layer in each.layers] for each in found.segmentations]
    assert values == [[1, 2], [2, 1]]


def test_labels_that_do_not_fit_the_other_pixel_type_widen_it():
    first = drawn(Segment("a", "a", 1000), Segment("b", "b", -3), dtype=np.int16)
    found = matched(first, named("b", "a"))
    assert row(found.segmentations[1]) == [0, -3, 1000]


def test_plain_label_images_match_by_value_as_they_have_nothing_else():
    first, second = (drawn(*map(generated_segment, values)) for values in ((1, 2), (2, 5)))
    found = matched(first, second)
    assert row(found.segmentations[1]) == [0, 2, 5] and [one.label for one in found.segments] == [1, 2, 5]


@pytest.mark.parametrize("turned", [False, True])
def test_numbers_are_not_taken_for_names(turned):
    pair = [named("Myocardium", "Tumour", ids=["Segment_1", "Segment_2"]), drawn(*map(generated_segment, (1, 2)))]
    with pytest.raises(InputError, match="frame . *: its segments have numbers and no names.*Myocardium, Tumour.*ctbl"):
        matched(*(pair[::-1] if turned else pair))


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (named("Tumour", "Myocardium", ids=["m", "t"]), "names and ids contradict"),
        (named("tumour", "Tumour ", ids=["x", "y"]), "either of two"),
        (drawn(Segment("m", "Myocardium", 1), Segment("m", "Myocardium", 2)), "the same id"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_and_named(second, complaint):
    with pytest.raises(InputError, match=f"frame 1: .*{complaint}"):
        matched(named("Myocardium", "Tumour", ids=["m", "t"]), second)


def test_a_single_segmentation_stays_as_it_is():
    first = named("a", "b", labels=[7, 3])
    assert matched(first).segmentations == (first,) and matched().segments == ()


def test_colours_and_terminology_of_the_first_hold_for_all():
    first = named("liver")
    first = replace(first, segments=(replace(first.segments[0], colour=(1, 0, 0), tags="TerminologyEntry:x|"),))
    (segment,) = matched(first, named("liver", ids=["other"])).segmentations[1].segments
    assert (segment.id, segment.colour, segment.tags) == ("liver", (1, 0, 0), "TerminologyEntry:x|")


def test_two_references_drawn_in_another_order_give_each_organ_one_number_in_every_frame(tmp_path):
    case = {"sequence": CASES / "frames", "segmentation": CASES / "ed.seg.nrrd", "model": weights_file(tmp_path)}
    more = ("--segmentation", CASES / "es.seg.nrrd", "--reference-frame", "5")
    assert command(case, tmp_path / "out", *more) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["settings"]["segments"] == "matched by id and name"
    written = read_segmentation(tmp_path / "out" / "segmentation" / "0005.nrrd")
    (myocardium,) = [one.label for one in written.segments if one.name == "Myocardium"]
    assert float(table(tmp_path / "out")[5][f"volume_ml_{myocardium}"]) == pytest.approx(10.352, abs=1e-3)
    given = read_segmentation(CASES / "es.seg.nrrd")
    for one in given.segments:
        (label,) = [other.label for other in written.segments if other.name == one.name]
        drawn_there = sitk.GetArrayFromImage(given.layers[0]) == one.label
        assert np.array_equal(sitk.GetArrayFromImage(written.layers[0]) == label, drawn_there)
    for index in range(5):
        frame = read_segmentation(tmp_path / "out" / "segmentation" / f"{index:04d}.nrrd")
        assert {one.name: one.label for one in frame.segments} == {"Myocardium": 1, "Tumour": 2}
