"""How much memory encodes may take together on this machine."""

from pathlib import Path

import psutil

from codecs_registry.codecs.base import Codec

_HELD = 6
"""Bytes a pixel of the source, and of a copy that a codec may make."""
_SCORING = 24
"""Bytes a pixel to read a reconstruction, measure it and write it as PNG, after the encodes."""
_PROCESS = 150 * 2**20
"""Bytes of a process that has loaded everything and encodes nothing."""
_SHARE = 0.75
"""Of the machine's memory: the rest is for the web server, the database and the system."""


def encode_bytes(codec: Codec, pixel_count: int) -> int:
    """About what a rate-matched encode of a picture of so many pixels takes at its peak."""
    return _PROCESS + (max(codec.memory_per_pixel, _SCORING) + _HELD) * pixel_count


def budget_bytes(megabytes: int = 0) -> int:
    """What all encodes of this machine may take: so many megabytes, or three quarters of what
    the machine, or the container, has."""
    return megabytes * 2**20 or int(_SHARE * min(psutil.virtual_memory().total, _container()))


def in_words(size: int) -> str:
    """'1.5 GB'."""
    return f"{size / 2**30:.2g} GB"


def _container() -> int:
    """The limit of the control group that this process runs in (cgroup v2)."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return int(limit) if limit.isdigit() else 2**63
