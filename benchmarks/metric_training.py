"""Training LPIPS-Comp to a held-out score, beside a straight port of the published recipe.

The port is the training of Zhang et al. 2018 as its authors' program has it: pairs from disk in
batches of 50, both versions and the reference through the frozen network at each step, dropout of
one half, weights kept >= 0 after each step, a ranking network of 32 units on five functions of the
two distances, Adam at 1e-4 with a first moment of 0.5, five epochs and five more in which the rate
falls to 0. It stops where it reaches our score, at which it looks after each epoch, outside its
time. Both have the same backbone and see the same pictures. The time of ours has all in it:
features, epochs, score.

The dataset is that of BENCH_DATASET (a 2AFC folder), or what simulated observers say of the middle
256 x 256 pixels of the photographs.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

EPOCHS, DECAYING, BATCH, RATE = 5, 5, 50, 1e-4
SIDE = 256


def run() -> list[dict]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from perceptual.pairs import read_dataset

    with tempfile.TemporaryDirectory(prefix="closer-bench-") as folder:
        aside = Path(folder)
        given = os.environ.get("BENCH_DATASET")
        dataset = read_dataset(Path(given) if given else _simulated(aside))
        score, seconds, parts = _ours(dataset, aside / "ours")
        rows = [
            {
                "what": "ours",
                "pairs": len(dataset.train),
                "held_out_pairs": len(dataset.val),
                "score": f"{score:.2%}",
                "seconds": round(seconds, 1),
                **parts,
            }
        ]
        print(rows[-1], file=sys.stderr, flush=True)
        for epoch, (at, port) in enumerate(_port(dataset), start=1):
            rows.append(
                {
                    "what": f"port, epoch {epoch}",
                    "score": f"{port:.2%}",
                    "seconds": round(at, 1),
                    "ratio": round(at / seconds, 1),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
            if port >= score:
                break
        else:
            rows[-1]["what"] += ", and not reached"
    return rows


def _simulated(aside: Path) -> Path:
    from PIL import Image

    from benchmarks.photographs import photograph_paths
    from benchmarks.simulated_study import make
    from codecs_registry.pictures import read_picture

    middles = []
    for path in photograph_paths():
        pixels = read_picture(path).pixels
        y, x = ((side - SIDE) // 2 for side in pixels.shape[:2])
        middles.append(aside / f"{path.stem}.png")
        Image.fromarray(pixels[y : y + SIDE, x : x + SIDE]).save(middles[-1])
    make(middles, aside / "study")
    return aside / "study" / "dataset"


def _ours(dataset, folder: Path) -> tuple[float, float, dict]:
    from perceptual.training import Progress, Settings, train

    looked = 0.0

    def tell(progress: Progress) -> None:
        nonlocal looked
        if progress.stage == "features":
            looked = time.perf_counter() - started

    started = time.perf_counter()
    trained = train(dataset, Settings(with_psnr=False), folder=folder, tell=tell)
    seconds = time.perf_counter() - started
    assert trained.held_out_score is not None
    parts = {"features_s": round(looked, 1), "epochs_s": round(seconds - looked, 1)}
    return trained.held_out_score, seconds, parts


class _Port(nn.Module):
    """The published network, on our backbone."""

    def __init__(self) -> None:
        super().__init__()
        from perceptual.backbones import load_backbone

        self.backbone = load_backbone("efficientnet-lite0")
        self.linear = nn.ModuleList(
            nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))
            for channels in self.backbone.channels
        )
        self.head = nn.Sequential(
            *(nn.Conv2d(5, 32, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(32, 32, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(32, 1, 1), nn.Sigmoid()),
        )

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        found = torch.zeros(len(x), 1, 1, 1)
        maps = zip(self.backbone(x), self.backbone(y), self.linear, strict=True)
        for a, b, linear in maps:
            a, b = (each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in (a, b))
            found = found + linear((a - b) ** 2).mean((2, 3), keepdim=True)
        return found

    def preference(self, d0: Tensor, d1: Tensor) -> Tensor:
        parts = [d0, d1, d0 - d1, d0 / (d1 + 0.1), d1 / (d0 + 0.1)]
        probability: Tensor = self.head(torch.cat(parts, 1))[:, 0, 0, 0]
        return probability


def _port(dataset) -> Iterator[tuple[float, float]]:
    """Seconds of training and held-out score, after each epoch."""
    torch.manual_seed(0)
    port = _Port()
    learned = [*port.linear.parameters(), *port.head.parameters()]
    optimiser = torch.optim.Adam(learned, lr=RATE, betas=(0.5, 0.999))
    seconds = 0.0
    for epoch in range(EPOCHS + DECAYING):
        started = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (EPOCHS + DECAYING - epoch) / DECAYING)
        port.train()
        port.backbone.eval()
        for at in torch.randperm(len(dataset.train)).split(BATCH):
            reference, p0, p1, shares = _batch([dataset.train[int(i)] for i in at])
            judged = port.preference(port.distance(reference, p0), port.distance(reference, p1))
            optimiser.zero_grad()
            functional.binary_cross_entropy(judged, shares).backward()
            optimiser.step()
            for linear in port.linear:
                linear[1].weight.data.clamp_(min=0)
        seconds += time.perf_counter() - started
        yield seconds, _score(port.eval(), dataset.val)


@torch.no_grad()
def _score(port: _Port, pairs) -> float:
    from perceptual.scoring import credit

    found = []
    for start in range(0, len(pairs), BATCH):
        reference, p0, p1, shares = _batch(pairs[start : start + BATCH])
        d0, d1 = (port.distance(reference, each).flatten() for each in (p0, p1))
        found.append(credit(d0, d1, shares))
    return float(torch.cat(found).mean())


def _batch(pairs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from perceptual.pairs import pixels

    pictures = [
        torch.stack([pixels(getattr(pair, kind)) for pair in pairs])
        for kind in ("reference", "p0", "p1")
    ]
    return *pictures, torch.tensor([pair.share for pair in pairs])
