"""Epochs of a training, from the last checkpoint or from the start, to the end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from perceptual.lpips import LpipsComp
from perceptual.pairs import Pair
from perceptual.scoring import credit
from perceptual.training import checkpoints
from perceptual.training.distributed import average_gradients, is_first, part_of, rank
from perceptual.training.settings import LINEAR, SCRATCH, TUNED, Epoch, Progress, Settings, Tell
from perceptual.training.sources import Source
from perceptual.training.weights import Weights

SAVED_EVERY_S = 10.0
SMOOTHED = 5
"""Epochs whose mean cross-entropy, on what is watched, says which is best: one alone is too noisy
where few pictures are watched."""
SEED_STEP, MOST_PROCESSES = 2**32, 2**12
BACKBONE_RATE = {TUNED: 1 / 30, SCRATCH: 1 / 3}
"""How much more slowly a backbone learns than weights and head."""


class Run:
    """Epochs, from the last checkpoint of the same training or from the start, to the end."""

    def __init__(
        self,
        model: LpipsComp,
        settings: Settings,
        fit: Sequence[Pair],
        watch: Sequence[Pair],
        source: Source,
        checkpoint: Path,
        identity: str,
        *,
        is_begun: bool,
    ) -> None:
        self.model = model
        self.settings = settings
        self.source = source
        self.checkpoint = checkpoint
        self.identity = identity
        self.shares, self.watched_shares = shares_of(fit), shares_of(watch)
        self.votes, self.watched_votes = _votes_of(fit), _votes_of(watch)
        layers = [*model.backbone.channels, *([1] if settings.with_psnr else [])]
        begun = model.weight.detach().clone() if is_begun else None
        self.weights = Weights(layers, source.typical(model), begun)
        self.pull = settings.decay / float(self.votes.sum())
        self.optimiser = torch.optim.Adam(self._parameters())
        self.curve: list[Epoch] = []
        self.best_epoch, self.best_loss = 0, math.inf
        self.best = self._state()

    def until_done(self, tell: Tell) -> list[Epoch]:
        self._resume()
        started, before = time.monotonic(), len(self.curve)
        saved = started
        while not self._is_done():
            self._epoch()
            now = time.monotonic()
            number = len(self.curve)
            left = (now - started) / (number - before) * (self.settings.epochs - number)
            tell(Progress("epochs", number, self.settings.epochs, self.curve[-1], left))
            if now - saved > SAVED_EVERY_S or self._is_done():
                self._save()
                saved = now
        # Where there were too few to say which is best, the last will do.
        self._take(self.best if self.best_epoch else self._state())
        return self.curve

    def _is_done(self) -> bool:
        number = len(self.curve)
        waited = number - max(self.best_epoch, SMOOTHED)
        return number >= self.settings.epochs or waited >= self.settings.patience

    def _parameters(self) -> list[dict[str, Any]]:
        rate = self.settings.learning_rate
        learned = [*self.weights.parameters(), *self.model.head.parameters()]
        groups = [{"params": learned, "lr": rate}]
        if self.settings.variant != LINEAR:
            self.model.backbone.requires_grad_(True)
            slower = BACKBONE_RATE[self.settings.variant]
            groups.append({"params": [*self.model.backbone.parameters()], "lr": rate * slower})
        return groups

    def _epoch(self) -> None:
        # Seeded by the epoch: it goes on after a kill as it would have, and all processes of a
        # launcher see one order, each with an augmentation of its own.
        seed = self.settings.seed * SEED_STEP + len(self.curve) * MOST_PROCESSES
        order = torch.randperm(len(self.shares), generator=torch.Generator().manual_seed(seed))
        chance = torch.Generator().manual_seed(seed + 1 + rank())
        total = 0.0
        for at in torch.split(order, self.settings.batch):
            loss = self._loss(part_of(at), chance)
            self.optimiser.zero_grad()
            (loss + self.pull * self.weights.drift()).backward()  # type: ignore[no-untyped-call]
            average_gradients(self.optimiser)
            self.optimiser.step()
            self.weights.project()
            total += loss.item() * len(at)
        self._note(total / len(order))

    def _loss(self, at: Tensor, chance: torch.Generator) -> Tensor:
        found = self.source.batch(self.model, at, chance)
        kept = 1 - self.settings.dropout
        mask = torch.bernoulli(torch.full(found.shape[-1:], kept), generator=chance) / kept
        return self._cross_entropy(found * mask, self.shares[at], self.votes[at])

    def _cross_entropy(self, found: Tensor, shares: Tensor, votes: Tensor) -> Tensor:
        d0, d1 = (found @ self.weights()).unbind(1)
        each = functional.binary_cross_entropy_with_logits(
            self.model.head(d0, d1), shares, reduction="none"
        )
        return (each * votes).sum() / votes.sum()

    @torch.no_grad()
    def _note(self, loss: float) -> None:
        found = self.source.watched(self.model)
        watched = self._cross_entropy(found, self.watched_shares, self.watched_votes).item()
        d0, d1 = (found @ self.weights()).unbind(1)
        score = float(credit(d0, d1, self.watched_shares).mean())
        self.curve.append(Epoch(len(self.curve) + 1, loss, watched, score))
        recent = [each.watched_loss for each in self.curve[-SMOOTHED:]]
        smooth = sum(recent) / len(recent)
        if len(recent) == SMOOTHED and smooth < self.best_loss:
            self.best_epoch, self.best_loss = len(self.curve), smooth
            self.best = self._state()

    @torch.no_grad()
    def _state(self) -> dict[str, Tensor]:
        """All that is learned."""
        self.model.weight.copy_(self.weights())
        is_frozen = self.settings.variant == LINEAR
        return {
            name: value.detach().clone()
            for name, value in self.model.state_dict().items()
            if not (is_frozen and name.startswith("backbone."))
        }

    def _take(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(self.model.state_dict() | dict(state))

    def _save(self) -> None:
        if not is_first():
            return
        checkpoints.save(
            self.checkpoint,
            self.identity,
            {
                "now": self._state(),
                "best": self.best,
                "best_epoch": self.best_epoch,
                "best_loss": self.best_loss,
                "weights": self.weights.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "curve": [asdict(each) for each in self.curve],
            },
        )

    def _resume(self) -> None:
        """Go on where the same training was; what another left is begun anew."""
        saved = checkpoints.read(self.checkpoint, self.identity)
        if saved is None:
            return
        self._take(saved["now"])
        self.weights.load_state_dict(saved["weights"])
        self.best, self.best_epoch = saved["best"], saved["best_epoch"]
        self.best_loss = saved["best_loss"]
        self.optimiser.load_state_dict(saved["optimiser"])
        self.curve = [Epoch(**each) for each in saved["curve"]]


def _votes_of(pairs: Sequence[Pair]) -> Tensor:
    """(n,): how much each pair counts: by its votes, where they are known of all."""
    votes = [pair.votes for pair in pairs]
    if None in votes:
        return torch.ones(len(votes))
    return torch.tensor(votes, dtype=torch.float32)


def shares_of(pairs: Sequence[Pair]) -> Tensor:
    """(n,): the share of votes for p1."""
    return torch.tensor([pair.share for pair in pairs], dtype=torch.float32)
