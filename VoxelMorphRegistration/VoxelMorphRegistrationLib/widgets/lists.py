"""Lists as high as what they hold."""

from __future__ import annotations

from typing import Any

_MOST_ROWS = 5


def fit_rows(box: Any) -> None:
    """Make a list as high as its rows, and let it scroll where there are many."""
    rows = min(max(box.count, 1), _MOST_ROWS)
    box.setFixedHeight(rows * max(box.sizeHintForRow(0), 1) + 2 * box.frameWidth + 2)
