"""What the nodes of a scene are told, under one vocabulary: attributes of nodes and of `.seq.nrrd` items, and the roles
under which an output refers to the others.

Names are part of what users' scripts and saved scenes rely on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_PREFIX = "VoxelMorph."

# Of a frame.
FRAME = f"{_PREFIX}Frame"
STATUS = f"{_PREFIX}Status"
REFERENCE_FRAME = f"{_PREFIX}ReferenceFrame"
MESSAGE = f"{_PREFIX}Message"
FLAG = f"{_PREFIX}Flag"
#: '1' of a frame that a person has looked at and found right.
ACCEPTED = f"{_PREFIX}Accepted"
#: The file of a run folder that a frame was read from, with its size and time.
FILE = f"{_PREFIX}File"
#: A digest of what a frame was given, by which it is known whether a person has edited it since.
CONTENT = f"{_PREFIX}Content"

# Of a frame or a pair.
MODEL = f"{_PREFIX}Model"
MODEL_SHA256 = f"{_PREFIX}ModelSha256"
SIMILARITY_METRIC = f"{_PREFIX}SimilarityMetric"
SIMILARITY_UNTOUCHED = f"{_PREFIX}SimilarityUntouched"
SIMILARITY_BEFORE = f"{_PREFIX}SimilarityBefore"
SIMILARITY_AFTER = f"{_PREFIX}SimilarityAfter"
INVERSE_CONSISTENCY_MM = f"{_PREFIX}InverseConsistencyMm"
FOLDED_PERCENT = f"{_PREFIX}FoldedPercent"

# Of a label sequence's file: before the number of a segment and the name of one of its fields.
SEGMENT = f"{_PREFIX}Segment"

# Of a sequence whose frames stay on disk: what they are read from.
SOURCE = f"{_PREFIX}Source"

# Of the sequence that a propagation fills.
FAILED_FRAMES = f"{_PREFIX}FailedFrames"

# Node references of that sequence.
TRANSFORMS = f"{_PREFIX}Transforms"
POINTS = f"{_PREFIX}Points"
SURFACE = f"{_PREFIX}Surface"
TABLE = f"{_PREFIX}Table"
PLOT = f"{_PREFIX}Plot"


def as_text(values: Mapping[str, object]) -> dict[str, str]:
    """Attribute values as text, numbers with six digits; what is empty, None or NaN is left out."""
    found = {}
    for name, value in values.items():
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        found[name] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return found
