"""CompressAI's image models as a program: a picture to a range-coded file, and back.

CompressAI cannot live in Closer's environment (it pins NumPy below 2), so this file imports nothing
of ours and runs in an environment of its own, as a codec declared in TOML (docs/compressai/):

    python -I compressai_program.py encode --model mbt2018-mean --quality 3 PICTURE BITSTREAM
    python -I compressai_program.py decode BITSTREAM PICTURE
    python -I compressai_program.py version --model mbt2018-mean

Weights come from --weights (a state dict, or a folder of them), from --checkpoint (one's own model:
a dict of 'architecture', a class name of compressai.models; 'arguments', those of its constructor;
and 'state_dict'), or else from torch's cache. In a folder a state dict is called what the zoo calls
it or MODEL-METRIC-QUALITY.pth, a checkpoint QUALITY.pth. Nothing is downloaded without --download.

The file, big-endian: 'CLAI'; CRC-32 of all that follows; version (1); model, its place in MODELS
(255: a checkpoint); metric, its place in METRICS; quality, a 32-bit float; the first 8 bytes of the
SHA-256 of the weights and entropy tables; width, height; height, width of the latent (16 bits
each); the number of strings; their lengths (32 bits each); the strings.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import struct
import sys
import warnings
import zlib
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

# Append only: files name a model and a metric by their places here.
MODELS = (
    "bmshj2018-factorized",
    "bmshj2018-hyperprior",
    "mbt2018-mean",
    "mbt2018",
    "cheng2020-anchor",
    "cheng2020-attn",
    "bmshj2018-hyperprior-vbr",
    "mbt2018-mean-vbr",
    "mbt2018-vbr",
)
METRICS = ("mse", "ms-ssim")
CHECKPOINT = 255

MAGIC = b"CLAI"
_START = struct.Struct(">4sI")
_HEADER = struct.Struct(">BBBf8sHHHHB")
_QUALITY = (
    "1 to 8 (cheng2020: 6); of a -vbr model the gain, 0.1 to 1 as trained, any number above 0"
)
_MULTIPLE = 64  # the downsampling of the deepest of these models


class Refused(Exception):
    """What cannot be done, in one line for people."""


# --- an import of CompressAI that needs less ------------------------------------------------------


class _Absent:
    """Any class or decorator of a module that is not there."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __call__(self, decorated: Any) -> Any:
        return decorated


