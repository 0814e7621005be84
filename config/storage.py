"""Where blobs lie, as Django's STORAGES has it."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def blob_storage(
    where: str | Path, *, endpoint: str = "", region: str = "", key: str = "", secret: str = ""
) -> dict[str, Any]:
    """where : a folder, or s3://bucket/prefix, which the others are about; empty ones are those of
    the machine."""
    if isinstance(where, Path):
        return {"BACKEND": "codecs_registry.blobs.BlobStorage", "OPTIONS": {"location": where}}
    parts = urlsplit(where)
    options = {
        "bucket_name": parts.netloc,
        "location": parts.path.strip("/"),
        "endpoint_url": endpoint or None,
        "region_name": region or None,
        "access_key": key or None,
        "secret_key": secret or None,
    }
    return {"BACKEND": "codecs_registry.object_storage.ObjectStorage", "OPTIONS": options}
