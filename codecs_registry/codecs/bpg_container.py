"""The BPG file format: an HEVC picture in, a BPG file out, and back.

F. Bellard, "BPG Specification", version 0.9.5 (2015), https://bellard.org/bpg/bpg_spec.txt, here
"the specification"; HEVC is ITU-T H.265, whose names its fields have here. A BPG file is a header,
the few fields of an HEVC sequence parameter set that vary, and the rest of an HEVC byte stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"BPG\xfb"
GREY, YUV420, YUV422, YUV444 = range(4)
"""Values of pixel_format with chroma sited as in JPEG; HEVC's chroma_format_idc has the same."""
BT601, RGB, YCGCO, BT709, BT2020 = range(5)
"""Values of color_space; the planes of RGB are G, B and R."""

_START_CODE = b"\x00\x00\x01"
_VPS, _SPS, _PPS, _AUD, _SEI = 32, 33, 34, 35, (39, 40)
_INTRA_PICTURES = range(16, 22)
"""Types of the NAL units of pictures that need no other (H.265, table 7-1)."""
_FORBIDDEN_RANGE_EXTENSIONS = 0b000110101
"""The specification, 3.3; the first flag of sps_range_extension() is the highest bit."""


class BpgError(ValueError):
    """A file is no BPG file that can be read here, or a stream none that BPG can hold."""


@dataclass(frozen=True)
class Header:
    """What a BPG file says of its picture. Raises BpgError for what BPG has not.

    width, height : in pixels; the coded picture is larger, in whole coding blocks.
    pixel_format : GREY, YUV420, YUV422 or YUV444.
    bit_depth : 8 to 14 bits a sample.
    colour_space : BT601, RGB, YCGCO, BT709 or BT2020.
    limited_range : True if black and white are at 16 and 235 (times 2^(bit_depth - 8)).
    """

    width: int
    height: int
    pixel_format: int = YUV420
    bit_depth: int = 8
    colour_space: int = BT601
    limited_range: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.width < 1 << 32 and 0 < self.height < 1 << 32):
            raise BpgError(f"a BPG picture cannot be of {self.width} x {self.height} pixels")
        if self.pixel_format not in range(4):
            raise BpgError(
                f"BPG's pixel format {self.pixel_format} is not supported: only grey, 4:2:0, 4:2:2 "
                "and 4:4:4 are, with chroma sited as in JPEG"
            )
        if not 8 <= self.bit_depth <= 14:
            raise BpgError(f"a BPG picture has 8 to 14 bits a sample, not {self.bit_depth}")
        if self.colour_space not in range(5) or (self.pixel_format == GREY and self.colour_space):
            raise BpgError(f"BPG has no colour space {self.colour_space} for such a picture")


