"""What a results page has to download, and the script that makes its plots answer."""

import gzip
from functools import cache

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import condition, require_GET

from codecs_registry.responses import download
from evaluation.access import study_of
from evaluation.models import PEOPLE, PILOT, SIMULATED
from evaluation.views import newest_results, not_yet


@login_required
@never_cache
@require_GET
def plot_file(request: HttpRequest, slug: str, name: str, kind: str) -> HttpResponse:
    """A plot as SVG or PNG, or what it shows as CSV."""
    from evaluation.plot_files import plot_response

    study = study_of(request, slug)
    population, document = newest_results(request, study)
    if document is None:
        return not_yet(request, study)
    return plot_response(
        document,
        name=name,
        kind=kind,
        is_simulated=population == SIMULATED,
        stem=_stem(slug, population),
    )


@login_required
@never_cache
@require_GET
def report_pdf(request: HttpRequest, slug: str) -> HttpResponse:
    """The results as a PDF to keep and send."""
    from evaluation.report_pdf import report_pdf as made

    study = study_of(request, slug)
    population, document = newest_results(request, study)
    if document is None:
        return not_yet(request, study)
    title = f"{study.name}, pilot" if population == PILOT else study.name
    pdf = made(document, title=title, is_simulated=population == SIMULATED)
    return download([pdf], "application/pdf", f"{_stem(slug, population)}-report.pdf")


@login_required
@never_cache
@require_GET
def methods_bibtex(request: HttpRequest, slug: str) -> HttpResponse:
    """The works that the methods paragraph cites."""
    from evaluation.methods import methods

    study = study_of(request, slug)
    population, document = newest_results(request, study)
    if document is None:
        return not_yet(request, study)
    text = methods(document, is_simulated=population == SIMULATED).bibtex
    return download([text], "application/x-bibtex; charset=utf-8", f"{slug}-methods.bib")


def _stem(slug: str, population: str) -> str:
    """Of file names: what is not of people's judgments in the study itself says so."""
    return slug if population == PEOPLE else f"{slug}-{population}"


def _vega_tag(request: HttpRequest) -> str:
    from evaluation.plot_files import vega_bundle

    return vega_bundle()[1]


@require_GET
@condition(etag_func=_vega_tag)
def vega_script(request: HttpRequest) -> HttpResponse:
    """Vega as it was installed; no page of it is anybody's secret."""
    from evaluation.plot_files import vega_bundle

    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    script = _compressed_vega() if takes_gzip else vega_bundle()[0]
    response = HttpResponse(script, content_type="text/javascript; charset=utf-8")
    if takes_gzip:
        response["Content-Encoding"] = "gzip"
    response["Cache-Control"] = "public, max-age=86400"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


@cache
def _compressed_vega() -> bytes:
    from evaluation.plot_files import vega_bundle

    return gzip.compress(vega_bundle()[0], mtime=0)
