"""BPG files hold what the specification says, written and read, and x265's pictures fit into them.

The files of `by_hand` are made here from the two standards alone, bit by bit: one coding block of
16 x 16 pixels whose samples are stored as they are (PCM), so that each decodes to known levels.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage import data

from codecs_registry.codecs import bpg_container as bpg
from codecs_registry.codecs.base import Codec, DecodeFailed, EncodeFailed, Pixels
from codecs_registry.codecs.bpg import BpgX265
from codecs_registry.codecs.colour import from_ycbcr
from codecs_registry.codecs.frames import planes_of

# --- Files made by hand -----------------------------------------------------------------------

CHROMA = {bpg.GREY: (0, 0), bpg.YUV420: (8, 8), bpg.YUV422: (16, 8), bpg.YUV444: (16, 16)}


def packed(bits: str) -> bytes:
    """Bits, and zeros up to a whole byte; spaces do not count."""
    bits = bits.replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def escaped(payload: bytes) -> bytes:
    """H.265, 7.4.2: 3 after two zeros, where a byte of 0 to 3 would follow them."""
    written = bytearray()
    for byte in payload:
        if written[-2:] == b"\0\0" and byte <= 3:
            written.append(3)
        written.append(byte)
    return bytes(written)


def hevc_header(depth: int = 8) -> str:
    """hevc_header() of the BPG specification, 3.1, but for its length."""
    pcm = f"1 {depth - 1:04b} {depth - 1:04b} 010 1 1"  # samples whole; blocks of 16; no filter
    #      coding 16..16, transform 4..16, depth 0, no SAO; not smoothed, no extension
    return "010 1  1 011  1 0" + pcm + "0 0"


def hevc_data(planes: list[np.ndarray], depth: int = 8) -> bytes:
    """The parameters of a picture (H.265, 7.3.2.3) and its only slice (7.3.6, 7.3.8)."""
    pps = packed("1 1 0 0 000 0 0 1 1 1 0 0 0 1 1 0 0 0 0 0 0 0 0 0 0 1 0 0  1")
    # first, no earlier pictures kept, parameters 0, intra, QP offset 0; aligned
    header = packed("1 0 1 011 1  1")
    # CABAC, 9.3: from the range 510, part_mode 2Nx2N is the likely value of a context at 0 (270
    # left), and pcm_flag ends the arithmetic code (at 268): any offset of 268 or 269 says so.
    block = packed(f"{269:09b}")
    samples = packed("".join(f"{sample:0{depth}b}" for plane in planes for sample in plane.flat))
    # It begins anew, and end_of_slice_segment_flag ends it again, at 508.
    end = packed(f"{509:09b}")
    pps_unit = b"\x44\x01" + escaped(pps)
    slice_unit = b"\x26\x01" + escaped(header + block + samples + end)
    return pps_unit + b"\0\0\1" + slice_unit


def by_hand(
    planes: list[np.ndarray],
    *,
    size: tuple[int, int] = (16, 16),
    first: int = bpg.YUV420 << 5,
    second: int = 0,
    extension: bytes = b"",
    depth: int = 8,
    known_length: bool = True,
) -> bytes:
    """A BPG file, width and height of 16 or less; its first two bytes after the magic as given."""
    header = packed(hevc_header(depth))
    picture = bytes([len(header)]) + header + hevc_data(planes, depth)
    length = len(picture)
    return (
        bytes([0x42, 0x50, 0x47, 0xFB, first, second, *size])
        + (bytes([0x80 | length >> 7, length & 0x7F]) if known_length else b"\0")
        + extension
        + picture
    )


def noise(pixel_format: int, depth: int = 8, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(16, 16)] + [CHROMA[pixel_format]] * (2 if pixel_format else 0)
    return [rng.integers(0, 1 << depth, shape, dtype=np.uint16) for shape in shapes]


PLAIN = by_hand(noise(bpg.YUV420))
TWICE = b"\x03\x92\x47\x40\x44\x01\xc0" + b"\0\0\1\x26\x01\xaf" * 2


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", [(16, 16), (13, 10), (1, 1)])
@pytest.mark.parametrize("pixel_format", list(CHROMA))
@pytest.mark.parametrize(
    ("colour_space", "matrix"),
    [(bpg.BT601, "BT.601"), (bpg.BT709, "BT.709"), (bpg.BT2020, "BT.2020")],
)
@pytest.mark.parametrize("limited", [False, True])
def test_a_file_made_by_hand_decodes_to_its_samples(
    pixel_format: int,
    depth: int,
    size: tuple[int, int],
    colour_space: int,
    matrix: str,
    limited: bool,
) -> None:
    if pixel_format == bpg.GREY and colour_space != bpg.BT601:
        return
    planes = noise(pixel_format, depth)
    file = by_hand(
        planes,
        size=size,
        first=pixel_format << 5 | depth - 8,
        second=colour_space << 4 | limited << 1,
        depth=depth,
    )
    header, _ = bpg.demux(file)
    assert header == bpg.Header(*size, pixel_format, depth, colour_space, limited)
    wanted = planes if len(planes) == 3 else planes + [np.full((16, 16), 1 << (depth - 1))] * 2
    assert np.array_equal(
        BpgX265().decode(file),
        from_ycbcr(
            (*wanted,),
            width=size[0],
            height=size[1],
            depth=depth,
            full_range=not limited,
            matrix=matrix,
        ),
    )


def test_a_file_made_by_hand_is_what_the_muxer_makes_of_its_stream() -> None:
    header, stream = bpg.demux(PLAIN)
    assert bpg.mux(stream, width=header.width, height=header.height) == PLAIN
    odd = by_hand(noise(bpg.YUV444, 10), size=(9, 7), first=0x62, second=0x32, depth=10)
    header, stream = bpg.demux(odd)
    assert odd == bpg.mux(
        stream, width=9, height=7, colour_space=header.colour_space, limited_range=True
    )


def test_zeros_in_the_stream_are_no_start_codes() -> None:
    black = [np.zeros((16, 16), int), np.full((8, 8), 128), np.full((8, 8), 128)]
    file = by_hand(black)
    assert b"\0\0\3" in file
    assert not BpgX265().decode(file).any()


def test_a_picture_whose_length_is_not_told_goes_to_the_end_of_the_file() -> None:
    unknown = by_hand(noise(bpg.YUV420), known_length=False)
    assert bpg.demux(unknown) == bpg.demux(PLAIN)


def test_extensions_are_passed_over() -> None:
    exif = b"\x01\x04Exif"
    file = by_hand(noise(bpg.YUV420), second=0x08, extension=bytes([len(exif)]) + exif)
    assert bpg.demux(file) == bpg.demux(PLAIN)


# --- The format -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "coded"), [(8, "08"), (542, "841e"), (728855, "acbe17"), (0, "00"), (128, "8100")]
)
def test_numbers_are_coded_as_in_the_specification(value: int, coded: str) -> None:
    assert bpg.ue7(value) == bytes.fromhex(coded)
    if value:
        # A picture that wide, of which only the header is there.
        wide = bytes.fromhex("425047fb 2000") + bytes.fromhex(coded) + b"\x01\0" + PLAIN[10:]
        assert bpg.demux(wide)[0].width == value


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (b"", "does not begin"),
        (b"BPG", "does not begin"),
        (b"\x89PNG" + PLAIN[4:], "does not begin"),
        (PLAIN[:5], "cut short"),
        (PLAIN[:-1], "cut short"),
        (by_hand(noise(1), first=0x30), "alpha"),
        (by_hand(noise(1), first=0x20, second=0x04), "alpha"),
        (by_hand(noise(1), second=0x01), "animation"),
        (by_hand(noise(1), first=0x80), "pixel format 4"),
        (by_hand(noise(1), first=0xE0), "pixel format 7"),
        (by_hand(noise(1), first=0x27), "8 to 14 bits"),
        (by_hand(noise(1), second=0x50), "colour space 5"),
        (by_hand(noise(0), first=0x00, second=0x30), "colour space 3"),
        (by_hand(noise(1), size=(0, 16)), "0 x 16"),
        (by_hand(noise(1), second=0x08, extension=b"\xff\x7f"), "cut short"),
        (PLAIN[:6] + b"\x80\x10" + PLAIN[7:], "needless zero"),
        (PLAIN[:6] + b"\xff\xff\xff\xff\x7f" + PLAIN[7:], "32 bits"),
        (PLAIN[:8] + b"\x00" + b"\x00" + PLAIN[11:], "parameters are cut short"),
        (PLAIN[:8] + b"\x00" + b"\x02\x00\x00" + PLAIN[11:], "cut short"),
        (PLAIN[:8] + b"\x00" + b"\x05\x00\x00\x00\x00\x01", "32 bits"),
        (PLAIN[:8] + b"\x00" + b"\x05" + PLAIN[11:15] + b"\x00" + PLAIN[15:], "longer"),
        (PLAIN[:8] + b"\x00" + b"\x02\x3f\x80" + PLAIN[15:], "block sizes"),
        (PLAIN[:8] + b"\x00" + b"\x03\x92\x47\x40", "without content"),
        (PLAIN[:8] + b"\x00" + b"\x03\x92\x47\x40\x44\x01\xc0", "one whole picture"),
        (PLAIN[:8] + b"\x00" + b"\x03\x92\x47\x40\x44\x09\xc0", "several layers"),
        (PLAIN[:8] + b"\x00" + b"\x03\x92\x47\x40\x42\x01\xc0", "must not have"),
        (PLAIN[:8] + b"\x00" + b"\x03\x92\x47\x40\x02\x01\xd0", "no intra picture"),
        (PLAIN[:8] + b"\x00" + TWICE, "one whole picture"),
    ],
)  # fmt: skip
def test_what_is_no_bpg_file_or_an_unsupported_one_is_refused_with_the_reason(
    file: bytes, complaint: str
) -> None:
    with pytest.raises(bpg.BpgError, match=complaint):
        bpg.demux(file)
    with pytest.raises(DecodeFailed, match=complaint):
        BpgX265().decode(file)


@pytest.mark.parametrize("colour_space", [bpg.RGB, bpg.YCGCO])
def test_other_colour_spaces_are_read_but_not_decoded(colour_space: int) -> None:
    file = by_hand(noise(bpg.YUV444), first=bpg.YUV444 << 5, second=colour_space << 4)
    assert bpg.demux(file)[0].colour_space == colour_space
    with pytest.raises(DecodeFailed, match="RGB or YCgCo"):
        BpgX265().decode(file)


def test_the_parameters_of_common_streams_take_three_bytes() -> None:
    stream = x265(parameters="rect=1:amp=1:ctu=64:tu-intra-depth=3:tu-inter-depth=3")
    file = bpg.mux(stream, width=128, height=96)
    # Coding blocks 8 to 64, transforms 4 to 32, depth 2, SAO, no PCM, smoothing, no extension.
    assert file[4:8] == b"\x20\x00\x81\x00"
    assert b"\x03" + packed("1 00100 1 00100 011 1 0 1 0") + b"\x44\x01" in file[8:20]


# --- Streams of x265 --------------------------------------------------------------------------


@functools.cache
def x265(
    width: int = 128,
    height: int = 96,
    pixel_format: str = "yuv420p",
    parameters: str = "rect=1:amp=1",
    frames: int = 1,
) -> bytes:
    """An HEVC byte stream of a gradient with some noise."""
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.time_base = Fraction(1, 25)
    context.options = {"x265-params": f"log-level=none:pools=none:qp=20:{parameters}"}
    packets = []
    for _ in range(frames):
        frame = VideoFrame(width, height, pixel_format)
        for plane in planes_of(frame):
            y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
            plane[...] = 60 + (x + y) // 2 + np.random.default_rng(2).integers(0, 9, plane.shape)
        packets += context.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


def decoded(stream: bytes) -> list[np.ndarray]:
    context = av.CodecContext.create("hevc", "r")
    (frame,) = [*context.decode(av.Packet(stream)), *context.decode(None)]
    return planes_of(frame)


PIXEL_FORMATS = ["yuv420p", "yuv422p", "yuv444p", "gray"]
PIXEL_FORMATS += ["yuv420p10le", "yuv444p10le", "gray10le", "yuv420p12le"]
SPECIAL = "rect=1:amp=1:ctu=32:min-cu-size=16:no-sao=1:tskip=1:no-strong-intra-smoothing=1"


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize(
    "parameters",
    ["rect=1:amp=1", SPECIAL],
)
def test_the_demuxed_stream_decodes_as_the_encoders_own(pixel_format: str, parameters: str) -> None:
    stream = x265(pixel_format=pixel_format, parameters=parameters)
    width, height = 125, 83 if parameters == SPECIAL else 91
    file = bpg.mux(stream, width=width, height=height)
    _, rebuilt = bpg.demux(file)
    for own, ours in zip(decoded(stream), decoded(rebuilt), strict=True):
        assert np.array_equal(own, ours)
    # Nothing is lost on a second way either.
    assert bpg.mux(rebuilt, width=width, height=height) == file


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        ({"parameters": "amp=0"}, "amp_enabled_flag is 0 and not 1"),
        ({"parameters": "rect=1:amp=1:scaling-list=default"}, "scaling_list_enabled_flag is 1"),
        ({"parameters": "rect=1:amp=1:temporal-mvp=0"}, "sps_temporal_mvp_enabled_flag is 0"),
        ({"parameters": "rect=1:amp=1:tu-intra-depth=2"}, "max_transform_hierarchy_depth_inter"),
        ({"parameters": "rect=1:amp=1:display-window=0,8,0,8"}, "default_display_window"),
        ({"width": 126}, "conf_win_offset"),
        ({"height": 80}, r"\(128, 96\) pixels, not of \(128, 80\)"),
        ({"frames": 2, "parameters": "rect=1:amp=1:keyint=1"}, "one whole picture|sequence"),
        ({"frames": 2}, "no intra picture"),
    ],
)  # fmt: skip
def test_streams_that_bpg_cannot_hold_are_refused(
    stream: dict[str, object], complaint: str
) -> None:
    with pytest.raises(bpg.BpgError, match=complaint):
        bpg.mux(x265(**stream), width=128, height=96)  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [b"", b"\0\0", b"\1\2\3", b"\0\0\1", b"\0\0\1\x42\x01\x01" * 2])
def test_what_is_no_stream_of_one_sequence_is_refused(stream: bytes) -> None:
    with pytest.raises(bpg.BpgError):
        bpg.mux(stream, width=8, height=8)


def test_a_cut_parameter_set_is_refused_at_any_place() -> None:
    stream = x265()
    start = stream.index(b"\x42\x01")
    end = stream.index(b"\0\0\1", start)
    for cut in range(start + 3, end - 2):
        with pytest.raises(bpg.BpgError, match=r"cut short|BPG cannot hold|does not allow"):
            bpg.mux(stream[:cut] + stream[end:], width=128, height=96)


# --- Any bytes --------------------------------------------------------------------------------


@functools.cache
def small_file() -> bytes:
    return BpgX265().encode(picture(40, 52), 35)


mutations = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)


@settings(deadline=None)
@given(st.binary(max_size=60), st.booleans())
@example(b"\x20\0\x01\x01\0\x03\x92\x47\x40\x26\x01\xaf", True)
def test_any_bytes_are_a_bpg_file_or_an_error_that_says_so(bytes_: bytes, magic: bool) -> None:
    file = bpg.MAGIC + bytes_ if magic else bytes_
    try:
        header, stream = bpg.demux(file)
    except bpg.BpgError:
        return
    assert min(header.width, header.height) > 0
    assert stream.startswith(b"\0\0\0\1\x40\x01")


@settings(deadline=None, max_examples=150)
@given(st.booleans(), mutations, st.floats(0, 1))
def test_a_damaged_file_gives_a_picture_or_decode_failed_and_nothing_else(
    made_by_hand: bool, changes: list[tuple[float, int]], cut: float
) -> None:
    file = bytearray(PLAIN if made_by_hand else small_file())
    # Sizes are left alone: a picture of many megapixels takes its time.
    for at, value in changes:
        file[8 + int(at * (len(file) - 9))] = value
    try:
        pixels = BpgX265().decode(bytes(file[: 9 + round(cut * len(file))]))
    except DecodeFailed:
        return
    assert pixels.shape == ((16, 16, 3) if made_by_hand else (40, 52, 3))


def test_a_file_that_is_cut_short_anywhere_is_refused() -> None:
    file = small_file()
    for length in range(len(file)):
        with pytest.raises(DecodeFailed):
            BpgX265().decode(file[:length])


# --- The codec --------------------------------------------------------------------------------


def picture(height: int = 96, width: int = 128) -> Pixels:
    """Part of a photograph, the same every time."""
    return np.ascontiguousarray(data.astronaut()[:height, 150 : 150 + width])


def psnr_db(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_it_can_be_used_here_and_names_its_libraries() -> None:
    codec = BpgX265()
    assert isinstance(codec, Codec)
    assert codec.unavailable() == ""
    assert codec.version().startswith("x265 ")
    assert any(letter.isdigit() for letter in codec.version().split("(")[0].removeprefix("x265"))
    assert "PyAV" in codec.version()


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 9), (9, 1), (8, 8), (9, 9), (8, 200), (17, 33), (65, 63), (24, 25), (1, 8192)],
)
def test_pictures_of_any_size_come_back_in_it(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    smooth = np.stack([x % 200, 40 + y, 200 - x % 150], -1).astype(np.uint8)
    back = BpgX265().decode(BpgX265().encode(smooth, 12))
    assert back.shape == smooth.shape
    assert np.abs(back.astype(float) - smooth).mean() < 2


def test_the_file_tells_the_true_size_and_bpgencs_default_format() -> None:
    header, _ = bpg.demux(BpgX265().encode(picture(17, 33), 30))
    assert header == bpg.Header(width=33, height=17)


def test_at_a_high_rate_the_picture_is_as_good_as_its_halved_chroma() -> None:
    codec = BpgX265()
    source = picture()
    back = codec.decode(codec.encode(source, codec.knob.low))
    assert psnr_db(source, back) > 38
    assert np.abs((back.astype(float) - source).mean((0, 1))).max() < 0.5


def test_black_white_and_grey_keep_their_levels() -> None:
    codec = BpgX265()
    for level in (0, 128, 255):
        flat = np.full((24, 24, 3), level, np.uint8)
        assert np.array_equal(codec.decode(codec.encode(flat, 10)), flat)


def test_fractions_of_its_quantiser_make_files_in_between() -> None:
    source = picture(256, 256)
    sizes = [len(BpgX265().encode(source, 30 + quarter / 4)) for quarter in range(5)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 5
    assert max(a / b for a, b in pairwise(sizes)) < 1.1


def test_the_same_pixels_and_setting_give_the_same_bytes_also_beside_other_sizes() -> None:
    jobs = [
        (shape, setting) for shape in ((1, 1), (20, 40), (96, 128)) for setting in (25, 35.5)
    ] * 3

    def encode(job: tuple[tuple[int, int], float]) -> bytes:
        return BpgX265().encode(picture(*job[0]), job[1])

    alone = [encode(job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(encode, jobs)) == alone


def test_what_it_encodes_with_is_recorded_and_belongs_to_the_setting() -> None:
    recorded = BpgX265().settings(30.25)
    assert recorded["crf"] == 30.25
    assert {"encoder", "preset", "subsampling", "depth", "matrix", "range"} <= recorded.keys()
    for setting in (0, 51.5):
        with pytest.raises(ValueError, match="not between"):
            BpgX265().settings(setting)
        with pytest.raises(ValueError, match="not between"):
            BpgX265().encode(picture(), setting)


def test_a_picture_that_is_too_long_is_refused() -> None:
    with pytest.raises(EncodeFailed, match="at most"):
        BpgX265().encode(np.zeros((1, 16385, 3), np.uint8), 40)
