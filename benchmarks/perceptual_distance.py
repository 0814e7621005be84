"""LPIPS forward and backward, beside the `lpips` package and piq, on the same weights and pictures.

Seconds are the least of several runs that take turns; "backward" is the distance and its gradient
with respect to the distorted picture, as a codec's loss needs it. The backbones are random, which
changes no time; all three find the same distance, or there is no row. The last row is LPIPS-Comp
on its default backbone, which neither package has: beside lpips on AlexNet, its default.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

PICTURES = ((1, 256), (4, 256), (1, 512))  # how many, and their side
PACKAGES = {"vgg16": "vgg", "alexnet": "alex", "squeezenet": "squeeze"}
ROUNDS, LEAST_SECONDS = 7, 1.0
SAME = 1e-4

Distance = Callable[[Tensor, Tensor], Tensor]


def run() -> list[dict]:
    from perceptual.backbones import RANDOM, load_backbone
    from perceptual.lpips import published, untrained
    from tests.perceptual.peers import piq_lpips, published_lpips

    rows = []
    for backbone, net in PACKAGES.items():
        ours = published(f"lpips-{net}", load_backbone(backbone, RANDOM))
        peers: dict[str, Distance] = {"lpips": _package(published_lpips(net))}
        if net == "vgg":
            peers["piq"] = piq_lpips()
        for count, side in PICTURES:
            pictures = _pictures(count, side)
            _require_same(ours.distance, peers, pictures)
            rows.append(_row(backbone, ours.distance, peers, pictures))
    default = untrained(load_backbone("efficientnet-lite0"), with_psnr=True)
    alexnet: dict[str, Distance] = {"lpips-alex": _package(published_lpips("alex"))}
    for count, side in PICTURES:
        rows.append(_row("efficientnet-lite0", default.distance, alexnet, _pictures(count, side)))
    return rows


def _package(metric: torch.nn.Module) -> Distance:
    return lambda x, y: metric(2 * x - 1, 2 * y - 1)[:, 0, 0, 0]


def _pictures(count: int, side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(count, 3, side, side, generator=generator)
    noise = 0.1 * torch.randn(reference.shape, generator=generator)
    return reference, (reference + noise).clamp(0, 1)


def _require_same(ours: Distance, peers: dict[str, Distance], pictures: tuple[Tensor, Tensor]):
    with torch.no_grad():
        expected = ours(*pictures)
        for name, peer in peers.items():
            if not torch.allclose(peer(*pictures), expected, rtol=SAME):
                raise AssertionError(f"{name} finds other distances: nothing is compared")


def _row(backbone: str, ours: Distance, peers: dict[str, Distance], pictures) -> dict:
    row: dict = {"backbone": backbone, "pictures": "x".join(map(str, pictures[0].shape))}
    for what, work in (("forward", _forward), ("backward", _backward)):
        seconds = _least({"ours": ours, **peers}, work, pictures)
        row[f"{what}_ms"] = round(1000 * seconds["ours"], 1)
        for name in peers:
            row[f"{what}_{name}_ratio"] = round(seconds[name] / seconds["ours"], 2)
    return row


def _least(distances: dict[str, Distance], work: Callable, pictures) -> dict[str, float]:
    """Seconds of each: they take turns, so that a busy machine is busy for all."""
    least = dict.fromkeys(distances, float("inf"))
    for distance in distances.values():
        work(distance, *pictures)
    started, rounds = time.perf_counter(), 0
    while rounds < ROUNDS or time.perf_counter() - started < LEAST_SECONDS:
        for name, distance in distances.items():
            start = time.perf_counter()
            work(distance, *pictures)
            least[name] = min(least[name], time.perf_counter() - start)
        rounds += 1
    return least


def _forward(distance: Distance, reference: Tensor, distorted: Tensor) -> None:
    with torch.no_grad():
        distance(reference, distorted)


def _backward(distance: Distance, reference: Tensor, distorted: Tensor) -> None:
    distance(reference, distorted.clone().requires_grad_()).sum().backward()
