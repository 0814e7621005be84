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

from annotation.models import Assignment, Task
from codecs_registry import blobs
from codecs_registry.models import Reconstruction

ORIGINAL = "original"
# Ancillary, private, safe to copy (PNG 3rd edition, section 5.4): decoders skip it.
PADDING_CHUNK = b"paDd"
CHUNK_OVERHEAD = 12  # length, type, CRC
END_CHUNK_BYTES = 12


def delivered_bytes(png_sizes: list[int]) -> int:
    """The size to which every file of a task is padded, given the sizes of its PNG files."""
    return max(png_sizes) + CHUNK_OVERHEAD


def pad_png(png: bytes, size_bytes: int) -> bytes:
    """The same picture in a file of exactly `size_bytes`.

    Raises ValueError if the file leaves no room for the padding chunk.
    """
    room = size_bytes - len(png) - CHUNK_OVERHEAD
    if room < 0:
        raise ValueError(f"a PNG of {len(png)} bytes cannot be padded to {size_bytes}")
    padding = bytes(room)
    checksum = zlib.crc32(PADDING_CHUNK + padding)
    chunk = struct.pack(">I", room) + PADDING_CHUNK + padding + struct.pack(">I", checksum)
    return png[:-END_CHUNK_BYTES] + chunk + png[-END_CHUNK_BYTES:]


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
    return _crop_png(blob, tuple(task.crop)) if task.crop else blobs.read(blob)


@lru_cache(maxsize=256)  # one annotator after another asks for the same ones
def _crop_png(blob: str, crop: tuple[int, int, int, int]) -> bytes:
    """A part of a stored picture as PNG; `crop` is left, top, width, height."""
    left, top, width, height = crop
    with Image.open(io.BytesIO(blobs.read(blob))) as picture:
        part = picture.convert("RGB").crop((left, top, left + width, top + height))
    out = io.BytesIO()
    part.save(out, "PNG", compress_level=0)
    return out.getvalue()


def image_file(assignment: Assignment, position: int | None) -> bytes:
    """The padded PNG at a position of an assignment; None: the original."""
    task = assignment.task
    if position is None:
        blob = task.source.png
    else:
        blob = Reconstruction.objects.values_list("decoded", flat=True).get(
            id=assignment.shown[position]
        )
    return pad_png(shown_png(task, blob), task.delivery_bytes)
