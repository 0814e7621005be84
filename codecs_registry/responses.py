"""What the views of several apps send alike: files that never change, downloads, CSV."""

import csv
from collections.abc import Iterable, Iterator

from django.http import StreamingHttpResponse


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
