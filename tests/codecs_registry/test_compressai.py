"""CompressAI's models as a program, in the environment that CLOSER_COMPRESSAI_PYTHON names (or in
.venv-compressai), with small models of random weights that the tests build there."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecs_registry.codecs.base import DecodeFailed
from codecs_registry.codecs.command_line import CommandLineCodec, read_declaration

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "codecs_registry" / "codecs" / "compressai_program.py"
PYTHON = Path(
    os.environ.get("CLOSER_COMPRESSAI_PYTHON") or ROOT / ".venv-compressai" / "bin" / "python"
)
ARCHITECTURES = ("FactorizedPrior", "ScaleHyperprior")
HEADER = 8 + 24 + 4  # and 4 for each further string

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"{PYTHON} does not exist: docs/add-a-codec.md tells how to make an environment for "
    "CompressAI; CLOSER_COMPRESSAI_PYTHON may name its interpreter",
)

# Runs over there. The weights are random, but scaled so that there is something to code; the
# quantiles are then fitted, as training does, so that the entropy tables hold what occurs.
BUILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import compressai_program
sys.path.pop(0)
compressai_program.prepare()
import numpy, torch
import compressai.models
from PIL import Image
folder, picture = sys.argv[2:]
padded = torch.from_numpy(numpy.array(Image.open(picture))).permute(2, 0, 1)[None] / 255
estimates = {}
for seed, name in enumerate(["FactorizedPrior", "ScaleHyperprior", "OtherHyperprior"]):
    torch.manual_seed(seed)
    architecture = name.replace("Other", "Scale")
    net = getattr(compressai.models, architecture)(8, 12).eval()
    net.g_a[6].weight *= 60
    if architecture == "ScaleHyperprior":
        net.h_a[4].weight *= 30
        net.h_s[4].weight *= 6
        net.h_s[4].bias += 4
    for module in net.modules():
        if hasattr(module, "_update_quantiles"):
            module._update_quantiles()
    coded = net(padded)
    estimates[name] = sum(-float(each.log2().sum()) / 8 for each in coded["likelihoods"].values())
    numpy.save(f"{folder}/{name}.npy", 255 * coded["x_hat"][0].clamp(0, 1).permute(1, 2, 0).numpy())
    checkpoint = {"architecture": architecture, "arguments": {"N": 8, "M": 12}}
    checkpoint["state_dict"] = net.state_dict()
    torch.save(checkpoint, f"{folder}/{name}.pth")
torch.save(net.state_dict(), f"{folder}/bmshj2018-hyperprior-mse-3.pth")
net = compressai.models.MeanScaleHyperpriorVbr(8, 12, vr_entbttlnck=True).eval()
net.g_a[6].weight *= 60
torch.save(net.state_dict(), f"{folder}/mbt2018-mean-vbr-mse.pth")
json.dump(estimates, open(f"{folder}/estimates.json", "w"))
"""

# Also over there: the program's main, once for each line of arguments. Loading torch costs seconds.
SERVE = """
import contextlib, io
print("ready", flush=True)
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = compressai_program.main(json.loads(line))
    print(json.dumps([code, printed.getvalue(), said.getvalue()]), flush=True)
"""


def picture(width: int, height: int) -> Image.Image:
    """Waves with some noise."""
    y, x, colour = np.mgrid[0:height, 0:width, 0:3]
    waves = 128 + 60 * np.sin(x / 17 + colour) + 50 * np.cos(y / 11)
    noise = np.random.default_rng(3).normal(0, 8, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


class Lab:
    """The program over there, and a folder with models, a picture and, in estimates.json, the bytes
    that each model's likelihoods promise for it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of the program with these arguments."""
        self.process.stdin.write(json.dumps([str(each) for each in arguments]) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))

    def works(self, *arguments: object) -> str:
        code, printed, said = self.run(*arguments)
        assert (code, said) == (0, "")
        return printed

    def refusal(self, *arguments: object) -> str:
        """The one line with which the program refuses."""
        code, printed, said = self.run(*arguments)
        assert (code, printed) == (1, "")
        [line] = said.splitlines()
        return line


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    picture(256, 192).save(folder / "waves.png")
    command = [PYTHON, "-I", "-c", BUILD + SERVE, PROGRAM.parent, folder, folder / "waves.png"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield Lab(folder, process)
        process.stdin.close()


@pytest.fixture(scope="module")
def hyperprior_file(lab) -> Path:
    out = lab / "hyperprior.clai"
    lab.works("encode", "--checkpoint", lab / "ScaleHyperprior.pth", lab / "waves.png", out)
    return out


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_file_is_as_large_as_the_models_likelihoods_promise(lab, tmp_path, name):
    out = tmp_path / "waves.clai"
    lab.works("encode", "--checkpoint", lab / f"{name}.pth", lab / "waves.png", out)
    estimate = json.loads((lab / "estimates.json").read_text())[name]
    assert estimate > 500
    assert out.stat().st_size == pytest.approx(HEADER + estimate, rel=0.05)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_decoding_gives_the_models_own_reconstruction(lab, tmp_path, name):
    file, out = tmp_path / "waves.clai", tmp_path / "out.png"
    lab.works("encode", "--checkpoint", lab / f"{name}.pth", lab / "waves.png", file)
    lab.works("decode", "--checkpoint", lab / f"{name}.pth", file, out)
    expected = np.load(lab / f"{name}.npy")
    assert expected.std() > 1
    with Image.open(out) as decoded:
        assert np.abs(np.asarray(decoded) - expected).max() <= 0.51


def test_the_same_picture_and_weights_give_the_same_bytes(lab, tmp_path, hyperprior_file):
    again = tmp_path / "again.clai"
    arguments = ["--checkpoint", lab / "ScaleHyperprior.pth", lab / "waves.png", again]
    subprocess.run([PYTHON, "-I", PROGRAM, "encode", *arguments], check=True)  # in a new process
    assert again.read_bytes() == hyperprior_file.read_bytes()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (65, 33)])
