"""What the views of several apps send alike: files that never change, downloads, CSV, and pages
with a part that moves."""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core.files.storage import storages
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import content_disposition_header, urlencode

BLOB = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[A-Za-z0-9_.-]+)?")

# Another one each time, and nothing that anybody sees.
FORM_TOKEN = re.compile(r'<input type="hidden" name="csrfmiddlewaretoken"[^>]*>')


def mark_of(live: str) -> str:
    """By which a page tells which content of its moving part it has."""
    return hashlib.sha256(FORM_TOKEN.sub("", live).encode()).hexdigest()[:16]


def live_page(
    request: HttpRequest, live: str, context: dict, *, page: str, part: str, **of_page: str
) -> HttpResponse:
    """A page with its part that moves, or to htmx that part alone: 204 while the page has it.

    page, part : templates of both; they get `live`, and `next_query` to ask again with.
    of_page : what else the next request says of the page.
    """
    seen = mark_of(live)
    if request.htmx and request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    moving = {"live": live, "next_query": urlencode({"seen": seen, **of_page})}
    return render(request, part if request.htmx else page, context | moving)


def stored_file(blob: str, content_type: str, *, save_as: str = "") -> HttpResponseBase:
    """A blob, to be shown, or saved under a name; sent by the proxy in front where there is one
    that reads the same files (CLOSER_ACCEL_REDIRECT), which is told its name and nobody else.

    Raises ValueError for a name that is no blob's.
    """
    prefix = settings.CLOSER_ACCEL_REDIRECT
    if not prefix:
        file = storages["blobs"].open(blob)
        return FileResponse(
            file, as_attachment=bool(save_as), filename=save_as, content_type=content_type
        )
    if not BLOB.fullmatch(blob):
        raise ValueError(f"{blob!r} is no blob")
    response = HttpResponse(content_type=content_type)
    response["X-Accel-Redirect"] = f"{prefix.rstrip('/')}/{blob}"
    if save_as:
        response["Content-Disposition"] = content_disposition_header(True, save_as)
    return response


def immutable(response):
    """The response, to be kept by its reader alone: what lies under its address never changes.

    No proxy may compress or convert it: sizes would tell what it is, pixels would change.
    """
    response["Cache-Control"] = "private, max-age=86400, immutable, no-transform"
    return response


def download(content: Iterable, content_type: str, name: str) -> StreamingHttpResponse:
    """Content sent as it is made, for a file of this name."""
    return StreamingHttpResponse(
        content,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class _Line:
    """A file for csv.writer that returns each line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(header: Iterable, rows: Iterable[Iterable]) -> Iterator[str]:
    """A CSV file, a line at a time."""
    writer = csv.writer(_Line())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow(row)
