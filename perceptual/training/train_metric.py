"""Training LPIPS-Comp on people's choices between two versions of a picture.

    pairs --- split by source image ---> fit | watch | held out
        fit: weights and ranking head, by cross-entropy with the share of votes
        watch: when to stop, and which epoch to keep
        held out: looked at once, when all is done

R. Zhang, P. Isola, A. A. Efros, E. Shechtman and O. Wang, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric", CVPR 2018, section 3 and appendix: weights >= 0 by projection
after each step, dropout before them, a small network on (d0, d1) that serves training alone. Of its
three variants the backbone is frozen ("linear"), tuned or trained from scratch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from perceptual.backbones import RANDOM, Backbone, digest_of, load_backbone
from perceptual.components import ComponentStore, table_of
from perceptual.lpips import WHOLE_BACKBONE, Card, LpipsComp
from perceptual.pairs import Dataset, Pair
from perceptual.scoring import credit
from perceptual.training.run import Run, shares_of
from perceptual.training.settings import (
    LINEAR,
    SCRATCH,
    TUNED,
    CannotTrain,
    Epoch,
    Progress,
    Settings,
    Tell,
)
from perceptual.training.sources import Pictures, Source, Table

WATCHED_SHARE = 0.2
"""Of the source images that are trained on: watched, to know when to stop."""
CHECKPOINT = "checkpoint.pt"
FORMAT = 2
"""Of checkpoints: with another, the same call would not end with the same metric."""


@dataclass(frozen=True)
class Trained:
    """The metric, its learning curve, and its 2AFC score, from 0 to 1, on the pairs held out; None
    where none were."""

    metric: LpipsComp
    curve: list[Epoch]
    held_out_score: float | None


def train(
    dataset: Dataset,
    settings: Settings,
    *,
    folder: Path,
    name: str = "closer-lpips-comp",
    start: LpipsComp | None = None,
    backbone: Backbone | None = None,
    features: Path | None = None,
    tell: Tell = lambda progress: None,
) -> Trained:
    """Train a metric on the pairs of "train", and score it on those of "val".

    folder : where it keeps what it needs to go on after it was killed; called again with the same
        dataset and settings it goes on, and ends with the same metric as if it had not been.
    start : a metric of the same backbone to begin from; its weights are also what `decay` pulls to.
        One with a backbone of its own, tuned or from scratch, can be tuned further.
    backbone : loaded by its name if it is not given.
    features : the file in which components of frozen backbones are kept for other trainings too;
        one in `folder` if it is not given.

    On a CPU the same call gives the same bytes, given the versions of torch and of the processor's
    instructions. Raises CannotTrain, InvalidDataset and BackboneUnavailable.
    """
    if start:
        _check_start(start, settings)
    fit, watch = split(dataset.train, seed=settings.seed)
    network = backbone or load_backbone(
        settings.backbone,
        RANDOM if settings.variant == SCRATCH else settings.backbone_weights or None,
        seed=settings.seed,
    )
    model = _begin(network, settings, name, start)
    parts = (fit, watch, list(dataset.val))
    source: Source
    if settings.variant == LINEAR:
        store = ComponentStore(features or folder / "features.sqlite")
        source = _table(parts, network, store, with_psnr=settings.with_psnr, tell=tell)
    else:
        source = Pictures(*parts, crop=settings.crop)
    identity = _identity(dataset, settings, start)
    run = Run(
        *(model, settings, fit, watch, source, folder / CHECKPOINT, identity),
        is_begun=start is not None,
    )
    curve = run.until_done(tell)
    score = _score(model, source, dataset.val)
    network.digest = digest_of(network)
    model.card = replace(
        model.card,
        backbone_digest=network.digest,
        trained_on=_trained_on(dataset, settings, fit, watch),
        results={
            "held_out_score": score,
            "best_epoch": run.best_epoch,
            "curve": [asdict(each) for each in curve],
        },
    )
    return Trained(model.eval().requires_grad_(False), curve, score)


def split(pairs: Sequence[Pair], *, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to fit and pairs to watch; no source image is in both.

    One source image in five is watched, and at least one: those whose hash with the seed comes
    first. Raises CannotTrain if there are not two.
    """
    contents = sorted({pair.content for pair in pairs}, key=lambda each: _hash(f"{seed}/{each}"))
    if len(contents) < 2:
        raise CannotTrain(
            f"pairs of {len(contents)} source images to train on are too few: of two or more, "
            "some are watched to know when to stop"
        )
    watched = set(contents[: max(1, round(WATCHED_SHARE * len(contents)))])
    return (
        [pair for pair in pairs if pair.content not in watched],
        [pair for pair in pairs if pair.content in watched],
    )


def _check_start(start: LpipsComp, settings: Settings) -> None:
    if settings.variant == SCRATCH:
        raise CannotTrain(f"a training from scratch begins from nothing, not from {start.name}")
    if start.card.variant in WHOLE_BACKBONE and settings.variant != TUNED:
        raise CannotTrain(
            f"{start.name} has a backbone of its own; to begin from it, train the variant {TUNED!r}"
        )
    card = start.card
    if (card.backbone, card.with_psnr) != (settings.backbone, settings.with_psnr):
        raise CannotTrain(
            f"{start.card.name} has {start.card.backbone} and "
            f"{'a' if start.card.with_psnr else 'no'} component of pixel error; to begin from it, "
            "train the same"
        )


def _begin(network: Backbone, settings: Settings, name: str, start: LpipsComp | None) -> LpipsComp:
    card = Card(name, network.name, network.digest, settings.variant, settings.with_psnr)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = LpipsComp(network, card)
    if start:
        if start.card.variant in WHOLE_BACKBONE:
            network.load_state_dict(start.backbone.state_dict())
        model.weight.data.copy_(start.weight)
        model.head.load_state_dict(start.head.state_dict())
    return model


def _identity(dataset: Dataset, settings: Settings, start: LpipsComp | None) -> str:
    begun = "" if start is None else digest_of(start)
    return _hash(json.dumps([FORMAT, dataset.digest, asdict(settings), begun]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _trained_on(
    dataset: Dataset, settings: Settings, fit: Sequence[Pair], watch: Sequence[Pair]
) -> Mapping[str, Any]:
    used = [*fit, *watch]
    votes = [pair.votes for pair in used]
    return {
        "settings": asdict(settings),
        "dataset": dataset.digest,
        "pairs": len(used),
        "votes": None if None in votes else sum(vote or 0 for vote in votes),
        "simulated_pairs": sum(pair.is_simulated for pair in used),
        "fitted_contents": sorted({pair.content for pair in fit}),
        "watched_contents": sorted({pair.content for pair in watch}),
        "held_out_contents": sorted({pair.content for pair in dataset.val}),
        "torch": torch.__version__,
    }


def _table(
    parts: Sequence[Sequence[Pair]],
    network: Backbone,
    store: ComponentStore,
    *,
    with_psnr: bool,
    tell: Tell,
) -> Table:
    def looked(done: int, total: int) -> None:
        tell(Progress("features", done, total))

    table = table_of([pair for part in parts for pair in part], network, store, progress=looked)
    if not with_psnr:
        table = table[..., :-1]
    return Table(*torch.split(table, [len(part) for part in parts]))


@torch.no_grad()
def _score(model: LpipsComp, source: Source, pairs: Sequence[Pair]) -> float | None:
    if not pairs:
        return None
    d0, d1 = (source.held_out(model) @ model.weight).unbind(1)
    return float(credit(d0, d1, shares_of(pairs)).mean())
