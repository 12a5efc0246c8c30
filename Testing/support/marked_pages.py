"""Pages that hold what a benchmark or a soak found, between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re


def between(text: str, mark: str, content: str) -> str:
    """A page's text with other content behind the mark of this name, as far as the next `<!-- end -->`."""
    place = re.compile(rf"(<!-- {mark} -->).*?(<!-- end -->)", re.S)
    return place.sub(lambda marks: f"{marks[1]}{content}{marks[2]}", text)
