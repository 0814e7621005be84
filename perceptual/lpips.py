"""LPIPS and LPIPS-Comp: how far apart two pictures are in the features of a network.

R. Zhang, P. Isola, A. A. Efros, E. Shechtman and O. Wang, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric", CVPR 2018, equation 1:

    d(x, y) = sum over layers l of  mean over places (h, w) of  || w_l * (x_l - y_l) ||^2

where x_l, y_l are a layer's features, divided at each place by their length over the channels, and
the weights w_l >= 0 are learned; here, as in its authors' program, they multiply the squares. What
the weights multiply, the mean squared difference in each channel, is all that training of the
weights needs of two pictures: their `components`. LPIPS-Comp is this trained on choices between
reconstructions by codecs, with a component more, the decibels of pixel error.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from perceptual.backbones import BACKBONES, RANDOM, Backbone, digest_of, load_backbone
from perceptual.backbones.base import is_traced
from perceptual.metric import Metric

LENGTH_EPSILON = 1e-10  # as in the authors' program, so that numbers agree
PEAK = 255.0
FORMAT = 1
METADATA = "closer_metric"
WHOLE_BACKBONE = ("tuned", "scratch")
"""The variants whose files hold the backbone's weights, too."""

PUBLISHED = {"lpips-vgg": "vgg16", "lpips-alex": "alexnet", "lpips-squeeze": "squeezenet"}
"""The metrics of Zhang et al., version 0.1, by the backbone of each."""


class InvalidMetricFile(ValueError):
    """A file holds no metric that this program can load; the message says why."""


@dataclass(frozen=True)
class Card:
    """What a metric's file says of it.

    variant : "linear" (weights of frozen features), "tuned" (the backbone too), "scratch" (it
        began at random), or "untrained" (all weights are one).
    trained_on, results : what made it and what it reached (perceptual/training.py); free of form.
    """

    name: str
    backbone: str
    backbone_digest: str
    variant: str = "untrained"
    with_psnr: bool = False
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)


