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
from evaluation.models import SIMULATED, Study
from evaluation.views import asked_population


@login_required
@never_cache
@require_GET
def plot_file(request: HttpRequest, slug: str, name: str, kind: str) -> HttpResponse:
    """A plot as SVG or PNG, or what it shows as CSV."""
    from evaluation.plot_files import plot_response

    study, population = asked(request, slug)
    return plot_response(
        lambda: document_of(study, population),
        name=name,
        kind=kind,
        is_simulated=population == SIMULATED,
        stem=slug,
    )


@login_required
@never_cache
@require_GET
def report_pdf(request: HttpRequest, slug: str) -> HttpResponse:
    """The results as a PDF to keep and send."""
    from evaluation.report_pdf import report_pdf as made

    study, population = asked(request, slug)
    document = document_of(study, population)
    pdf = made(document, title=study.name, is_simulated=population == SIMULATED)
    return download([pdf], "application/pdf", f"{slug}-report.pdf")


@login_required
@never_cache
@require_GET
def methods_bibtex(request: HttpRequest, slug: str) -> HttpResponse:
    """The works that the methods paragraph cites."""
    from evaluation.methods import methods

    study, population = asked(request, slug)
    document = document_of(study, population)
    text = methods(document, is_simulated=population == SIMULATED).bibtex
    return download([text], "application/x-bibtex; charset=utf-8", f"{slug}-methods.bib")


def asked(request: HttpRequest, slug: str) -> tuple[Study, str]:
    """The study, and whose judgments are asked for."""
    study = study_of(request, slug)
    return study, asked_population(request, study.judgment_counts())


def document_of(study: Study, population: str) -> dict:
    """What `analyse --json` prints."""
    from evaluation.analysis import analyse_study

    return analyse_study(study, population=population)


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
