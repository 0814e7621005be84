"""The image files that annotators are sent.

Nothing about a file but its pixels may tell which codec made it: its name is the assignment's
token and a position, its size is the same for every image of the task, and it carries no metadata
and no date.
"""

import io
import struct
import zlib
from functools import lru_cache

from PIL import Image

from annotation.models import Assignment, Campaign, Task, TaskReconstruction
from codecs_registry import blobs
from codecs_registry.models import Reconstruction

ORIGINAL = "original"
PNG, WEBP = Task.Format.PNG, Task.Format.WEBP
# Ancillary, private, safe to copy (PNG 3rd edition, section 5.4); unknown chunks of WebP are
# skipped as well (RFC 9649, section 2.7.1.6). Decoders skip it.
PADDING_CHUNK = b"paDd"
OVERHEAD = {PNG: 12, WEBP: 18 + 8}  # PNG: length, type, CRC; WebP: its header, tag and length
END_CHUNK_BYTES = 12  # of PNG
SIMPLE_HEADER_BYTES = 12  # of WebP: RIFF, size, WEBP


def delivered_bytes(sizes: list[int], file_format: str = PNG) -> int:
    """The size to which every file of a task is padded, given the sizes of its files."""
    return max(sizes) + OVERHEAD[file_format]


def pad(content: bytes, size_bytes: int, file_format: str = PNG) -> bytes:
    """The same picture in a file of exactly `size_bytes`.

    Raises ValueError if the file leaves no room for the padding chunk.
    """
    room = size_bytes - len(content) - OVERHEAD[file_format]
    if room < 0:
        raise ValueError(f"{len(content)} bytes of {file_format} cannot be padded to {size_bytes}")
    return (_pad_png if file_format == PNG else _pad_webp)(content, bytes(room))


def _pad_png(png: bytes, padding: bytes) -> bytes:
    checksum = zlib.crc32(PADDING_CHUNK + padding)
    chunk = struct.pack(">I", len(padding)) + PADDING_CHUNK + padding + struct.pack(">I", checksum)
    return png[:-END_CHUNK_BYTES] + chunk + png[-END_CHUNK_BYTES:]


def _pad_webp(webp: bytes, padding: bytes) -> bytes:
    """Only a file in the extended layout may hold further chunks (RFC 9649, section 2.7): that of
    one bitstream, which `codecs_registry.pictures.write_webp` makes, gets its header."""
    image = webp[SIMPLE_HEADER_BYTES:]
    # 14 bits each of width - 1 and height - 1, after the bitstream's tag, length and signature.
    bits = int.from_bytes(image[9:13], "little")
    width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    size = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    header = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    body = b"WEBP" + header + image + PADDING_CHUNK + struct.pack("<I", len(padding)) + padding
    return b"RIFF" + struct.pack("<I", len(body)) + body


def question_bytes(campaign: Campaign) -> int:
    """What a browser loads for one question, in bytes: the mean of the first thousand tasks, all
    files of which are new to it. 0 of a campaign without tasks."""
    tasks = list(campaign.tasks.order_by("id").values_list("id", "delivery_bytes")[:1000])
    if not tasks:
        return 0
    files = 1 + TaskReconstruction.objects.filter(task=tasks[0][0]).count()
    return round(files * sum(size for _, size in tasks) / len(tasks))


def shown_size(task: Task) -> tuple[int, int]:
    """Width and height of what is shown, in image pixels."""
    if task.crop:
        return task.crop[2], task.crop[3]
    return task.source.width, task.source.height


def cropped_bytes(width: int, height: int) -> int:
    """The size to which every file of a task with a crop is padded: no crop of that size, stored
    without compression, is larger."""
    pixels = height * (3 * width + 1)
    return pixels + pixels // 256 + 1024  # headers of stored blocks and of chunks


def shown_png(task: Task, blob: str) -> bytes:
    """What a task shows of a stored picture."""
    if not task.crop:
        return blobs.read(blob)
    cut = _known_crop_png if task.crop[2] * task.crop[3] <= KEPT_PIXELS else _crop_png
    return cut(blob, tuple(task.crop))


def _crop_png(blob: str, crop: tuple[int, int, int, int]) -> bytes:
    """A part of a stored picture as PNG; `crop` is left, top, width, height."""
    left, top, width, height = crop
    with Image.open(io.BytesIO(blobs.read(blob))) as picture:
        part = picture.convert("RGB").crop((left, top, left + width, top + height))
    out = io.BytesIO()
    part.save(out, "PNG", compress_level=0)
    return out.getvalue()


# One annotator after another asks for the same ones; a process keeps at most 50 MB of them.
KEPT_PIXELS = 512 * 512
_known_crop_png = lru_cache(maxsize=64)(_crop_png)


def image_file(assignment: Assignment, position: int | None) -> bytes:
    """The padded file at a position of an assignment; None: the original."""
    task = assignment.task
    if position is None:
        picture = (task.source.png, task.source.webp)
    else:
        made = Reconstruction.objects.values_list("decoded", "webp")
        picture = made.get(id=assignment.shown[position])
    png, webp = picture
    content = shown_png(task, png) if task.delivery_format == PNG else blobs.read(webp)
    return pad(content, task.delivery_bytes, task.delivery_format)