class _StandIns(MetaPathFinder, Loader):
    """Empty modules in the place of those that only CompressAI's data sets, losses and transforms
    of point clouds use, and that it imports all the same. Asked last: a real one goes before."""

    packages = ("pandas", "pytorch_msssim", "requests", "torch_geometric", "torchvision", "tqdm")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self.packages:
            return None
        return ModuleSpec(name, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        def absent(name: str) -> type[_Absent]:
            if name.startswith("__"):
                raise AttributeError(name)
            return _Absent

        module.__getattr__ = absent  # type: ignore[method-assign]  # PEP 562


def prepare() -> None:
    """Import for work in one thread, which is deterministic. Raises Refused if one is missing."""
    for name in ("torch", "compressai"):
        if importlib.util.find_spec(name) is None:
            raise Refused(f"{name} is not installed in {sys.executable}: see docs/compressai")
    warnings.simplefilter("ignore")
    sys.meta_path.append(_StandIns())
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


# --- weights --------------------------------------------------------------------------------------


def zoo_url(model: str, metric: str, quality: float) -> str:
    qualities = _zoo(model).get(metric)
    if qualities is None:
        raise Refused(f"the zoo has no {model} trained for {metric}")
    if isinstance(qualities, str):
        return qualities
    if quality not in qualities:
        raise Refused(f"{model} has the qualities {min(qualities)} to {max(qualities)}")
    return str(qualities[int(quality)])


def _zoo(model: str) -> dict[str, Any]:
    """By metric, the address of its weights; of a fixed-rate model, the addresses by quality."""
    from compressai.zoo import image, image_vbr

    return dict(image.model_urls.get(model) or image_vbr.model_urls[model])


def weights_file(options: argparse.Namespace, model: int, metric: int, quality: float) -> Path:
    """The file that holds the weights; whether it is there is yet to be seen."""
    if model == CHECKPOINT:
        if not options.checkpoint:
            raise Refused("this file was made with a checkpoint: name it by --checkpoint")
        named = Path(options.checkpoint)
        return named / f"{quality:g}.pth" if named.is_dir() else named
    if options.checkpoint:
        raise Refused(f"this file was made with {MODELS[model]}, not with a checkpoint")
    folder = Path(options.weights) if options.weights else _torch_cache()
    if folder.suffix and not folder.is_dir():
        return folder  # a file
    rate = "" if _is_variable(model) else f"-{quality:g}"
    own = folder / f"{MODELS[model]}-{METRICS[metric]}{rate}.pth"
    if own.exists():
        return own
    url = zoo_url(MODELS[model], METRICS[metric], quality)
    path = folder / url.rsplit("/", 1)[1]
    if options.download and not path.exists():
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        digest = path.name.removesuffix(".pth.tar").rsplit("-", 1)[1]
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    return path


def _is_variable(model: int) -> bool:
    return model != CHECKPOINT and MODELS[model].endswith("-vbr")


def _torch_cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def load_model(path: Path, model: int, quality: float) -> tuple[Any, dict[str, Any]]:
    """The model with its entropy tables, ready to code, and what its compress and decompress take
    besides: the gain of a model of variable rate. Raises Refused."""
    import compressai.models
    import torch
    from compressai.zoo import image, image_vbr

    if not path.is_file():
        raise Refused(f"there are no weights at {path}: put them there, or allow --download")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refused(f"{path} holds no weights that can be read safely ({_line(error)})") from None
    if not isinstance(stored, dict):
        raise Refused(f"{path} holds a {type(stored).__name__}, not a dict of weights")
    state = compressai.zoo.load_state_dict(stored.get("state_dict", stored))
    try:
        if model == CHECKPOINT:
            name = stored.get("architecture")
            made = getattr(compressai.models, str(name), None)
            if not (
                isinstance(made, type) and issubclass(made, compressai.models.CompressionModel)
            ):
                raise Refused(f"{path} names no architecture of compressai.models: {name!r}")
            net = made(**stored.get("arguments", {}))
            net.load_state_dict(state)
        else:
            made = (image.model_architectures | image_vbr.model_architectures)[MODELS[model]]
            # As the zoo does it: two of the three models of variable rate vary z's step, too.
            varies = {"vr_entbttlnck": True} if any("gayn2" in key for key in state) else {}
            net = made.from_state_dict(state, **varies)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise Refused(f"the weights in {path} do not fit the model ({_line(error)})") from None
    net.eval()
    if not hasattr(net, "Gain"):
        net.update(force=True)
        return net, {}
    gain = torch.tensor([quality])
    net.update(force=True, **({"scale": gain} if getattr(net, "vr_entbttlnck", False) else {}))
    return net, {"inputscale": gain}


def fingerprint(net: Any) -> bytes:
    """8 bytes that stand for weights and tables: decoding needs those of the encoder."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.digest()[:8]


# --- encode, decode, version ----------------------------------------------------------------------


def encode(options: argparse.Namespace) -> None:
    if not 0 < options.quality < float("inf"):
        raise Refused(f"--quality must be above 0, not {options.quality:g}")
    import numpy as np
    import torch
    from PIL import Image

    prepare()
    model, metric = _model(options), METRICS.index(options.metric)
    with Image.open(options.picture) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    height, width = pixels.shape[:2]
    if max(height, width) > 0xFFFF:
        raise Refused(f"{width}x{height} is too large: a side may have 65535 pixels")
    # As the file keeps it.
    quality = struct.unpack(">f", struct.pack(">f", options.quality))[0]
    net, gain = load_model(weights_file(options, model, metric, quality), model, quality)
    padded = np.pad(pixels, ((0, -height % _MULTIPLE), (0, -width % _MULTIPLE), (0, 0)), "edge")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    coded = net.compress(x, **gain)
    strings, shape = coded["strings"], coded["shape"]
    if isinstance(shape, dict) or not all(len(each) == 1 for each in strings):
        raise Refused("this architecture's strings are of a kind that is not supported here")
    body = _HEADER.pack(
        1,
        model,
        metric,
        quality,
        fingerprint(net),
        width,
        height,
        *(int(side) for side in shape),
        len(strings),
    )
    body += struct.pack(f">{len(strings)}I", *(len(string) for [string] in strings))
    body += b"".join(string for [string] in strings)
    Path(options.bitstream).write_bytes(_START.pack(MAGIC, zlib.crc32(body)) + body)


def decode(options: argparse.Namespace) -> None:
    from PIL import Image

    file = Path(options.bitstream).read_bytes()
    if file[: len(MAGIC)] != MAGIC:
        raise Refused("this is no file of compressai_program.py")
    if len(file) < _START.size + _HEADER.size:
        raise Refused("the file is truncated")
    body = file[_START.size :]
    # The range decoder does not notice broken strings: it reads on, past their ends if need be.
    if zlib.crc32(body) != _START.unpack_from(file)[1]:
        raise Refused("the file is truncated or broken: its checksum is not that of its content")
    format_version, model, metric, quality, made_with, width, height, *shape, count = (
        _HEADER.unpack_from(body)
    )
    if format_version != 1:
        raise Refused(f"the file is of version {format_version}; this program reads version 1")
    if not (model < len(MODELS) or model == CHECKPOINT) or metric >= len(METRICS):
        raise Refused("the file names a model that this program does not know")
    prepare()
    net, gain = load_model(weights_file(options, model, metric, quality), model, quality)
    if fingerprint(net) != made_with:
        raise Refused("the file was made with other weights (or another build of torch) than these")
    lengths = struct.unpack_from(f">{count}I", body, _HEADER.size)
    strings, at = [], _HEADER.size + 4 * count
    for length in lengths:
        strings.append([body[at : at + length]])
        at += length
    x = net.decompress(strings, tuple(shape), **gain)["x_hat"][0, :, :height, :width]
    pixels = (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(options.picture, format="PNG", compress_level=1)


def tell_version(options: argparse.Namespace) -> None:
    """Versions, and a digest of the weights of all qualities: new weights are a new codec.

    Without loading torch, which may take longer than a list of codecs should.
    """
    text = f"compressai {version('compressai')} (torch {version('torch')})"
    if options.model or options.checkpoint:
        found = _all_weights(options)
        digest = hashlib.sha256()
        for path in found:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        text += f", weights {digest.hexdigest()[:12]}"
    sys.stdout.write(text + "\n")


def _all_weights(options: argparse.Namespace) -> list[Path]:
    """The files of all qualities of a model, in their names' order. Raises Refused if none is."""
    where = Path(options.checkpoint or options.weights or _torch_cache())
    if where.is_file():
        return [where]
    files = sorted([*where.glob("*.pth"), *where.glob("*.pth.tar")])
    if not options.checkpoint:
        files = [file for file in files if _is_of(file, options.model, options.metric)]
    if not files:
        raise Refused(f"there are no weights at {where}: put them there, or allow --download")
    return files


def _is_of(file: Path, model: str, metric: str) -> bool:
    """Whether the zoo's name of a file is one of this model's: cheng2020_attn-ms-ssim-1-... is."""
    name = file.name.replace("_", "-")
    bases = {each.removesuffix("-vbr") for each in MODELS}
    base = max((each for each in bases if name.startswith(each)), key=len, default="")
    return (base, "-vbr" in name, "ms-ssim" in name) == (
        model.removesuffix("-vbr"),
        model.endswith("-vbr"),
        metric == "ms-ssim",
    )


def _model(options: argparse.Namespace) -> int:
    if options.checkpoint:
        return CHECKPOINT
    if not options.model:
        raise Refused("name a --model, or a --checkpoint of your own")
    return MODELS.index(options.model)


def _line(error: BaseException) -> str:
    """The first two lines of what an error says, in one: torch says in the second what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    for action, files in (
        (encode, ("picture", "bitstream")),
        (decode, ("bitstream", "picture")),
        (tell_version, ()),
    ):
        one = actions.add_parser(action.__name__.removeprefix("tell_"))
        one.set_defaults(action=action)
        if action is not decode:  # a file says itself what made it
            one.add_argument("--model", choices=MODELS)
            one.add_argument("--metric", choices=METRICS, default="mse")
        if action is encode:
            one.add_argument("--quality", type=float, default=1.0, help=_QUALITY)
        one.add_argument("--weights", metavar="FILE_OR_FOLDER")
        one.add_argument("--checkpoint", metavar="FILE_OR_FOLDER")
        one.add_argument("--download", action="store_true")
        for file in files:
            one.add_argument(file)
    options = parser.parse_args(arguments)
    try:
        options.action(options)
    except (Refused, PackageNotFoundError) as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    except Exception as error:  # whatever torch raises, the one who reads it gets one line
        sys.stderr.write(f"{type(error).__name__}: {_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded
    sys.exit(main())
