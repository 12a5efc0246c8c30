"""Whether what came out of a pair can be believed, by its numbers alone: what speaks against it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..refinement.similarities import Similarity

MOST_FOLDED_PERCENT = 1.0
# Squared local correlation: of one contrast, real pairs that match reach .79 to .98 and mirrored ones .62 at most, but
# for brains; of two, a pair that matches has .41, and what is mirrored or turned by 90 degrees .22 to .28.
LEAST_ALIKE: Mapping[Similarity, float] = {"lncc": 0.7, "mind": 0.33}


def doubts(
    similarity: Mapping[str, Any], folded_percent: float, structure: float = 1.0, contrast: Similarity = "lncc"
) -> tuple[str, ...]:
    """What makes a registration doubtful, one sentence each; none where nothing speaks against it.

        >>> doubts({"metric": "ncc", "untouched": 0.9, "before": 0.8, "after": 0.7}, 2.5)
        ('similarity is 0.7000 and was 0.9000 untouched: nothing was gained', '2.5 % of the voxels fold, more than 1 %')
        >>> doubts({"metric": "ncc", "untouched": 0.7, "before": 0.8, "after": 0.9}, 0.0)
        ()

    Args:
        similarity: 'untouched' (the pair as it was given) and 'after', as `Registration.similarity` has them.
        folded_percent: of the fixed grid's voxels.
        structure: how far the structure of both images agrees at the end, 0 to 1, see
            `refinement.contrast.CoarseComparison.denoised_lncc`.
        contrast: 'lncc' where the images are of one contrast, 'mind' where they are of two.
    """
    found = []
    untouched, after = similarity["untouched"], similarity["after"]
    if not after > untouched:
        found.append(f"similarity is {after:.4f} and was {untouched:.4f} untouched: nothing was gained")
    if structure < LEAST_ALIKE[contrast]:
        found.append(
            f"the structure of the images hardly agrees ({structure:.2f} of 1): they may show other things, or lie "
            "turned or mirrored"
        )
    if folded_percent > MOST_FOLDED_PERCENT:
        found.append(f"{folded_percent:.2g} % of the voxels fold, more than {MOST_FOLDED_PERCENT:g} %")
    return tuple(found)
