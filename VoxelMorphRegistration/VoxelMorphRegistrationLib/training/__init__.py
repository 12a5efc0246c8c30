"""Training of the bundled network on synthetic images, and adaptation of any network to one sequence."""

from __future__ import annotations

from .adaptation import adapt
from .budget import Budget, parse_budget
from .sequence_pairs import AdaptationSettings

__all__ = ["AdaptationSettings", "Budget", "adapt", "parse_budget"]