def test_any_size_comes_back(lab, tmp_path, width, height):
    source, file, out = tmp_path / "source.png", tmp_path / "file.clai", tmp_path / "out.png"
    picture(width, height).save(source)
    lab.works("encode", "--checkpoint", lab / "ScaleHyperprior.pth", source, file)
    lab.works("decode", "--checkpoint", lab / "ScaleHyperprior.pth", file, out)
    with Image.open(out) as decoded:
        assert (decoded.size, decoded.mode) == ((width, height), "RGB")


def test_weights_of_the_zoo_are_found_in_a_folder_by_model_and_quality(lab, tmp_path):
    file, out = tmp_path / "file.clai", tmp_path / "out.png"
    zoo = ["--model", "bmshj2018-hyperprior", "--weights", lab.folder]
    assert "weights" in lab.works("version", *zoo)
    lab.works("encode", *zoo, "--quality", 3, lab / "waves.png", file)
    lab.works("decode", "--weights", lab.folder, file, out)
    with Image.open(out) as decoded:
        assert decoded.size == (256, 192)
    missing = lab.refusal("encode", *zoo, "--quality", 4, lab / "waves.png", tmp_path / "none.clai")
    assert "there are no weights at" in missing
    assert not (tmp_path / "none.clai").exists()


def test_a_model_of_variable_rate_has_a_knob_in_fractions(lab, tmp_path):
    file, out = tmp_path / "file.clai", tmp_path / "out.png"
    zoo = ["--model", "mbt2018-mean-vbr", "--weights", lab.folder]
    sizes = []
    for gain in (0.1, 0.1234, 0.5, 1):
        lab.works("encode", *zoo, "--quality", gain, lab / "waves.png", file)
        lab.works("decode", "--weights", lab.folder, file, out)
        sizes.append(file.stat().st_size)
    assert sizes == sorted(set(sizes))


def test_other_weights_than_the_encoders_are_refused(lab, tmp_path, hyperprior_file):
    other = lab / "OtherHyperprior.pth"
    line = lab.refusal("decode", "--checkpoint", other, hyperprior_file, tmp_path / "out.png")
    assert "other weights" in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("break_", ["flipped", "truncated", "foreign", "empty"])
def test_a_broken_file_is_refused_in_one_line(lab, tmp_path, hyperprior_file, break_):
    whole = hyperprior_file.read_bytes()
    content, complaint = {
        "flipped": (whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:], "checksum"),
        "truncated": (whole[: len(whole) // 2], "truncated"),
        "foreign": (b"\x89PNG" + whole, "no file of"),
        "empty": (b"", "no file of"),
    }[break_]
    broken = tmp_path / "broken.clai"
    broken.write_bytes(content)
    checkpoint = lab / "ScaleHyperprior.pth"
    line = lab.refusal("decode", "--checkpoint", checkpoint, broken, tmp_path / "out.png")
    assert complaint in line


def test_what_is_no_checkpoint_is_refused(lab, tmp_path):
    (tmp_path / "text.pth").write_text("not weights")
    line = lab.refusal(
        "encode", "--checkpoint", tmp_path / "text.pth", lab / "waves.png", tmp_path / "x"
    )
    assert "no weights that can be read safely" in line


def test_the_version_changes_with_the_weights_of_the_model_and_with_no_others(lab, tmp_path):
    zoo = ["version", "--model", "mbt2018", "--weights", tmp_path]
    assert "there are no weights" in lab.refusal(*zoo)
    (tmp_path / "mbt2018-1-3f36cd77.pth.tar").write_bytes(b"one")
    first = lab.works(*zoo)
    for other in (
        "mbt2018-mean-1-e522738d",
        "mbt2018-mse-vbr-f12581a1",
        "mbt2018-ms-ssim-1-2878436b",
        "cheng2020_attn-mse-1-465f2b64",
    ):
        (tmp_path / f"{other}.pth.tar").write_bytes(b"other")
    assert lab.works(*zoo) == first
    (tmp_path / "mbt2018-2-43b70cdd.pth.tar").write_bytes(b"two")
    assert lab.works(*zoo) != first


# --- as a codec declared in TOML -----------------------------------------------------------------


def declared(folder: Path, name: str, weights: Path) -> CommandLineCodec:
    """The codec of a ready file in docs/compressai, with the paths of this machine."""
    text = (ROOT / "docs" / "compressai" / f"{name}.toml").read_text()
    text = text.replace("/closer/.venv-compressai/bin/python", str(PYTHON.absolute()))
    text = text.replace("/closer", str(ROOT)).replace("/weights", str(weights))
    (folder / "codec.toml").write_text(text)
    return CommandLineCodec(read_declaration(folder / "codec.toml"))


def test_the_ready_toml_makes_a_codec(lab, tmp_path):
    codec = declared(tmp_path, "mbt2018-mean-vbr", lab.folder)
    assert codec.unavailable() == ""
    assert "compressai 1.2" in codec.version()
    pixels = np.ascontiguousarray(picture(65, 33))
    bitstream = codec.encode(pixels, 0.3)
    assert codec.decode(bitstream).shape == pixels.shape
    with pytest.raises(DecodeFailed, match="checksum"):
        codec.decode(bitstream[:-1])


def test_a_codec_without_its_weights_is_not_available_and_says_where_they_belong(tmp_path):
    codec = declared(tmp_path, "mbt2018-mean", tmp_path / "nowhere")
    assert "there are no weights at" in codec.unavailable()
    assert "docs/add-a-codec.md" in codec.unavailable()
