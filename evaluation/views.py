"""The researcher's pages."""

import json
import zipfile

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from zipstream import ZipStream

from annotation.counts import counts_of
from annotation.datasets import (
    FORMATS,
    Contents,
    export_files,
    judgments_csv,
    judgments_jsonl,
)
from annotation.datasets.contents import FILE_NAMES
from annotation.populations import BOTH
from codecs_registry import clock
from codecs_registry.responses import download
from evaluation import exporting, launching, reconstruction_scores, tour
from evaluation.access import Role, in_project, study_of
from evaluation.encoding_progress import encoding_counts
from evaluation.metric_versions import in_service
from evaluation.models import PILOT, SIMULATED, Study
from evaluation.study_page import population_of
from projects.models import Project

PER_PAGE = 50  # studies of the list
STIMULI_PER_PAGE = 200


@in_project()
@never_cache
@require_GET
def studies(request: HttpRequest, project: Project) -> HttpResponse:
    found = Study.objects.filter(project=project).select_related("campaign", "pilot")
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    counts = counts_of(each.campaign_id for each in page)
    encoding = encoding_counts([each.id for each in page if each.n_tasks is None])
    listed = [
        {
            "study": study,
            "judgments": counts[study.campaign_id],
            "encoding": encoding.get(study.id, {}),
        }
        for study in page
    ]
    return render(request, "evaluation/studies.html", {"studies": listed, "page": page})


@login_required
@require_POST
def put_tour_away(request: HttpRequest) -> HttpResponse:
    """This browser shows the first-run tour no more."""
    response = redirect("studies")
    response.set_cookie(
        tour.COOKIE,
        tour.PUT_AWAY,
        max_age=400 * 24 * 3600,  # the longest that browsers keep a cookie
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@login_required
@require_POST
def retry(request: HttpRequest, slug: str) -> HttpResponse:
    launching.retry_encoding(study_of(request, slug, Role.RESEARCHER), by=request.user)
    return redirect("study", slug=slug)


@login_required
@never_cache
@require_GET
def stimuli(request: HttpRequest, slug: str) -> HttpResponse:
    """Every reconstruction of a study with its rate, and where it missed its target, why."""
    found = study_of(request, slug)
    made = found.reconstructions.select_related("source").order_by(
        "source__name", "source", "codec", "target_bpp"
    )
    page = Paginator(made, STIMULI_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "study": found,
        "page": page,
        "reconstructions": page,
        "metric": in_service(),
        "distances": reconstruction_scores.of_reconstructions([each.id for each in page]),
    }
    return render(request, "evaluation/stimuli.html", context)


@login_required
@never_cache
@require_GET
def download_judgments(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Judgments as they are at this moment, of ?population=people or simulated alone if it is
    given."""
    population = request.GET.get("population", BOTH)
    if population not in FILE_NAMES:
        population = BOTH
    lines = judgments_csv(study_of(request, slug).campaign, population=population)
    return download(lines, "text/csv", f"{slug}-judgments.csv")


@login_required
@never_cache
@require_GET
def download_everything(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """All that is stored of each judgment: viewing conditions, what was looked at, practice."""
    lines = judgments_jsonl(study_of(request, slug).campaign)
    return download(lines, "application/jsonl", f"{slug}-judgments.jsonl")


@login_required
@never_cache
@require_GET
def download_dataset(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """The 2AFC dataset as a ZIP file, made while it is sent: one that breaks off has no directory,
    so no reader takes it for whole."""
    found = study_of(request, slug)
    archive = ZipStream(compress_type=zipfile.ZIP_STORED)

    contents = Contents(found.campaign, BOTH, exporting.about(found, by=request.user))

    def chunks():
        for file in export_files(FORMATS["bapps"], contents):
            archive.add(file.chunks, f"{slug}/{file.name}")
            yield from archive.file()
        yield from archive.finalize()

    return download(chunks(), "application/zip", f"{slug}-2afc.zip")


@login_required
@never_cache
@require_GET
def report(request: HttpRequest, slug: str) -> HttpResponse:
    """The results as one file that can be kept and sent: as they were analysed last."""
    from evaluation.reports import report_html

    found = study_of(request, slug)
    population, document = newest_results(request, found)
    if document is None:
        return not_yet(request, found)
    title = f"{found.name}, pilot" if population == PILOT else found.name
    page = report_html(document, title=title, is_simulated=population == SIMULATED, study=found)
    return download([page], "text/html; charset=utf-8", f"{slug}-report.html")


@login_required
@never_cache
@require_GET
def analysis_json(request: HttpRequest, slug: str) -> HttpResponse:
    """What `analyse --json` prints, as it was analysed last."""
    found = study_of(request, slug)
    _, document = newest_results(request, found)
    if document is None:
        return not_yet(request, found)
    # On one line: what indents is Python's slow encoder, and megabytes take it a third of a second.
    text = json.dumps(document, allow_nan=False)
    return download([text], "application/json", f"{slug}-results.json")


def newest_results(request: HttpRequest, found: Study) -> tuple[str, dict | None]:
    """Whose results are asked for, and these as they were analysed last; None where their first
    analysis is being made."""
    from evaluation.stored_analyses import newest  # with all of statistics

    population = population_of(found, request.GET.get("judged_by"))
    return population, newest(found, population, now=clock.now())


def not_yet(request: HttpRequest, found: Study) -> HttpResponse:
    messages.info(request, "Its judgments are being analysed for the first time: try again soon.")
    return redirect("study", slug=found.slug)
