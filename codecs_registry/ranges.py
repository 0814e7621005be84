"""Large files, sent whole or from where a download broke off (RFC 9110, section 14)."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

BLOCK_BYTES = 2**18
_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def ranged_file(
    request: HttpRequest, path: Path, content_type: str, *, name: str, etag: str
) -> HttpResponseBase:
    """A file to be saved under a name, or the one range of it that is asked for.

    etag : changes whenever the file does; a range of another one than it was begun with is not
    sent, but the whole file, and nothing to who has it (304). Several ranges at once are not: they
    get the whole file, too.
    """
    size = path.stat().st_size
    headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        unchanged = HttpResponse(status=304, headers=headers)
        del unchanged["Content-Type"]
        return unchanged
    found = _ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    is_same = request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
    if not found or not any(found.groups()) or not is_same:
        return FileResponse(
            path.open("rb"),
            as_attachment=True,
            filename=name,
            content_type=content_type,
            headers=headers,
        )
    first, end = _bounds(*found.groups(), size)
    if first >= end:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers |= {
        "Content-Range": f"bytes {first}-{end - 1}/{size}",
        "Content-Length": str(end - first),
        "Content-Disposition": content_disposition_header(True, name),
    }
    return StreamingHttpResponse(
        _blocks(path, first, end), status=206, content_type=content_type, headers=headers
    )


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """Where a range begins, and where it has ended; "bytes=-5" are the last five."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1, size) if last else size


def _blocks(path: Path, first: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while first < end and (block := file.read(min(BLOCK_BYTES, end - first))):
            first += len(block)
            yield block
