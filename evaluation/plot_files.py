"""Plots as files, and the script that makes them answer."""

from __future__ import annotations

import hashlib
from functools import cache

import vl_convert
from django.http import Http404, HttpResponse

from evaluation import plots
from evaluation.reports import plot_title

TYPES = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
}


def plot_response(
    document: dict, *, name: str, kind: str, is_simulated: bool, stem: str
) -> HttpResponse:
    """A plot of a document to download. Raises Http404 where there is none of this name or kind.

    stem : of the file's name.
    """
    if name not in plots.NAMES or kind not in TYPES:
        raise Http404
    plot = plots.plot_named(name, document, title=plot_title(document, is_simulated))
    if plot is None:
        raise Http404
    content = {"svg": plot.svg_file, "png": plot.png_file, "csv": plot.csv_file}[kind]()
    return HttpResponse(
        content,
        content_type=TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="{stem}-{name}.{kind}"'},
    )


@cache
def vega_bundle() -> tuple[bytes, str]:
    """Vega, Vega-Lite and their interpreter as one script, as the installed package brings them
    (BSD 3-clause, University of Washington Interactive Data Lab), and its ETag.

    It is never evaluated from text: the interpreter keeps pages free of 'unsafe-eval'.
    """
    script = vl_convert.javascript_bundle().encode()
    return script, f'"{hashlib.sha256(script).hexdigest()[:32]}"'
