"""Only some of the segments that were drawn are carried."""

from __future__ import annotations

import pytest

from Testing.support.moving_body import centring, draw
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput


def ids(node):
    return list(node.GetSegmentation().GetSegmentIDs())


def test_a_segment_that_is_left_out_is_in_no_frame_and_stays_in_the_node_that_was_drawn(scene, sequence):
    organs = draw(scene)
    drawn = ids(organs)
    output = propagate_segmentation(SequenceInput(sequence, organs, leave_out=drawn[:1]), model=centring())
    carried = [ids(output.GetNthDataNode(number)) for number in range(output.GetNumberOfDataNodes())]
    assert carried == [drawn[1:]] * 4 and ids(organs) == drawn
    table = output.GetNodeReference("VoxelMorph.Table").GetTable()
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    assert len([name for name in columns if name.startswith("volume_ml_")]) == 1


def test_leaving_every_segment_out_is_refused(scene, sequence):
    organs = draw(scene)
    with pytest.raises(InputError, match="every segment is left out"):
        propagate_segmentation(SequenceInput(sequence, organs, leave_out=ids(organs)), model=centring())
