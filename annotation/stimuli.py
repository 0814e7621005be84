"""The image files that annotators are sent.

Nothing about a file but its pixels may tell which codec made it: its name is the assignment's
token and a position, its size is the same for every image of the task, and it carries no metadata
and no date.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

from django.db.models import Q

from annotation.models import Assignment, Campaign, StoredCrop, Task, TaskReconstruction
from codecs_registry import blobs, lossless
from codecs_registry.models import Reconstruction
from codecs_registry.pictures import read_png, write_png, write_webp
from codecs_registry.remaking import Way, png_ways, read_whole, webp_ways

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


def stored_crops(blob: str, crops: Iterable[Sequence[int]]) -> list[StoredCrop]:
    """Parts of a stored picture; `crops` are left, top, width, height. Cuts what is not there."""
    crops = [tuple(each) for each in crops]
    known = {tuple(each.crop): each for each in StoredCrop.objects.filter(of=blob, crop__in=crops)}
    if len(known) < len(set(crops)):
        pixels = read_png(blobs.read(blob))
    for crop in crops:
        if crop not in known:
            left, top, width, height = crop
            files = lossless.store(pixels[top : top + height, left : left + width])
            known[crop], _ = StoredCrop.objects.get_or_create(
                of=blob, crop=crop, defaults=asdict(files)
            )
    return [known[crop] for crop in crops]


def ways_to_remake(name: str) -> Iterator[Way]:
    """How a lost part of a picture may be made again: codecs_registry/remaking.py."""
    for part in StoredCrop.objects.filter(Q(png=name) | Q(webp=name))[:1]:
        yield from webp_ways(part.png) if name == part.webp else png_ways(part.webp)
        yield Way("the whole picture, cut", partial(_cut_again, part, name))


def _cut_again(part: StoredCrop, name: str) -> bytes:
    left, top, width, height = part.crop
    pixels = read_png(read_whole(part.of))[top : top + height, left : left + width]
    return write_png(pixels) if name == part.png else write_webp(pixels) or b""


def shown_blob(task: Task, blob: str) -> str:
    """The PNG of what a task shows of a stored picture."""
    if not task.crop:
        return blob
    [part] = stored_crops(blob, [task.crop])
    return part.png


def shown_png(task: Task, blob: str) -> bytes:
    """What a task shows of a stored picture."""
    return blobs.read(shown_blob(task, blob))


def image_file(assignment: Assignment, position: int | None) -> bytes:
    """The padded file at a position of an assignment; None: the original."""
    task = assignment.task
    if position is None:
        png, webp = task.source.png, task.source.webp
    else:
        made = Reconstruction.objects.values_list("decoded", "webp")
        png, webp = made.get(id=assignment.shown[position])
    if task.crop:
        [part] = stored_crops(png, [task.crop])
        png, webp = part.png, part.webp
    content = blobs.read(png if task.delivery_format == PNG else webp)
    return pad(content, task.delivery_bytes, task.delivery_format)