class LpipsComp(nn.Module, Metric):
    """A backbone, a weight >= 0 for each of its channels, and one for decibels of pixel error.

    `weight` is (K,), float32: the channels of all layers in order, the finest layer first, and
    last, where `with_psnr`, that of `error_decibels`.
    """

    low, high = 0.0, math.inf
    is_differentiable = True

    def __init__(self, backbone: Backbone, card: Card) -> None:
        super().__init__()
        self.backbone = backbone
        self.card = card
        self.weight = nn.Parameter(torch.ones(sum(backbone.channels) + card.with_psnr))
        self.head = RankingHead()

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.card.name

    @property
    def label(self) -> str:  # type: ignore[override]
        return self.card.name

    @property
    def smallest_side(self) -> int:  # type: ignore[override]
        return self.backbone.smallest_side

    @property
    def digest(self) -> str:
        """SHA-256 of what the distance depends on; the ranking head is no part of it."""
        weight = self.weight.detach().cpu().numpy().tobytes()
        parts = [self.name, self.definition, digest_of(self.backbone)]
        return hashlib.sha256("\n".join(parts).encode() + weight).hexdigest()

    def components(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N, K): what the weights multiply, each >= 0 and 0 for equal pictures."""
        # One after the other: a reference that wants no gradient then costs none.
        x, y = self.backbone(reference), self.backbone(distorted)
        return self.from_maps(x, y, reference, distorted)

    def from_maps(
        self, x: Sequence[Tensor], y: Sequence[Tensor], reference: Tensor, distorted: Tensor
    ) -> Tensor:
        """The same, of pictures whose feature maps are there."""
        found = channel_differences(x, y)
        if self.card.with_psnr:
            found = torch.cat([found, error_decibels(reference, distorted)[:, None]], 1)
        return found

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,): distances, >= 0, of pictures (N, 3, H, W), sRGB in [0, 1]; one reference may stand
        for all. Raises ValueError where shapes differ or a side is under `smallest_side`."""
        self.check(reference, distorted)
        return self.components(reference, distorted) @ self.weight

    forward = distance

    def distance_map(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N, H, W): where the difference lies, >= 0; its mean is `distance` but for the decibels
        of pixel error, which lie nowhere. Coarse layers are spread over the places they cover."""
        self.check(reference, distorted)
        x, y = self.backbone(reference), self.backbone(distorted)
        total = torch.zeros(len(distorted), *reference.shape[2:], device=distorted.device)
        weights = torch.split(self.weight[: sum(self.backbone.channels)], [*self.backbone.channels])
        for a, b, weight in zip(x, y, weights, strict=True):
            squares = squared_differences(a, b)
            at_places = torch.einsum("nchw,c->nhw", squares, weight)[:, None]
            spread = functional.interpolate(at_places, total.shape[1:], mode="bilinear")
            # Interpolation moves the mean a little where maps do not divide the picture.
            mean, wanted = spread.mean((2, 3), keepdim=True), at_places.mean((2, 3), keepdim=True)
            total += (spread * (wanted / mean.clamp_min(1e-30)))[:, 0]
        return total

    def preference(self, d0: Tensor, d1: Tensor) -> Tensor:
        """(N,): the probability that people find the second of two pictures closer, given the
        distances of both."""
        return torch.sigmoid(self.head(d0, d1))


class RankingHead(nn.Module):
    """From the distances of two pictures to the log-odds that the second is found closer.

    Of (d0, d1, d0 - d1, d0 / d1, d1 / d0) through two layers of 32, as in Zhang et al. 2018,
    section 3, with two things made certain. It is fair to both sides:

        log-odds = log(d0 / d1) + h(d0, d1) - h(d1, d0)

    and rises with d0 and falls with d1, since h can only do that: its weights act by their absolute
    values. A head that may turn round, or lie flat, learns choices by itself and leaves distances
    that say the opposite, or nothing.
    """

    EPSILON = 0.1

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 1, bias=False)]
        )

    def forward(self, d0: Tensor, d1: Tensor) -> Tensor:
        ratio = torch.log((d0 + self.EPSILON) / (d1 + self.EPSILON))
        return ratio + self._one_way(d0, d1) - self._one_way(d1, d0)

    def _one_way(self, d0: Tensor, d1: Tensor) -> Tensor:
        ratios = d0 / (d1 + self.EPSILON), -d1 / (d0 + self.EPSILON)
        x = torch.stack([d0, -d1, d0 - d1, *ratios], -1)
        for layer in self.layers[:-1]:
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            x = functional.leaky_relu(functional.linear(x, weight.abs(), bias), 0.2)
        out: Tensor = functional.linear(x, self.layers[-1].get_parameter("weight").abs())[..., 0]
        return out


def channel_differences(x: Sequence[Tensor], y: Sequence[Tensor]) -> Tensor:
    """(N, sum of channels): for each channel of each layer the mean over places of the squared
    difference of features of unit length. x, y : feature maps (N or 1, C, H, W), layer by layer."""
    return torch.cat([_difference(a, b) for a, b in zip(x, y, strict=True)], 1)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    if is_traced():
        return squared_differences(a, b).mean((2, 3))
    result: Tensor = _UnitDifference.apply(a, b)  # type: ignore[no-untyped-call]
    return result


class _UnitDifference(torch.autograd.Function):
    """What `_difference` is, with its gradient written out: in a third of the passes over the maps.

    With u = a / (|a| + eps) and v likewise, and G the gradient with respect to u, that with respect
    to a is  (G - u (u . G) (|a| + eps) / |a|) / (|a| + eps).
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        # Sums over channels run along memory.
        a, b = (each.contiguous(memory_format=torch.channels_last) for each in (a, b))
        lengths = [torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (a, b)]
        ctx.save_for_backward(a, b, *lengths)
        u, v = (each / (n + LENGTH_EPSILON) for each, n in zip((a, b), lengths, strict=True))
        result: Tensor = (u - v).square_().mean((2, 3))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b, length_a, length_b = ctx.saved_tensors
        u, v = a / (length_a + LENGTH_EPSILON), b / (length_b + LENGTH_EPSILON)
        places = a.shape[2] * a.shape[3]
        pull = (u - v).mul_(gradients[0][:, :, None, None] * (2 / places))
        of_a = _before_unit(pull, u, length_a) if ctx.needs_input_grad[0] else None
        of_b = _before_unit(pull.neg(), v, length_b) if ctx.needs_input_grad[1] else None
        return _as_given(of_a, a), _as_given(of_b, b)


