"""Comparisons with the tools whose fields we read and write."""

from __future__ import annotations

import os

# ITK reads these once, when a tool starts: one thread makes ANTs reproducible.
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