@dataclass(frozen=True)
class CodingTools:
    """The fields of an HEVC sequence parameter set that BPG keeps.

    blocks : log2_min_luma_coding_block_size_minus3, log2_diff_max_min_luma_coding_block_size,
        log2_min_luma_transform_block_size_minus2, log2_diff_max_min_luma_transform_block_size
    transform_depth : max_transform_hierarchy_depth_intra
    pcm : the five fields of PCM blocks, in their order, or None without such blocks
    range_extension : the nine flags of sps_range_extension(), or None without it

    Raises BpgError for what H.265 (7.4.3.2) or BPG forbids.
    """

    blocks: tuple[int, int, int, int]
    transform_depth: int
    sao: bool
    pcm: tuple[int, int, int, int, int] | None
    strong_intra_smoothing: bool
    range_extension: int | None

    def __post_init__(self) -> None:
        coding, transform = self.blocks[0] + 3, self.blocks[2] + 2
        tree, largest = coding + self.blocks[1], transform + self.blocks[3]
        if not (4 <= tree <= 6 and transform < coding and largest <= min(tree, 5)):
            raise BpgError("the HEVC stream has block sizes that HEVC does not allow")
        if self.transform_depth > tree - transform:
            raise BpgError("the HEVC stream splits its blocks deeper than HEVC allows")
        if self.pcm is not None:
            least = self.pcm[2] + 3
            if least < min(coding, 5) or least + self.pcm[3] > min(tree, 5):
                raise BpgError("the HEVC stream has PCM blocks of sizes that HEVC does not allow")
        if (self.range_extension or 0) & _FORBIDDEN_RANGE_EXTENSIONS:
            raise BpgError("the HEVC stream uses range extensions that BPG does not allow")

    def coded(self, length: int) -> int:
        """A side of the coded picture, in pixels, for that of a picture."""
        block = 1 << (self.blocks[0] + 3)
        return -(-length // block) * block


def mux(
    hevc: bytes,
    *,
    width: int,
    height: int,
    colour_space: int = BT601,
    limited_range: bool = False,
) -> bytes:
    """The BPG file of an HEVC byte stream (H.265, Annex B) of one intra picture.

    The coded picture must be of width x height, each rounded up to whole coding blocks of the
    smallest size, and what the stream itself says of colour is not kept: colour_space and
    limited_range say it. Raises BpgError if BPG cannot hold the stream.
    """
    units = [(_unit_type(unit), unit) for unit in _split(hevc)]
    sets = [unit for kind, unit in units if kind == _SPS]
    if len(sets) != 1:
        raise BpgError(f"a BPG file holds one sequence; this HEVC stream has {len(sets)}")
    tools, pixel_format, bit_depth, coded_size = _read_sps(sets[0])
    wanted = (tools.coded(width), tools.coded(height))
    if coded_size != wanted:
        raise BpgError(f"the coded picture must be of {wanted} pixels, not of {coded_size}")
    header = Header(width, height, pixel_format, bit_depth, colour_space, limited_range)

    kept = [unit for kind, unit in units if kind not in (_VPS, _SPS, _AUD, *_SEI)]
    _check_picture(kept)
    short = _short_sps(tools)
    data = ue7(len(short)) + short + _START_CODE.join(kept)
    return (
        MAGIC
        + bytes(
            [
                header.pixel_format << 5 | header.bit_depth - 8,
                header.colour_space << 4 | header.limited_range << 1,
            ]
        )
        + ue7(width)
        + ue7(height)
        + ue7(len(data))
        + data
    )


def demux(file: bytes) -> tuple[Header, bytes]:
    """The header of a BPG file, and its picture as a byte stream that any HEVC decoder takes.

    The decoded picture is to be cropped to the header's size. Alpha, animations and chroma sited
    as in MPEG-2 are refused; extensions (EXIF, profiles) are passed over. Raises BpgError if the
    file is of another format, broken, cut short or of a kind that is not supported.
    """
    if not file.startswith(MAGIC):
        raise BpgError("the file does not begin as a BPG file does")
    source = _Bytes(file[len(MAGIC) :])
    first, second = source.take(2)
    if first & 0b0001_0000 or second & 0b0000_0100:
        raise BpgError("BPG files with an alpha plane or of CMYK are not supported")
    if second & 0b0000_0001:
        raise BpgError("BPG animations are not supported")
    width, height, data_length = source.ue7(), source.ue7(), source.ue7()
    header = Header(
        width, height, first >> 5, (first & 0b1111) + 8, second >> 4, bool(second & 0b0000_0010)
    )
    if second & 0b0000_1000:
        source.take(source.ue7())
    data = _Bytes(source.take(data_length) if data_length else source.rest())
    tools = _read_short_sps(data.take(data.ue7()))
    units = list(_split(_START_CODE + data.rest()))
    _check_picture(units)
    sets = [_write_vps(), _write_sps(tools, header)]
    return header, b"".join(b"\x00" + _START_CODE + unit for unit in [*sets, *units])


def ue7(value: int) -> bytes:
    """The specification's ue7(n): seven bits a byte, the highest first, all but the last marked."""
    coded = [value & 0x7F]
    while value := value >> 7:
        coded.append(value & 0x7F | 0x80)
    return bytes(reversed(coded))


class _Bytes:
    """Reads a file from its beginning, and never beyond its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise BpgError("the BPG file is cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def ue7(self) -> int:
        value = byte = self.take(1)[0]
        if byte == 0x80:
            raise BpgError("the BPG file has a number with a needless zero in front")
        value &= 0x7F
        while byte & 0x80:
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if value >= 1 << 32:
                raise BpgError("the BPG file has a number of more than 32 bits")
        return value


class _BitReader:
    """Reads the descriptors of H.265, 7.2 and 9.2, from bits, the highest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def u(self, count: int) -> int:
        if count > self.left:
            raise BpgError("the HEVC parameters are cut short")
        self.left -= count
        return self.value >> self.left & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise BpgError("the HEVC parameters have a number of more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)


class _BitWriter:
    """Writes the descriptors of H.265."""

    def __init__(self) -> None:
        self.value = 1  # a mark in front of leading zeros

    def u(self, count: int, value: int) -> None:
        self.value = self.value << count | value

    def ue(self, value: int) -> None:
        self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def aligned(self) -> bytes:
        """The bits, with zeros up to a whole byte."""
        count = self.value.bit_length() - 1
        whole = -(-count // 8)
        mask = (1 << 8 * whole) - 1
        return (self.value << 8 * whole - count & mask).to_bytes(whole, "big")


def _short_sps(tools: CodingTools) -> bytes:
    """hevc_header() of the specification but for its length."""
    bits = _BitWriter()
    for field in (*tools.blocks, tools.transform_depth):
        bits.ue(field)
    bits.u(1, tools.sao)
    _write_pcm(bits, tools)
    bits.u(1, tools.strong_intra_smoothing)
    _write_extension(bits, tools)
    return bits.aligned()


def _read_short_sps(data: bytes) -> CodingTools:
    bits = _BitReader(data)
    tools = CodingTools(
        blocks=(bits.ue(), bits.ue(), bits.ue(), bits.ue()),
        transform_depth=bits.ue(),
        sao=bool(bits.u(1)),
        pcm=_read_pcm(bits),
        strong_intra_smoothing=bool(bits.u(1)),
        range_extension=_read_extension(bits),
    )
    if bits.left > 7 or bits.u(bits.left):
        raise BpgError("the HEVC parameters of the BPG file are longer than they should be")
    return tools


def _write_pcm(bits: _BitWriter, tools: CodingTools) -> None:
    bits.u(1, tools.pcm is not None)
    if tools.pcm is not None:
        luma, chroma, least, difference, unfiltered = tools.pcm
        bits.u(8, luma << 4 | chroma)
        bits.ue(least)
        bits.ue(difference)
        bits.u(1, unfiltered)


def _read_pcm(bits: _BitReader) -> tuple[int, int, int, int, int] | None:
    return (bits.u(4), bits.u(4), bits.ue(), bits.ue(), bits.u(1)) if bits.u(1) else None


def _write_extension(bits: _BitWriter, tools: CodingTools) -> None:
    bits.u(1, tools.range_extension is not None)
    if tools.range_extension is not None:
        bits.u(8, 0b1000_0000)
        bits.u(9, tools.range_extension)


def _read_extension(bits: _BitReader) -> int | None:
    if not bits.u(1):
        return None
    present = bits.u(8)
    if present & 0b0111_1111:
        raise BpgError("the HEVC stream uses extensions that BPG does not have")
    return bits.u(9) if present else None


# What the specification (3.2) has a decoder assume where BPG keeps nothing; what it leaves open
# touches no single intra picture, and is as bpgenc writes it.
_LOG2_MAX_POC_LSB_MINUS4 = 4
_PROFILE = (
    (2 + 1 + 5, 4),  # format range extensions
    (32, 1 << (31 - 4)),  # compatible with itself
    (4, 0b1001),  # progressive; frames only
    (9, 0b000_000_110),  # Main 4:4:4 16 Still Picture: any depth and format, intra, one picture
    (34 + 1, 0),
    (8, 255),  # level 8.5
)
"""profile_tier_level( 1, 0 ) of the profile that the specification names (3.3)."""


def _write_vps() -> bytes:
    bits = _BitWriter()
    bits.u(4, 0)  # vps_video_parameter_set_id
    bits.u(2, 0b11)  # vps_base_layer_internal_flag, vps_base_layer_available_flag
    bits.u(6 + 3, 0)  # vps_max_layers_minus1, vps_max_sub_layers_minus1
    bits.u(1 + 16, 0x1FFFF)  # vps_temporal_id_nesting_flag, vps_reserved_0xffff_16bits
    for count, value in _PROFILE:
        bits.u(count, value)
    bits.u(1, 1)  # vps_sub_layer_ordering_info_present_flag
    for _ in range(3):
        bits.ue(0)  # no picture is kept, reordered or late
    bits.u(6, 0)  # vps_max_layer_id
    bits.ue(0)  # vps_num_layer_sets_minus1
    bits.u(1 + 1, 0)  # vps_timing_info_present_flag, vps_extension_flag
    return _unit(_VPS, bits)


def _write_sps(tools: CodingTools, header: Header) -> bytes:
    bits = _BitWriter()
    bits.u(4 + 3, 0)  # sps_video_parameter_set_id, sps_max_sub_layers_minus1
    bits.u(1, 1)  # sps_temporal_id_nesting_flag
    for count, value in _PROFILE:
        bits.u(count, value)
    bits.ue(0)  # sps_seq_parameter_set_id
    bits.ue(header.pixel_format)  # chroma_format_idc
    if header.pixel_format == YUV444:
        bits.u(1, 0)  # separate_colour_plane_flag
    bits.ue(tools.coded(header.width))
    bits.ue(tools.coded(header.height))
    bits.u(1, 0)  # conformance_window_flag: the header's size is finer than it could say
    bits.ue(header.bit_depth - 8)
    bits.ue(header.bit_depth - 8)
    bits.ue(_LOG2_MAX_POC_LSB_MINUS4)
    bits.u(1, 1)  # sps_sub_layer_ordering_info_present_flag
    for _ in range(3):
        bits.ue(0)
    for field in (*tools.blocks, tools.transform_depth, tools.transform_depth):
        bits.ue(field)
    bits.u(2, 0b01)  # scaling_list_enabled_flag, amp_enabled_flag
    bits.u(1, tools.sao)
    _write_pcm(bits, tools)
    bits.ue(0)  # num_short_term_ref_pic_sets
    bits.u(2, 0b01)  # long_term_ref_pics_present_flag, sps_temporal_mvp_enabled_flag
    bits.u(1, tools.strong_intra_smoothing)
    bits.u(1, 0)  # vui_parameters_present_flag
    _write_extension(bits, tools)
    return _unit(_SPS, bits)


def _read_sps(unit: bytes) -> tuple[CodingTools, int, int, tuple[int, int]]:
    """(tools, chroma_format_idc, bit depth, coded size) of a sequence parameter set (7.3.2.2).

    Raises BpgError if any other field is not what a BPG decoder would assume.
    """
    bits = _BitReader(re.sub(rb"\x00\x00\x03", b"\x00\x00", unit[2:]))
    _expect(bits.u(4), 0, "sps_video_parameter_set_id")
    _expect(bits.u(3), 0, "sps_max_sub_layers_minus1")
    bits.u(1 + 88 + 8)  # nesting, profile, tier and level
    _expect(bits.ue(), 0, "sps_seq_parameter_set_id")
    chroma_format = bits.ue()
    if chroma_format == YUV444:
        _expect(bits.u(1), 0, "separate_colour_plane_flag")
    size = (bits.ue(), bits.ue())
    if bits.u(1):
        for _ in range(4):
            _expect(bits.ue(), 0, "conf_win_offset")
    depth = bits.ue()
    _expect(bits.ue(), depth, "bit_depth_chroma_minus8")
    _expect(bits.ue(), _LOG2_MAX_POC_LSB_MINUS4, "log2_max_pic_order_cnt_lsb_minus4")
    bits.u(1)
    for _ in range(3):
        bits.ue()  # how many pictures to keep for others: of one picture, none
    blocks = (bits.ue(), bits.ue(), bits.ue(), bits.ue())
    inter_depth, depth_intra = bits.ue(), bits.ue()
    _expect(inter_depth, depth_intra, "max_transform_hierarchy_depth_inter")
    _expect(bits.u(1), 0, "scaling_list_enabled_flag")
    _expect(bits.u(1), 1, "amp_enabled_flag")
    sao = bool(bits.u(1))
    pcm = _read_pcm(bits)
    _expect(bits.ue(), 0, "num_short_term_ref_pic_sets")
    _expect(bits.u(1), 0, "long_term_ref_pics_present_flag")
    _expect(bits.u(1), 1, "sps_temporal_mvp_enabled_flag")
    strong = bool(bits.u(1))
    if bits.u(1):
        _skip_vui(bits)
    tools = CodingTools(blocks, depth_intra, sao, pcm, strong, _read_extension(bits))
    return tools, chroma_format, depth + 8, size


def _skip_vui(bits: _BitReader) -> None:
    """Pass over vui_parameters() (Annex E): it changes no decoded sample."""
    if bits.u(1) and bits.u(8) == 255:  # aspect_ratio_info_present_flag
        bits.u(32)
    if bits.u(1):  # overscan_info_present_flag
        bits.u(1)
    if bits.u(1):  # video_signal_type_present_flag
        bits.u(4)
        if bits.u(1):  # colour_description_present_flag
            bits.u(24)
    if bits.u(1):  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()
    bits.u(3)
    _expect(bits.u(1), 0, "default_display_window_flag")
    if bits.u(1):  # vui_timing_info_present_flag
        bits.u(64)
        if bits.u(1):  # vui_poc_proportional_to_timing_flag
            bits.ue()
        _expect(bits.u(1), 0, "vui_hrd_parameters_present_flag")
    if bits.u(1):  # bitstream_restriction_flag
        bits.u(3)
        for _ in range(5):
            bits.ue()


def _expect(found: int, wanted: int, name: str) -> None:
    if found != wanted:
        raise BpgError(f"BPG cannot hold an HEVC stream whose {name} is {found} and not {wanted}")


def _unit(kind: int, bits: _BitWriter) -> bytes:
    """A NAL unit: its header, and its payload with bytes that prevent start codes (7.3.1.1)."""
    bits.u(1, 1)  # rbsp_stop_one_bit
    return bytes([kind << 1, 1]) + re.sub(
        rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", bits.aligned()
    )


def _split(stream: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream, without start codes and the zeros around them."""
    leading, *units = stream.split(_START_CODE)
    if leading.strip(b"\x00"):
        raise BpgError("the HEVC stream does not begin with a start code")
    for unit in units:
        yield unit.rstrip(b"\x00")


def _unit_type(unit: bytes) -> int:
    """nal_unit_type; the unit must be of the only layer."""
    if len(unit) < 3 or unit[0] & 0x80:
        raise BpgError("the HEVC stream is broken: it has a NAL unit without content")
    if unit[0] & 1 or unit[1] >> 3:
        raise BpgError("HEVC streams of several layers are not supported")
    return unit[0] >> 1


def _check_picture(units: list[bytes]) -> None:
    """Raise BpgError unless these are parameters and slices of one intra picture."""
    kinds = [_unit_type(unit) for unit in units]
    slices = [unit for kind, unit in zip(kinds, units, strict=True) if kind < _VPS]
    if any(kind < _VPS and kind not in _INTRA_PICTURES for kind in kinds):
        raise BpgError("the HEVC stream has a picture that is no intra picture")
    if _VPS in kinds or _SPS in kinds:
        raise BpgError("the HEVC data of the BPG file has parameter sets that it must not have")
    # first_slice_segment_in_pic_flag
    if _PPS not in kinds or [unit[2] >> 7 for unit in slices].count(1) != 1:
        raise BpgError("the HEVC stream does not hold one whole picture")
