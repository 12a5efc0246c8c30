"""Numbers and the library's own words as people say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from slicer.i18n import tr as _
from slicer.i18n import translate

from ..registration.doubts import MOST_FOLDED_PERCENT

_ALIKE = 0.01  # of a correlation or a normalised mutual information

Verdict = Literal["better", "same", "worse"]


def of_preset(text: str) -> str:
    """A preset's title or description in the window's language: the translators' tool finds it in its own file."""
    return translate("registration.presets", text)


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Of `register --report`: the pair as it was given against the result."""
    similarity = report["similarity"]
    gained = similarity["after"] - similarity["untouched"]
    if gained < -_ALIKE or report["folded_percent"] > MOST_FOLDED_PERCENT:
        return "worse"
    return "better" if gained > _ALIKE else "same"


def verdict_in_words(report: Mapping[str, Any]) -> str:
    """One sentence for the person who looks at the pair next."""
    if report["folded_percent"] > MOST_FOLDED_PERCENT:
        return _("Look closely: parts of the result fold over themselves.")
    if report["doubts"] and verdict(report) == "better":
        return _("Look closely: the volumes are more alike than before, and may still not match.")
    return {
        "better": _("The volumes are more alike than before. Look at the borders before you use it."),
        "same": _("The volumes are about as alike as before. Look whether anything moved."),
        "worse": _("The volumes are less alike than before: look, and try another start or refinement."),
    }[verdict(report)]


def numbers_in_words(report: Mapping[str, Any]) -> str:
    """The numbers with their names."""
    similarity = report["similarity"]
    metric = {"ncc": _("Correlation"), "nmi": _("Mutual information")}.get(similarity["metric"], similarity["metric"])
    text = _(
        "{metric}: as given {untouched:.3f}, aligned {before:.3f}, after {after:.3f}.\n"
        "Folded: {folded:.2g} % of the voxels. It took {seconds:.0f} s."
    )
    return text.format(
        metric=metric,
        untouched=similarity["untouched"],
        before=similarity["before"],
        after=similarity["after"],
        folded=report["folded_percent"],
        seconds=report["seconds"]["total"],
    )


def sentence(said: str) -> str:
    """A line of a report as a sentence of its own."""
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def duration(seconds: float) -> str:
    """About how long, in the unit that people would choose."""
    if seconds < 100:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count:.1f} h").format(count=seconds / 3600)


def size(number_of_bytes: float) -> str:
    """A file size in the unit that people would choose."""
    for unit, many in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number_of_bytes >= many:
            return f"{number_of_bytes / many:.1f} {unit}"
    return f"{number_of_bytes:.0f} B"


def frame_numbers(frames: Sequence[int]) -> str:
    """Frame numbers, the first twenty of many."""
    shown = ", ".join(str(number) for number in frames[:20])
    return shown + (_(" and {count} more").format(count=len(frames) - 20) if len(frames) > 20 else "")
