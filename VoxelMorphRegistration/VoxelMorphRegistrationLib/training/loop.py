"""The one training loop: synthetic pairs for the bundled network, a sequence's own frames for adaptation."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..files.atomic import atomic_write
from ..networks import Network
from .budget import Budget
from .losses import Loss

N_contra = TypeVar("N_contra", bound=Network, contravariant=True)
N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class LoopSettings:
    """How the parameters move.

    Attributes:
        learning_rate: of Adam, warmed up over `warmup` steps and lowered to a hundredth along a cosine over the budget.
        clip: the greatest norm of a gradient.
        accumulate: so many losses are averaged in one step.
        average: decay of the running mean of the weights that is evaluated and kept; 0 keeps the weights themselves.
        check_every: steps between evaluations.
        patience: evaluations without a better one before it ends; None never ends early.
    """

    learning_rate: float = 5e-4
    warmup: int = 100
    clip: float = 0.5
    accumulate: int = 1
    average: float = 0.999
    check_every: int = 500
    patience: int | None = None


@dataclass
class Progress:
    """Where a run stands. What it holds is what a checkpoint holds."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    checks_without_gain: int = 0
    rows: list[dict] = field(default_factory=list)


class TrainingData(Protocol[N_contra]):
    """What a network learns from, and what judges it."""

    def losses(self, network: N_contra, spent: float) -> Iterator[Loss]:
        """The losses of the next piece of data, one parameter step each; `spent` is the share of the budget, 0 to 1."""

    def evaluate(self, network: N_contra) -> dict[str, float]:
        """Held-back measures of a network; the key 'loss' decides which weights are best."""

    def state(self) -> torch.Tensor:
        """Of the random generator, for a checkpoint."""

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a checkpoint's state."""


class Loop(Generic[N]):
    """Moves a network's parameters until a budget is spent.

    Args:
        network: trained in place.
        data: what it learns from and is judged by.
        checkpoint: file written after each evaluation, for `resume`; None writes none.
    """

    def __init__(
        self,
        network: N,
        data: TrainingData[N],
        settings: LoopSettings,
        budget: Budget,
        checkpoint: Path | None = None,
    ) -> None:
        self.network = network
        self.data = data
        self.settings = settings
        self.budget = budget
        self.checkpoint = checkpoint
        self.optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        self.averaged = copy.deepcopy(network)
        self.best_state: dict[str, torch.Tensor] = {}
        self.progress = Progress()
        self._running: dict[str, torch.Tensor] = {}
        self._taken_up = 0

    def run(
        self,
        report: Callable[[float, dict], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Progress:
        """Train, evaluating first, now and then, and last.

        The network ends with the best weights an evaluation met, those it started with included.

        Args:
            report: called after each step with the share of the budget spent and the latest row of the log.
            cancelled: asked before each step; True ends the run as if the budget were spent.
        """
        if not self.progress.rows:
            self._check()
        start = time.monotonic() - self.progress.seconds
        while not self._ended(cancelled):
            for loss, parts in self.data.losses(self.network, self.spent):
                if not self._learn(loss, parts):
                    continue
                self.progress.seconds = time.monotonic() - start
                if self.progress.step % self.settings.check_every == 0:
                    self._check()
                if report is not None:
                    report(min(1.0, self.spent), self.progress.rows[-1])
                if self._ended(cancelled):
                    break
        if self.progress.step != self.progress.rows[-1]["step"]:
            self._check()
        self.network.load_state_dict(self.best_state)
        self.network.eval()
        return self.progress

    def resume(self) -> bool:
        """Continue from the checkpoint where there is one; says whether there was."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return False
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_state = state["best_state"]
        self.progress = Progress(**state["progress"])
        self.data.restore(state["data"])
        return True

    def _learn(self, loss: torch.Tensor, parts: dict[str, torch.Tensor]) -> bool:
        """Take up a loss; True when that made a step."""
        (loss / self.settings.accumulate).backward()
        for name, value in {"train_loss": loss.detach(), **parts}.items():
            self._follow(name, value)
        self._taken_up += 1
        if self._taken_up < self.settings.accumulate:
            return False
        self._taken_up = 0
        self._step()
        return True

    def _step(self) -> None:
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        rate = self.settings.learning_rate * self._schedule()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # A pair nothing can be learned from may have no finite gradient; it must not end a night's work.
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        decay = min(self.settings.average, self.progress.step / (self.progress.step + 10.0))
        get_ema_multi_avg_fn(decay)(list(self.averaged.parameters()), list(self.network.parameters()), None)
        self._follow("gradient_norm", norm)

    def _follow(self, name: str, value: torch.Tensor) -> None:
        """Take a value of this step into the running mean that the log shows."""
        self._running[name] = torch.lerp(self._running.get(name, value), value, 0.02)

    def _schedule(self) -> float:
        warm = min(1.0, (self.progress.step + 1) / max(1, self.settings.warmup))
        return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.spent))))

    @property
    def spent(self) -> float:
        """The share of the budget that is used up: 0 to 1, or above."""
        return self.budget.spent(self.progress.step, self.progress.seconds)

    def _ended(self, cancelled: Callable[[], bool] | None) -> bool:
        patience = self.settings.patience
        exhausted = patience is not None and self.progress.checks_without_gain >= patience
        return exhausted or self.spent >= 1.0 or (cancelled is not None and cancelled())

    def _check(self) -> None:
        self.averaged.eval()
        with torch.no_grad():
            measures = self.data.evaluate(self.averaged)
        progress = self.progress
        where = {"step": progress.step, "seconds": round(progress.seconds, 1)}
        progress.rows.append({**where, **measures, **{name: float(value) for name, value in self._running.items()}})
        if measures["loss"] < progress.best:
            progress.best = measures["loss"]
            progress.checks_without_gain = 0
            self.best_state = {key: value.detach().clone() for key, value in self.averaged.state_dict().items()}
        else:
            progress.checks_without_gain += 1
        if self.checkpoint is not None:
            self._save(self.checkpoint)

    def _save(self, checkpoint: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_state": self.best_state,
            "progress": vars(self.progress),
            "data": self.data.state(),
        }
        with atomic_write(checkpoint) as partial:
            torch.save(state, partial)
