"""The image files that annotators are sent.

Nothing about a file but its pixels may tell which codec made it: its name is the assignment's
token and a position, its size is the same for every image of the task, and it carries no metadata
and no date.
"""

import struct
import zlib

from annotation.models import Assignment
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


def image_file(assignment: Assignment, position: int | None) -> bytes:
    """The padded PNG at a position of an assignment; None: the original."""
    task = assignment.task
    if position is None:
        blob = task.source.png
    else:
        blob = Reconstruction.objects.values_list("decoded", flat=True).get(
            id=assignment.shown[position]
        )
    return pad_png(blobs.read(blob), task.delivery_bytes)
