"""The networks whose features are compared.

A backbone turns pictures into a list of feature maps, the finest first. Which there are, and where
their ImageNet weights come from, is in `BACKBONES`; `load_backbone` makes one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from perceptual.backbones import efficientnet_lite, torchvision_layout
from perceptual.backbones.base import Backbone, BackboneUnavailable, State

RANDOM = "random"
"""Instead of a file of weights: drawn by a seed."""

__all__ = ["BACKBONES", "RANDOM", "Backbone", "BackboneUnavailable", "Source", "load_backbone"]


@dataclass(frozen=True)
class Source:
    """Where a backbone comes from.

    make : the network, its weights not set. packaged : its ImageNet weights as they come inside a
        Python package; None where there is none. address : where torchvision downloads them from.
    """

    label: str
    make: Callable[[], Backbone]
    packaged: Callable[[], Path] | None = None
    address: str = ""

    @property
    def file_name(self) -> str:
        return self.address.rpartition("/")[2]


_DOWNLOADS = "https://download.pytorch.org/models/"

BACKBONES: dict[str, Source] = {
    "efficientnet-lite0": Source(
        "EfficientNet-Lite0",
        efficientnet_lite.EfficientNetLite0,
        packaged=efficientnet_lite.packaged_weights,
    ),
    "vgg16": Source("VGG16", torchvision_layout.Vgg16, address=f"{_DOWNLOADS}vgg16-397923af.pth"),
    "alexnet": Source(
        "AlexNet", torchvision_layout.AlexNet, address=f"{_DOWNLOADS}alexnet-owt-7be5be79.pth"
    ),
    "squeezenet": Source(
        "SqueezeNet 1.1",
        torchvision_layout.SqueezeNet,
        address=f"{_DOWNLOADS}squeezenet1_1-b8a52dc0.pth",
    ),
}


def load_backbone(
    name: str, weights: str | Path | None = None, *, download: bool = False, seed: int = 0
) -> Backbone:
    """A backbone with its weights, frozen and in evaluation mode.

    weights : a file with a state dict (opened with `weights_only`, so it runs no code), `RANDOM`,
        or None: those of ImageNet, from the package that holds them, from the folder that
        CLOSER_BACKBONES names, or from torch's own folder of downloads.
    download : fetch them as torchvision does, where they are not there.
    seed : of random weights (He et al. 2015, equation 14).

    Raises BackboneUnavailable, which says how to get it, and ValueError for a name that is none.
    """
    if name not in BACKBONES:
        raise ValueError(f"there is no backbone {name!r}; there are {', '.join(BACKBONES)}")
    source = BACKBONES[name]
    network = source.make()
    if weights == RANDOM:
        network.draw(torch.Generator().manual_seed(seed))
    else:
        file = Path(weights) if weights else _imagenet_weights(name, download=download)
        try:
            network.take(_read(file))
        except (KeyError, RuntimeError) as error:
            raise BackboneUnavailable(
                f"{file} does not hold weights of {source.label} in the layout that is known: "
                f"{str(error).splitlines()[0]}"
            ) from None
    network.digest = digest_of(network)
    network.requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def digest_of(network: nn.Module) -> str:
    """SHA-256 over a network's parameters and buffers, their names and shapes."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _imagenet_weights(name: str, *, download: bool) -> Path:
    source = BACKBONES[name]
    if source.packaged:
        return source.packaged()
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if own := os.environ.get("CLOSER_BACKBONES"):
        folders.insert(0, Path(own))
    for folder in folders:
        if (folder / source.file_name).is_file():
            return folder / source.file_name
    if download:
        torch.hub.load_state_dict_from_url(source.address, check_hash=True)
        return folders[-1] / source.file_name
    raise BackboneUnavailable(
        f"the ImageNet weights of {source.label} are not on this machine. Put {source.file_name} "
        f"({source.address}) into a folder and name that in CLOSER_BACKBONES, or name the file "
        "itself, or ask for the download; efficientnet-lite0 needs none."
    )


def _read(file: Path) -> State:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BackboneUnavailable(f"{file} cannot be read: {error.strerror}.") from None
    except Exception:  # torch raises what it likes for a file that is none of its own
        raise BackboneUnavailable(f"{file} is no file of weights that torch reads.") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneUnavailable(f"{file} holds no state dict.")
    return state
