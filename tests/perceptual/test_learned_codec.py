"""The learned codec: what it decodes is what was coded, on every machine, or it says why not."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptual.codec import container, exact, tiles
from perceptual.codec.card import (
    GREATEST_PRICE,
    HIGHEST_LAMBDA,
    LEAST_PRICE,
    LOWEST_LAMBDA,
    Card,
    InvalidModel,
)
from perceptual.codec.container import BadBitstream
from perceptual.codec.exact import BITS, HIGHEST_RATE, LEVELS, ONE, ExactEntropy, NotExact
from perceptual.codec.importance import importance_of, weights_of
from perceptual.codec.model import LearnedCodec
from perceptual.codec.network import KNOTS, CodecNetwork, along_rate, bits_of, places_of_steps
from perceptual.codec.symbols import TOTAL, BadSymbols, Reader, Tables, Writer, make_counts
from tests.perceptual.codecs import (
    SMALL,
    as_tensor,
    photograph,
    small_codec,
    small_file,
    small_network,
)

ROOT = Path(__file__).parents[2]
prices = st.floats(math.log(LEAST_PRICE), math.log(GREATEST_PRICE)).map(
    lambda at: min(max(math.exp(at), LEAST_PRICE), GREATEST_PRICE)
)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


# There and back.


@settings(max_examples=20)
@given(
    height=st.integers(1, 140),
    width=st.integers(1, 140),
    price=prices,
    is_noise=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_picture_at_any_rate_comes_back_in_its_size_and_again_the_same(
    height: int, width: int, price: float, is_noise: bool, seed: int
) -> None:
    codec = small_codec()
    pixels = noise(height, width, seed) if is_noise else photograph()[:height, :width].copy()
    data = codec.encode(pixels, price)
    assert codec.encode(pixels, price) == data
    decoded = codec.decode(data)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == np.uint8
    assert np.array_equal(codec.decode(data), decoded)


def test_what_is_decoded_is_what_the_network_makes_of_the_rounded_values() -> None:
    network = small_network().half().float()
    codec = LearnedCodec(Card("small", SMALL, thrift=0.0), _tensors(small_file()))
    for price in (0.001, 0.02, 0.2):
        rate = along_rate(torch.tensor([math.log(price)]))
        with torch.no_grad():
            coded = network(as_tensor(photograph()), rate, is_rounded=True)
        data = codec.encode(photograph(), price)
        decoded = codec.decode(data)
        wanted = coded.picture[0].clamp(0, 1).mul(255).permute(1, 2, 0).numpy()
        # Now and then a value that lies between two is rounded the other way.
        assert np.abs(decoded - wanted).mean() < 1.0
        assert abs(psnr_db(decoded, photograph()) - psnr_db(wanted, photograph())) < 0.1
        bits = 8 * (len(data) - container.SIZE)
        assert bits == pytest.approx(float(coded.bits[0]), rel=0.02)


def test_more_bits_make_a_better_picture() -> None:
    codec = small_codec()
    prices = (0.0001, 0.0008, 0.005, 0.03, 0.2, 0.8, 3.2)
    files = [codec.encode(photograph(), price) for price in prices]
    assert sorted(map(len, files)) == list(map(len, files))
    quality = [psnr_db(codec.decode(data), photograph()) for data in files]
    assert quality == sorted(quality)


def test_thrift_saves_more_than_it_costs() -> None:
    """Beside a smaller lambda, which saves as much."""
    tensors = _tensors(small_file())
    plain, thrifty = (
        LearnedCodec(Card("small", SMALL, thrift=thrift), tensors) for thrift in (0.0, 0.25)
    )
    data = thrifty.encode(photograph(), 0.01)
    assert len(data) < len(plain.encode(photograph(), 0.01))
    others = (plain.encode(photograph(), price) for price in np.geomspace(0.01, 0.001, 60))
    cheaper = next(other for other in others if len(other) <= len(data))
    kept, lost = (psnr_db(plain.decode(each), photograph()) for each in (data, cheaper))
    assert kept > lost


IN_ANOTHER_PROCESS = """
import hashlib, sys
from pathlib import Path
from perceptual.codec.model import LearnedCodec
codec = LearnedCodec.load(sys.argv[1])
print(hashlib.sha256(codec.decode(Path(sys.argv[2]).read_bytes()).tobytes()).hexdigest())
"""


def test_another_process_decodes_the_same(tmp_path: Path) -> None:
    import hashlib

    model, data = tmp_path / "model.safetensors", tmp_path / "picture.clo"
    model.write_bytes(small_file())
    codec = LearnedCodec.load(model)
    data.write_bytes(codec.encode(photograph(), 0.02))
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(model), str(data)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    decoded = codec.decode(data.read_bytes())
    assert run.stdout.strip() == hashlib.sha256(decoded.tobytes()).hexdigest()


# Whole numbers.


def test_convolutions_are_exact_whatever_the_order_of_their_sums() -> None:
    network = small_network()
    chance = torch.Generator().manual_seed(1)
    x = torch.randint(-(2**20), 2**20, (SMALL.hyper, 5, 7), generator=chance)
    conv = network.hyper_synthesis.enter
    found = exact._Conv(conv, "enter")(x.double())
    weight, bias = exact.whole(conv.weight).long().numpy(), exact.whole(conv.bias).long().numpy()
    around = np.pad(x.numpy(), ((0, 0), (1, 1), (1, 1)))
    for i, j in ((0, 0), (2, 3), (4, 6)):
        part = around[:, i : i + 3, j : j + 3]
        total = (weight * part).sum((1, 2, 3)) + (bias << BITS)
        wanted = ((total + ONE // 2) >> BITS).clip(-exact.LARGEST, exact.LARGEST)
        assert found[:, i, j].long().tolist() == wanted.tolist()


@settings(max_examples=10)
@given(rate=st.integers(0, HIGHEST_RATE))
def test_whole_numbers_say_what_the_network_says(rate: int) -> None:
    network = small_network().half().float()
    entropy = ExactEntropy(network, exact.exact_widths(network))
    shares = exact.shares_of(rate)
    h = torch.randn(1, SMALL.hyper, 2, 2, generator=torch.Generator().manual_seed(rate))
    with torch.no_grad():
        state = network.hyper_synthesis(h, shares)
        width = network.steps_of_rate(shares)
    exact_state = entropy.begin(exact.whole(h[0]), rate)
    assert torch.allclose(entropy.width(rate).float() / ONE, width[0], rtol=2e-3, atol=1e-4)
    decoded: list[torch.Tensor] = []
    exactly: list[torch.Tensor] = []
    for number, step in enumerate(network.steps):
        with torch.no_grad():
            state, mean, log2_scale = step(state, decoded, shares)
            log2_scale -= network.log2_step(shares)
        exact_state, told = entropy.step(number, exact_state, exactly, rate)
        assert torch.allclose(exact_state.float() / ONE, state[0], atol=8e-3)
        assert torch.allclose(told.mean.float() / ONE, mean[0], atol=8e-3)
        level = (log2_scale[0] - exact.FIRST_LOG2_SCALE) * exact.LEVELS_AN_OCTAVE + 1
        assert float((told.level - level.clamp(0, LEVELS - 1)).abs().max()) < 0.65
        exactly.append(told.mean + torch.sign(told.mean) * entropy.width(rate))
        decoded.append((exactly[-1].float() / ONE)[None])


def test_weights_too_large_for_exact_sums_are_refused() -> None:
    network = small_network()
    with torch.no_grad():
        network.steps[1].mix.weight[0] = 1e6
    with pytest.raises(NotExact, match=r"steps\.1\.mix"):
        ExactEntropy(network, exact.exact_widths(network))


def test_all_places_of_all_channels_are_decoded_once() -> None:
    places = places_of_steps(12)
    assert sorted(places.flatten().tolist()) == list(range(48))
    for step in places:  # in one step, each group of channels shows another place of the 2x2
        assert {int(place % 4) for place in step} == {0, 1, 2, 3}
    network = CodecNetwork(SMALL)
    y = torch.randn(2, SMALL.coarse, 4, 6)
    assert torch.equal(network.join(network.split(y)), y)


# Values to bits.


def test_counts_are_those_of_a_normal_distribution() -> None:
    for level, counts in enumerate(make_counts(), 1):
        assert counts.min() >= 1
        assert int(counts[0] + 2 * counts[1:-1].sum() + counts[-1]) == TOTAL
        scale = exact.FIRST_LOG2_SCALE + (level - 1) / exact.LEVELS_AN_OCTAVE
        values = torch.arange(4.0)[: len(counts) - 1]
        bits = bits_of(values, torch.tensor(scale))
        sure = bits < 10
        found = -np.log2(counts[: len(values)] / TOTAL)
        assert found[sure.numpy()] == pytest.approx(bits[sure].numpy(), abs=0.02)


TABLES = Tables(make_counts())


@given(
    values=st.lists(
        st.one_of(st.integers(-3, 3), st.integers(-(2**20), 2**20)), min_size=1, max_size=60
    ),
    data=st.data(),
)
def test_values_of_all_levels_come_back(values: list[int], data: st.DataObject) -> None:
    levels = np.array(
        data.draw(st.lists(st.integers(0, LEVELS - 1), min_size=len(values), max_size=len(values)))
    )
    symbols = np.where(levels > 0, values, 0).astype(np.int32)
    writer = Writer(TABLES)
    writer.write(symbols, levels)
    writer.write(symbols[::-1].copy(), levels[::-1].copy())
    reader = Reader(TABLES, writer.bytes())
    assert reader.read(levels).tolist() == symbols.tolist()
    assert reader.read(levels[::-1].copy()).tolist() == symbols[::-1].tolist()
    reader.finish()


@given(words=st.lists(st.integers(0, 2**32 - 1), max_size=40))
def test_bits_that_no_encoder_made_end_in_values_or_an_error(words: list[int]) -> None:
    reader = Reader(TABLES, np.array(words, "<u4").tobytes())
    try:
        values = reader.read(np.arange(LEVELS).repeat(3))
    except BadSymbols:
        return
    assert len(values) == 3 * LEVELS


def test_the_number_of_threads_changes_nothing_and_is_as_before() -> None:
    codec, before = small_codec(), torch.get_num_threads()
    made = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            data = codec.encode(photograph(), 0.02)
            made.append((data, codec.decode(data).tobytes()))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]


# What is refused.


def test_any_altered_byte_is_told() -> None:
    codec = small_codec()
    data = codec.encode(photograph()[:40, :50].copy(), 0.05)
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << (at % 8)
        with pytest.raises(BadBitstream):
            codec.decode(bytes(altered))


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_told(cut: float) -> None:
    codec = small_codec()
    data = codec.encode(photograph()[:40, :50].copy(), 0.05)
    with pytest.raises(BadBitstream):
        codec.decode(data[: int(cut * len(data))])


@settings(max_examples=30)
@given(coded=st.binary(max_size=400), width=st.integers(1, 200), height=st.integers(1, 200))
def test_a_forged_file_ends_in_a_picture_or_an_error(coded: bytes, width: int, height: int) -> None:
    codec = small_codec()
    data = container.write(container.Header(codec.digest, width, height, 4000), coded)
    with contextlib.suppress(BadBitstream):
        assert codec.decode(data).shape == (height, width, 3)


def test_a_few_bytes_cannot_ask_for_all_memory() -> None:
    codec = small_codec()
    forged = container.write(container.Header(codec.digest, 65535, 65535, 0), b"")
    with pytest.raises(BadBitstream, match="65535 x 65535 pixels are more"):
        codec.decode(forged)


def test_a_file_of_another_model_says_so() -> None:
    data = small_codec(0).encode(photograph(), 0.01)
    with pytest.raises(BadBitstream, match="another model"):
        small_codec(1).decode(data)


def test_a_file_of_another_version_says_so() -> None:
    data = bytearray(small_codec().encode(photograph(), 0.01))
    data[3] = 9
    with pytest.raises(BadBitstream, match="version 9"):
        small_codec().decode(bytes(data))


def test_a_files_head_is_as_documented() -> None:
    codec = small_codec()
    data = codec.encode(photograph()[:100, :70].copy(), LOWEST_LAMBDA)
    assert data[:4] == b"CLO\x01"
    assert data[4:8].hex() == codec.digest[:8]
    assert [int.from_bytes(data[at : at + 2], "little") for at in (8, 10, 12)] == [70, 100, 0]
    assert int.from_bytes(data[14:18], "little") == zlib.crc32(data[:14] + data[18:])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "no codec's file"), (b"no model" * 40, "no codec's file")],
)
def test_a_file_without_a_codec_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(InvalidModel, match=complaint):
        LearnedCodec.load(file)


def test_a_metrics_file_is_no_codec() -> None:
    from perceptual.metric import BUNDLED_FILE

    with pytest.raises(InvalidModel, match="says nothing of one"):
        LearnedCodec.load(BUNDLED_FILE)


def test_the_same_network_makes_the_same_file() -> None:
    assert small_file() == small_file()
    assert small_file(0) != small_file(1)


# Tiles.


def test_tiles_meet_without_seams() -> None:
    network = small_network()
    rate = exact.shares_of(4000)
    pixels = torch.from_numpy(np.tile(photograph(), (1, 2, 1))).permute(2, 0, 1)[None]
    weights = torch.rand(1, 1, 16, 32).mul(2).add(0.1).log()
    with torch.no_grad():
        whole, kept = network.analysed(pixels.float() / 255, rate, weights)
        parts, kept_parts = tiles.analysed(network, pixels, rate, weights, side=5)
        assert torch.allclose(parts, whole, rtol=1e-4, atol=1e-4)
        assert kept_parts is not None
        assert torch.allclose(kept_parts, kept, rtol=1e-4, atol=1e-4)
        picture = network.synthesised(whole, rate)[0].clamp(0, 1).mul(255)
        shown = tiles.synthesised(network, whole, rate, side=5)
        assert float((shown - picture).abs().max()) < 0.51


def test_a_tile_sees_as_far_as_the_network_reaches_and_no_farther_than_needed() -> None:
    network = small_network()
    rate = exact.shares_of(4000)
    picture = torch.rand(1, 3, 256, 256, requires_grad=True)
    y, _ = network.analysed(picture, rate, torch.full((1, 1, 16, 16), 0.1))
    y[0, :, 8, 8].sum().backward()
    assert picture.grad is not None
    rows = picture.grad.abs().sum((0, 1, 3)).nonzero().flatten() // 16
    reach = tiles.reach(SMALL)
    assert 8 - int(rows.min()) <= reach
    assert int(rows.max()) - 8 <= reach
    assert 8 - int(rows.min()) >= reach - 1


# Saliency.


def test_a_map_changes_what_is_coded_and_not_how_it_is_decoded() -> None:
    codec = small_codec()
    saliency = np.zeros((256, 256), np.float32)
    saliency[64:192, 64:192] = 1
    plain, guided = (codec.encode(photograph(), 0.02, each) for each in (None, saliency))
    assert plain != guided
    assert codec.decode(guided).shape == photograph().shape


def test_a_map_that_says_nothing_changes_nothing() -> None:
    codec = small_codec()
    plain = codec.encode(photograph(), 0.02)
    for level in (0.0, 1.0):
        assert codec.encode(photograph(), 0.02, np.full((256, 256), level, np.float32)) == plain


def test_a_map_of_another_size_or_for_a_codec_without_is_refused() -> None:
    with pytest.raises(ValueError, match="the map is"):
        small_codec().encode(photograph(), 0.02, np.ones((3, 3), np.float32))
    codec = LearnedCodec(Card("plain", SMALL), _tensors(small_file()))
    with pytest.raises(ValueError, match="not trained with maps"):
        codec.encode(photograph(), 0.02, np.ones((256, 256), np.float32))


def test_weights_have_a_mean_of_one_over_the_picture() -> None:
    saliency = torch.rand(3, 1, 32, 32)
    weights = weights_of(saliency, 0.3)
    assert torch.allclose(weights.mean((1, 2, 3)), torch.ones(3))
    part = weights_of(saliency[:, :, :16, :16], 0.3, saliency.mean((1, 2, 3)))
    assert torch.allclose(part, weights[:, :, :16, :16])
    assert float(importance_of(weights_of(torch.ones(1, 1, 32, 32), 0.3)).abs().max()) < 1e-6


# Along lambda.


@given(price=st.floats(LOWEST_LAMBDA, HIGHEST_LAMBDA))
def test_tables_are_straight_between_knots(price: float) -> None:
    shares = along_rate(torch.tensor([math.log(price)]))[0]
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert int((shares > 0).sum()) <= 2
    low, high = math.log(LOWEST_LAMBDA), math.log(HIGHEST_LAMBDA)
    at = float(shares @ torch.arange(float(KNOTS))) / (KNOTS - 1)
    assert low + (high - low) * at == pytest.approx(math.log(price), abs=1e-4)
    assert torch.allclose(exact.shares_of(exact.rate_of(price))[0], shares, atol=1e-3)


def _tensors(file: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(file)
