"""The researcher's pages."""

import json
import zipfile

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from zipstream import ZipStream

from annotation.datasets import (
    FORMATS,
    Contents,
    export_files,
    judgments_csv,
    judgments_jsonl,
)
from annotation.datasets.contents import FILE_NAMES
from annotation.models import Campaign
from annotation.populations import BOTH
from annotation.stimuli import question_bytes
from codecs_registry.models import Reconstruction
from codecs_registry.responses import download
from evaluation import exporting, launching, reconstruction_scores, tour
from evaluation.access import Role, study_of
from evaluation.links import annotation_link
from evaluation.metric_versions import in_service
from evaluation.models import PEOPLE, SIMULATED, Study
from projects.access import current

State = Reconstruction.State


@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """Says that this web process answers; asks nobody else."""
    return HttpResponse("ok", content_type="text/plain")


class SignIn(LoginView):
    """Django's sign-in page; where htmx asked for a part of a page, the whole page is loaded."""

    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        response = super().dispatch(request, *args, **kwargs)
        if request.htmx:
            response["HX-Refresh"] = "true"
        return response


@login_required
@never_cache
@require_GET
def studies(request: HttpRequest) -> HttpResponse:
    project = current(request)
    if project is None:
        return redirect("projects")
    listed = [
        {
            "study": study,
            "judgments": study.judgment_counts(),
            "encoding": study.encoding_progress(),
        }
        for study in Study.objects.filter(project=project).select_related("campaign")
    ]
    return render(request, "evaluation/studies.html", {"studies": listed})


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
@never_cache
@require_GET
def study(request: HttpRequest, slug: str) -> HttpResponse:
    """A study: its encoding while that lasts, then its results. htmx asks for the body alone."""
    found = study_of(request, slug)
    counts = found.judgment_counts()
    population = asked_population(request, counts)
    context = {
        "study": found,
        "encoding": found.encoding_progress(),
        "failures": found.reconstructions.filter(state=State.FAILED).select_related("source"),
        "misses": found.reconstructions.filter(state=State.READY)
        .exclude(miss="")
        .select_related("source"),
        "counts": counts,
        "population": population,
        "is_simulated": population == SIMULATED,
        "tasks": found.campaign.measured_tasks.count(),
        "annotation_link": annotation_link(found),
        "question_bytes": question_bytes(found.campaign),
        "gold_tasks": found.campaign.gold_tasks.count(),
    }
    context["wanted"] = context["tasks"] * found.campaign.judgments_per_task
    if found.samples_actively and found.campaign.state == Campaign.State.OPEN:
        from evaluation.active_sampling import queue

        context["asked_next"] = queue(found)
    if counts[population]:
        # Imported here: together they take half a second, which only these pages need.
        from evaluation.analysis import analyse_study
        from evaluation.reports import results_context

        analysis = analyse_study(found, population=population)
        context |= results_context(analysis, is_simulated=context["is_simulated"], study=found)
        context["metric"] = reconstruction_scores.of_study(found)
    template = "evaluation/study_body.html" if request.htmx else "evaluation/study.html"
    return render(request, template, context)


@login_required
@require_POST
def retry(request: HttpRequest, slug: str) -> HttpResponse:
    launching.retry_encoding(study_of(request, slug, Role.RESEARCHER))
    return redirect("study", slug=slug)


@login_required
@require_POST
def close(request: HttpRequest, slug: str) -> HttpResponse:
    launching.close(study_of(request, slug, Role.RESEARCHER), by=request.user)
    return redirect("study", slug=slug)


@login_required
@require_POST
def reopen(request: HttpRequest, slug: str) -> HttpResponse:
    launching.reopen(study_of(request, slug, Role.RESEARCHER), by=request.user)
    return redirect("study", slug=slug)


@login_required
@never_cache
@require_GET
def stimuli(request: HttpRequest, slug: str) -> HttpResponse:
    """Every reconstruction of a study with its rate, and where it missed its target, why."""
    found = study_of(request, slug)
    made = found.reconstructions.select_related("source").order_by(
        "source__name", "codec", "target_bpp"
    )
    context = {
        "study": found,
        "reconstructions": made,
        "metric": in_service(),
        "distances": reconstruction_scores.of_reconstructions(found),
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
    """The results as one file that can be kept and sent."""
    from evaluation.analysis import analyse_study
    from evaluation.reports import report_html

    found = study_of(request, slug)
    population = asked_population(request, found.judgment_counts())
    analysis = analyse_study(found, population=population)
    page = report_html(
        analysis, title=found.name, is_simulated=population == SIMULATED, study=found
    )
    return download([page], "text/html; charset=utf-8", f"{slug}-report.html")


@login_required
@never_cache
@require_GET
def analysis_json(request: HttpRequest, slug: str) -> HttpResponse:
    """What `analyse --json` prints."""
    from evaluation.analysis import analyse_study

    found = study_of(request, slug)
    analysis = analyse_study(found, population=asked_population(request, found.judgment_counts()))
    return download(
        [json.dumps(analysis, indent=2, allow_nan=False)],
        "application/json",
        f"{slug}-results.json",
    )


def asked_population(request: HttpRequest, counts: dict[str, int]) -> str:
    """Whose judgments are asked for; people's, unless only simulated annotators judged."""
    default = PEOPLE if counts[PEOPLE] or not counts[SIMULATED] else SIMULATED
    asked = request.GET.get("judged_by", default)
    return asked if asked in counts else default