def _before_unit(pull: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    along = (pull * unit).sum(1, keepdim=True)
    whole = length + LENGTH_EPSILON
    # Where nothing is, there is no direction to change.
    share = torch.where(length > 0, whole / length.clamp_min(1e-30), torch.zeros_like(length))
    return torch.addcmul(pull, unit, along * share, value=-1).div_(whole)


def _as_given(gradient: Tensor | None, given: Tensor) -> Tensor | None:
    """Of one map that stood for several, the sum."""
    if gradient is None or len(gradient) == len(given):
        return gradient
    return gradient.sum(0, keepdim=True)


def error_decibels(reference: Tensor, distorted: Tensor) -> Tensor:
    """(N,): 10 log10(1 + 255^2 MSE), from 0 for equal pictures to 48.13.

    For visible errors it is PSNR upside down: 48.13 - PSNR, and 3 dB when both are equal to one
    grey level. How PSNR entered the published "LPIPS-Comp VGG PSNR" is not known.
    """
    return decibels((reference - distorted).square().mean((1, 2, 3)))


def decibels(mse: Tensor) -> Tensor:
    """10 log10(1 + 255^2 MSE) of mean squared errors of samples in [0, 1]."""
    return 10 / math.log(10) * torch.log1p(PEAK**2 * mse)


def squared_differences(a: Tensor, b: Tensor) -> Tensor:
    """(N, C, H, W): of feature maps of unit length at each place."""
    return (_unit(a) - _unit(b)).square()


def _unit(features: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit: Tensor = features / (length + LENGTH_EPSILON)
    return unit


# --- files ----------------------------------------------------------------------------------------


def untrained(backbone: Backbone, *, name: str = "", with_psnr: bool = False) -> LpipsComp:
    """All weights one: the differences of features as they are."""
    card = Card(
        name=name or f"untrained-{backbone.name}",
        backbone=backbone.name,
        backbone_digest=backbone.digest,
        with_psnr=with_psnr,
    )
    return LpipsComp(backbone, card).eval().requires_grad_(False)


def published(name: str, backbone: Backbone | None = None) -> LpipsComp:
    """LPIPS as published: "lpips-vgg", "lpips-alex" or "lpips-squeeze", version 0.1.

    backbone : torchvision's network; loaded if it is not given. Its weights are not checked: with
        others than torchvision's own the distances are not those of the published metric.

    Raises BackboneUnavailable where its weights are not at hand.
    """
    network = backbone or load_backbone(PUBLISHED[name])
    card = Card(name, network.name, network.digest, variant="linear")
    metric = LpipsComp(network, card)
    file = files("perceptual") / "weights" / "lpips-v0.1.safetensors"
    with safe_open(str(file), "pt") as weights:
        metric.weight.data = weights.get_tensor(name)
    return metric.eval().requires_grad_(False)


def to_bytes(metric: LpipsComp) -> bytes:
    """A metric as the content of a safetensors file, its card in the metadata.

    The same metric gives the same bytes. The backbone's weights are in it only where they are not
    those of ImageNet.
    """
    tensors = {f"head.{name}": value for name, value in metric.head.state_dict().items()}
    tensors["weight"] = metric.weight.detach()
    if metric.card.variant in WHOLE_BACKBONE:
        state = metric.backbone.state_dict()
        tensors |= {f"backbone.{name}": value for name, value in state.items()}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    card = json.dumps({"format": FORMAT} | asdict(metric.card), sort_keys=True)
    return bytes(save(stored, {METADATA: card}))  # one key: several come in any order


def load(file: str | Path, *, backbone: Backbone | None = None) -> LpipsComp:
    """The metric in a file that `to_bytes` made, ready to measure.

    backbone : the network that it reads; loaded if it is not given.

    Raises InvalidMetricFile if the file holds none, or was made for other weights of the backbone,
    and BackboneUnavailable where they are not at hand.
    """
    try:
        with safe_open(str(file), "pt") as stored:
            card = _card(stored.metadata() or {}, file)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidMetricFile(f"{file} is no metric's file: {error}") from None
    own = {
        name.removeprefix("backbone."): value
        for name, value in tensors.items()
        if name.startswith("backbone.")
    }
    network = backbone or load_backbone(card.backbone, RANDOM if own else None)
    if own:
        network.load_state_dict(own)
        network.digest = digest_of(network)
    if network.digest != card.backbone_digest:
        raise InvalidMetricFile(
            f"{file} was trained on other weights of {card.backbone} "
            f"({card.backbone_digest[:12]}) than those at hand ({network.digest[:12]})"
        )
    metric = LpipsComp(network, card)
    others = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    try:
        metric.load_state_dict(others | tensors)
    except RuntimeError as error:
        raise InvalidMetricFile(f"{file}: {str(error).splitlines()[-1].strip()}") from None
    return metric.eval().requires_grad_(False)


def _card(metadata: Mapping[str, str], file: str | Path) -> Card:
    if METADATA not in metadata:
        raise InvalidMetricFile(f"{file} is no metric's file: it says nothing of one")
    try:
        told = json.loads(metadata[METADATA])
        if told.pop("format") != FORMAT:
            raise InvalidMetricFile(f"{file} is of another format than {FORMAT}, which is known")
        card = Card(**told)
    except InvalidMetricFile:
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InvalidMetricFile(f"{file} says of its metric what is not known: {error}") from None
    if card.backbone not in BACKBONES:
        raise InvalidMetricFile(f"{file} needs the backbone {card.backbone!r}, which is not known")
    return card
