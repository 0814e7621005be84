"""Training the learned codec: it begins well, gets better, and goes on after it was stopped."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pytorch_msssim import ms_ssim
from skimage import data

from perceptual.codec import exact
from perceptual.codec.beginning import MIXED, begin, begin_probabilities
from perceptual.codec.network import FAMILY, CodecNetwork, along_rate, bits_of, log_size
from perceptual.codec.training import held_out_pictures
from perceptual.codec.training.flat import Flat
from perceptual.codec.training.held_out_pictures import Reconstruction, Shown
from perceptual.codec.training.ms_ssim import weighted_ms_ssim
from perceptual.codec.training.objective import terms_of
from perceptual.codec.training.optimiser import LINEAR, kind_of, orthogonal
from perceptual.codec.training.pictures import (
    Photographs,
    digest_of,
    held_out,
    photographs,
    read,
)
from perceptual.codec.training.run import Stopped
from perceptual.codec.training.settings import CannotTrain, Objective, Progress, Settings
from perceptual.codec.training.train_codec import train
from perceptual.metric import Metric
from tests.perceptual.codecs import SMALL, as_tensor, photograph

ROOT = Path(__file__).parents[2]
QUICK = Settings(
    steps=6, batch=2, crop=64, warm_up=2, held_out=1, watched_every=3, bf16=False, averaged_over=5
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee", "chelsea"):
        picture = getattr(data, name)()
        Image.fromarray(picture[:256, :256]).save(folder / f"{name}.png")
    Image.fromarray(data.astronaut()[256:, 256:]).save(folder / "hand.png")
    return folder


def state(network: CodecNetwork) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


def test_it_begins_as_a_transform_codec() -> None:
    torch.manual_seed(0)
    network = CodecNetwork()
    crops = as_tensor(photograph()).unfold(2, 32, 16).unfold(3, 32, 16)
    begin(network, crops[0].permute(1, 2, 0, 3, 4).flatten(0, 1), seed=0)
    rate = along_rate(torch.tensor([math.log(0.05)]))
    with torch.no_grad():
        coded = network(as_tensor(photograph()), rate, is_rounded=True)
    mse = float((coded.picture - as_tensor(photograph())).square().mean())
    assert -10 * math.log10(mse) > 30
    assert float(coded.bits[0]) / 256**2 < 2.5


def test_its_probabilities_begin_as_those_of_independent_values() -> None:
    torch.manual_seed(0)
    network = CodecNetwork(SMALL)
    crops = as_tensor(photograph()).unfold(2, 128, 16).unfold(3, 128, 16)
    crops = crops[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
    begin(network, crops, seed=0)
    begin_probabilities(network, crops, seed=0)
    price = 0.02
    rate = along_rate(torch.tensor([math.log(price)]))
    with torch.no_grad():
        coded = network(crops, rate.expand(len(crops), -1), is_rounded=True)
        y, _ = network.analysed(crops, rate.expand(len(crops), -1))
        for part, bits in zip(network.split(y), coded.latent_bits, strict=True):
            scale = part.square().mean((0, 2, 3), keepdim=True).sqrt()
            width = network.steps_of_rate(rate)
            alone = bits_of((part / width).round(), (scale / width).log2())
            assert float(bits.mean()) == pytest.approx(float(alone.mean()), rel=0.02)


def test_at_most_strides_each_latent_begins_as_one_of_four_blocks() -> None:
    torch.manual_seed(0)
    network = CodecNetwork()
    crops = as_tensor(photograph()).unfold(2, 32, 16).unfold(3, 32, 16)
    begin(network, crops[0].permute(1, 2, 0, 3, 4).flatten(0, 1), seed=0)
    of_blocks = network.analysis.to_coarse.weight[:, :, 0, 0].reshape(-1, 128, 4).abs().sum(1)
    mixed = FAMILY * MIXED
    shown = (of_blocks[mixed:] > 0).float()
    torch.testing.assert_close(shown, torch.eye(4).repeat(len(shown) // 4, 1))
    assert torch.all(of_blocks[:mixed] > 0)


@given(st.integers(-(2**18), 2**18))
def test_sizes_are_about_logarithms_and_the_same_in_whole_numbers(value: int) -> None:
    told, of_double = log_size(torch.tensor([value, 2 * value]) / 2**14).tolist()
    exactly = float(exact._log_size(torch.tensor([value]).double())) / 2**14
    assert 0 <= told - exactly < 2**-14 + 1e-6
    assert told == float(log_size(torch.tensor([-value / 2**14])))
    if 2**9 <= abs(value) <= 2**13:
        assert 0.43 < of_double - told < 0.5


@pytest.mark.parametrize(("rows", "columns"), [(8, 72), (40, 16), (12, 12)])
def test_orthogonal_steps_go_along_all_directions_of_a_gradient_alike(
    rows: int, columns: int
) -> None:
    left, strengths, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)), full_matrices=False
    )
    strengths = torch.logspace(0, -2, len(strengths))
    step = orthogonal(left @ strengths.diag() @ right)
    along = left.T @ step @ right.T
    assert torch.all((along.diagonal() > 0.6) & (along.diagonal() < 1.3))
    torch.testing.assert_close(along, along.diagonal().diag(), atol=1e-4, rtol=0)


def test_parameters_lie_together_by_how_they_are_learned() -> None:
    network = CodecNetwork(SMALL)
    named = {id(each): name for name, each in network.named_parameters()}
    flat = Flat(network, kind_of)
    assert sum(len(parts) for parts in flat.parts.values()) == len(named)
    assert {named[id(each)] for _, each in flat.parts[LINEAR]} == {
        f"{side}.{layer}.{kind}"
        for side, layers in (
            ("analysis", ("enter", "to_middle", "to_coarse")),
            ("synthesis", ("to_middle", "to_fine", "leave")),
        )
        for layer in layers
        for kind in ("weight", "bias")
    }
    for kind, parts in flat.parts.items():
        whole = flat.all_of(kind)
        assert sum(each.numel() for _, each in parts) == whole.stop - whole.start
    for part, each in (at for parts in flat.parts.values() for at in parts):
        assert each.data.data_ptr() == flat.values[part].data_ptr()


def test_training_makes_the_loss_smaller(folder: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    settings = Settings(
        steps=60, batch=2, crop=64, warm_up=5, held_out=1, watched_every=30, learning_rate=2e-3
    )
    train([folder], settings, folder=tmp_path, shape=SMALL, tell=told.append)
    first, last = (each for each in told if each.watched)
    assert _loss(last) < _loss(first)


def _loss(told: Progress) -> float:
    """Of what is held out, over all its lambdas."""
    return sum(
        (each.bpp + each.price * 255**2 * 10 ** (-each.psnr / 10)) / each.price**0.5
        for each in told.watched
    )


def test_a_stopped_training_goes_on_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    def stop_after_two(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train([folder], QUICK, folder=tmp_path / "whole", shape=SMALL)
    kept: list[int] = []
    with pytest.raises(Stopped):
        train(
            *([folder], QUICK),
            folder=tmp_path / "parts",
            shape=SMALL,
            tell=stop_after_two,
            keep=lambda network, step: kept.append(step),
        )
    assert kept
    parts = train([folder], QUICK, folder=tmp_path / "parts", shape=SMALL)
    assert state(parts) == state(whole)


def test_a_finished_training_goes_on_with_more_steps_and_another_objective(
    folder: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    train([folder], QUICK, folder=tmp_path, shape=SMALL)
    more = Settings(
        objective=Objective(charbonnier_weight=1.0),
        **{name: getattr(QUICK, name) for name in ("batch", "crop", "held_out", "bf16")},
        steps=9,
    )
    train([folder], more, folder=tmp_path, shape=SMALL, tell=told.append)
    assert [each.step for each in told] == [9]


IN_TWO_PROCESSES = """
import hashlib, sys
from pathlib import Path
from perceptual.codec.training.train_codec import train
from perceptual.training import distributed
from tests.perceptual.codecs import SMALL
from tests.perceptual.test_codec_training import QUICK, state
distributed.begin()
network = train([Path(sys.argv[1])], QUICK, folder=Path(sys.argv[2]), shape=SMALL)
print(distributed.count(), hashlib.sha256(state(network)).hexdigest())
distributed.end()
"""


def test_two_processes_end_with_one_codec(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(IN_TWO_PROCESSES)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = subprocess.run(
        [sys.executable, *launcher, str(script), str(folder), str(tmp_path / "work")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.split("\n")[:2]
    assert first == second
    assert first.startswith("2 ")


def test_broken_checkpoints_are_begun_anew(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    told: list[Progress] = []
    train([folder], QUICK, folder=tmp_path, shape=SMALL, tell=told.append)
    assert told[0].step == 3


# Pictures held out.


def test_some_pictures_held_out_are_kept_as_the_codec_leaves_them(
    folder: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    train([folder], QUICK, folder=tmp_path, shape=SMALL, tell=told.append)
    first, last = held_out_pictures.watchings(tmp_path)
    assert (first.step, last.step) == (3, 6)
    [shown] = last.pictures
    original = np.asarray(Image.open(last.file(1, "original")))
    assert np.array_equal(original, np.asarray(Image.open(folder / shown.name)))
    # The one picture is all that is held out: its numbers are those that were told.
    numbers = [(each.price, each.bpp, each.psnr) for each in told[-1].watched]
    made = [(each.price, each.bpp, each.psnr) for each in shown.reconstructions]
    assert np.allclose(numbers, made)
    for place, each in enumerate(shown.reconstructions, start=1):
        file = last.file(1, str(place))
        assert file is not None
        error = (np.asarray(Image.open(file)) / 255.0 - original / 255.0) ** 2
        # Rounded to whole levels.
        assert -10 * math.log10(error.mean()) == pytest.approx(each.psnr, abs=0.1)


def shown_at(work: Path, step: int, *, level: int = 0) -> None:
    picture = np.full((20, 30, 3), level, np.uint8)
    about = Shown("grey.png", 30, 20, 30, 20, (Reconstruction(0.01, 0.5, 30.0),))
    held_out_pictures.write(work, step, [about], [[picture, picture]])


def test_those_of_the_first_and_of_the_last_two_watchings_stay(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        shown_at(tmp_path, step)
    assert [each.step for each in held_out_pictures.watchings(tmp_path)] == [2, 8, 10]
    # It went back to a checkpoint.
    shown_at(tmp_path, 8, level=9)
    found = held_out_pictures.watchings(tmp_path)
    assert [each.step for each in found] == [2, 8]
    assert np.asarray(Image.open(found[-1].file(1, "1"))).max() == 9
    held_out_pictures.forget(tmp_path, since=1)
    assert held_out_pictures.watchings(tmp_path) == []
    assert list((tmp_path / held_out_pictures.FOLDER).iterdir()) == []


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    assert held_out_pictures.watchings(tmp_path) == []
    for step in (1, 2, 3):
        shown_at(tmp_path, step)
    first, second, third = (
        each.folder / "about.json" for each in held_out_pictures.watchings(tmp_path)
    )
    first.write_text(first.read_text()[:-9])
    second.write_text(second.read_text().replace("30.0", "NaN"))
    (tmp_path / held_out_pictures.FOLDER / "step-none").mkdir()
    assert [each.step for each in held_out_pictures.watchings(tmp_path)] == [3]
    third.unlink()
    assert held_out_pictures.watchings(tmp_path) == []


@given(height=st.integers(1, 900), width=st.integers(1, 900))
def test_what_is_shown_is_around_the_middle(height: int, width: int) -> None:
    at = np.zeros((height, width, 3), np.uint8)
    at[height // 2, width // 2] = 1
    part = held_out_pictures.middle(at)
    assert part.shape == (min(height, 384), min(width, 384), 3)
    [row], [column] = (set(each.tolist()) for each in np.nonzero(part)[:2])
    assert abs(row - part.shape[0] // 2) <= 1
    assert abs(column - part.shape[1] // 2) <= 1


# What counts.


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.5])
def test_ms_ssim_without_weights_is_that_of_a_library(noise: float) -> None:
    picture = as_tensor(photograph(203))
    other = (picture + noise * torch.randn(picture.shape)).clamp(0, 1)
    for window in (7, 11):
        known = ms_ssim(picture, other, data_range=1.0, size_average=False, win_size=window)
        for weights in (None, torch.full_like(picture[:, :1], 0.3)):
            found = weighted_ms_ssim(picture, other, weights, window=window)
            torch.testing.assert_close(found, known, atol=2e-5, rtol=0)


def test_ms_ssim_sees_errors_where_the_weights_are() -> None:
    picture = as_tensor(photograph(256))
    other = picture.clone()
    other[..., :128] = (other[..., :128] + 0.1 * torch.randn(other[..., :128].shape)).clamp(0, 1)
    there, elsewhere = torch.full_like(picture[:, :1], 0.01), torch.full_like(picture[:, :1], 0.01)
    there[..., :128] = elsewhere[..., 128:] = 1.0
    of_all, of_errors, of_others = (
        float(weighted_ms_ssim(picture, other, weights)) for weights in (None, there, elsewhere)
    )
    assert of_errors < of_all < of_others
    assert of_others > 0.97


def test_ms_ssim_of_opposites_has_a_finite_gradient() -> None:
    picture = as_tensor(photograph(128))
    other = (1 - picture).requires_grad_()
    weighted_ms_ssim(picture, other, None).sum().backward()
    assert other.grad is not None
    assert torch.isfinite(other.grad).all()


def coded_like(picture: torch.Tensor) -> tuple[CodecNetwork, torch.Tensor]:
    torch.manual_seed(0)
    return CodecNetwork(SMALL), along_rate(torch.full((len(picture),), math.log(0.01)))


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(ms_ssim_weight=100),
        Objective(charbonnier_weight=1),
        Objective(metric="closer-lpips-comp", metric_weight=100),
        Objective(mse_weight=0, ms_ssim_weight=100),
    ],
    ids=["mse", "ms-ssim", "charbonnier", "metric", "ms-ssim alone"],
)
def test_each_term_has_a_finite_gradient_and_is_zero_for_the_picture_itself(
    objective: Objective,
) -> None:
    picture = as_tensor(photograph(128))
    network, rate = coded_like(picture)
    metric = Metric.load(objective.metric) if objective.metric else None
    prices = torch.tensor([0.01])
    coded = network(picture, rate)
    terms = terms_of(objective, coded, picture, prices, metric)
    terms.loss.sum().backward()
    gradient = network.synthesis.leave.weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0
    shown = type(coded)(picture, coded.bits.detach(), coded.latent_bits)
    same = terms_of(objective, shown, picture, prices, metric)
    assert same.loss.tolist() == pytest.approx((same.bpp / 0.1).tolist(), rel=1e-4)


def test_errors_count_by_their_place() -> None:
    picture = as_tensor(photograph(128))
    network, rate = coded_like(picture)
    with torch.no_grad():
        coded = network(picture, rate)
    wrong = picture.clone()
    wrong[:, :, :64] += 0.1
    shown = type(coded)(wrong, coded.bits, coded.latent_bits)
    above, below = torch.full((1, 1, 128, 128), 0.5), torch.full((1, 1, 128, 128), 0.5)
    above[:, :, :64], below[:, :, 64:] = 1.5, 1.5
    losses = [
        float(terms_of(Objective(), shown, picture, torch.tensor([0.01]), None, weights).loss)
        for weights in (above, below)
    ]
    assert losses[0] > losses[1]


# Pictures.


def test_crops_are_parts_of_pictures_and_drawn_again_the_same(folder: Path) -> None:
    pictures = Photographs([read(file) for file in photographs([folder])], 64)
    first, second = (pictures.draw(20, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (20, 3, 64, 64)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_maps_go_with_their_crops() -> None:
    picture = torch.randint(0, 256, (1, 400, 400), dtype=torch.uint8).repeat(4, 1, 1)
    crops, mean = Photographs([picture], 64).draw(30, torch.Generator().manual_seed(0))
    # But where another picture was painted.
    alike = (crops[:, 0] - crops[:, 3]).abs().amax((1, 2)) < 1e-5
    assert int(alike.sum()) >= 25
    assert mean.tolist() == pytest.approx([float(picture.float().mean()) / 255] * 30)


def test_what_is_held_out_depends_on_names_and_seed_alone(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(30)]
    split = [held_out([Path(at) / name for name in names], 5, seed=0) for at in ("a", "b")]
    assert [file.name for file in split[0][1]] == [file.name for file in split[1][1]]
    assert not set(split[0][0]) & set(split[0][1])
    other = held_out([Path("a") / name for name in names], 5, seed=1)
    assert other[1] != split[0][1]


def test_pictures_are_known_by_their_pixels_in_any_order(folder: Path) -> None:
    pictures = [read(file) for file in photographs([folder])]
    assert digest_of(pictures) == digest_of(pictures[::-1])
    assert digest_of(pictures) != digest_of(pictures[1:])
    pictures[0][0, 0, 0] ^= 1
    assert digest_of(pictures) != digest_of([read(file) for file in photographs([folder])])


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"crop": 100}, "multiple of 64"),
        ({"held_out": 0}, "held_out must be"),
    ],
)
def test_settings_that_cannot_be_are_refused(wanted: dict[str, int], complaint: str) -> None:
    with pytest.raises(CannotTrain, match=complaint):
        Settings(**wanted)


@pytest.mark.parametrize(
    ("objective", "complaint"),
    [
        ({"metric": "dists"}, "a weight needs a metric"),
        ({"mse_weight": -1.0}, "0 or more"),
        ({"mse_weight": 0.0}, "one above 0"),
        ({"saliency_floor": 0.0}, "above 0"),
    ],
)
def test_objectives_that_cannot_be_are_refused(
    objective: dict[str, object], complaint: str
) -> None:
    with pytest.raises(CannotTrain, match=complaint):
        Objective(**objective)  # type: ignore[arg-type]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotTrain, match="there is no picture under"):
        train([tmp_path], QUICK, folder=tmp_path)
    with pytest.raises(CannotTrain, match="is no folder"):
        train([tmp_path / "none"], QUICK, folder=tmp_path)


def test_a_metric_without_a_gradient_is_refused(folder: Path, tmp_path: Path) -> None:
    settings = Settings(objective=Objective(metric="nonsense", metric_weight=1.0), held_out=1)
    with pytest.raises(CannotTrain, match="there is no metric 'nonsense'"):
        train([folder], settings, folder=tmp_path)
