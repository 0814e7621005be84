"""The researcher's page of a study's data: exports are asked for, watched, downloaded, deleted."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import exports
from annotation.datasets import FORMATS
from annotation.models import Export
from annotation.populations import BOTH
from codecs_registry.ranges import ranged_file
from evaluation import exporting
from evaluation.access import Role, study_of
from evaluation.models import PEOPLE, SIMULATED, Study


@login_required
@never_cache
@require_GET
def data(request: HttpRequest, slug: str) -> HttpResponse:
    """What can be had of a study, and what was. htmx asks for the list of exports alone."""
    study = study_of(request, slug)
    context = _listed(study)
    if request.htmx:
        return render(request, "evaluation/data_body.html", context)
    counts = study.judgment_counts()
    preferred = PEOPLE if counts[PEOPLE] or not counts[SIMULATED] else SIMULATED
    context |= {
        "formats": [(each, each.loader_of(preferred)) for each in FORMATS.values()],
        "populations": [
            (PEOPLE, "People", counts[PEOPLE]),
            (SIMULATED, "Simulated annotators", counts[SIMULATED]),
            (BOTH, "Both, marked", counts[PEOPLE] and counts[SIMULATED] and sum(counts.values())),
        ],
        "preferred": preferred,
        "counts": counts,
    }
    return render(request, "evaluation/data.html", context)


def _listed(study: Study) -> dict:
    found = list(exporting.exports_of(study))
    for each in found:
        each.label = FORMATS[each.format].label if each.format in FORMATS else each.format
    return {
        "study": study,
        "exports": found,
        "is_watched": any(not each.is_over for each in found),
    }


@login_required
@require_POST
def request_export(request: HttpRequest, slug: str) -> HttpResponse:
    study = study_of(request, slug, Role.RESEARCHER)
    form = request.POST.get("format", "")
    population = request.POST.get("population", PEOPLE)
    try:
        exporting.request(study, form, population, by=request.user)
    except exports.UnknownExport as error:
        messages.error(request, f"It cannot be made: {error}.")
    except exporting.NothingToExport as error:
        messages.error(request, f"{error}.")
    return redirect("data", slug=slug)


@login_required
@require_POST
def retry(request: HttpRequest, slug: str, export_id: int) -> HttpResponse:
    if not exporting.retry(_export(request, slug, export_id, Role.RESEARCHER)):
        messages.info(request, "There is nothing to try again: the same is being made, or is done.")
    return redirect("data", slug=slug)


@login_required
@require_POST
def delete(request: HttpRequest, slug: str, export_id: int) -> HttpResponse:
    study = study_of(request, slug, Role.RESEARCHER)
    export = get_object_or_404(study.campaign.exports, id=export_id)
    exporting.delete(study, export, by=request.user)
    messages.success(request, f"{export.name} is deleted. It can be made again.")
    return redirect("data", slug=slug)


@login_required
@never_cache
@require_GET
def download_export(request: HttpRequest, slug: str, export_id: int) -> HttpResponseBase:
    export = _export(request, slug, export_id, Role.VIEWER)
    path = exports.archive_of(export)
    if export.state != Export.State.READY or not path.exists():
        raise Http404
    return ranged_file(
        request, path, "application/x-tar", name=f"{export.name}.tar", etag=export.sha256
    )


def _export(request: HttpRequest, slug: str, export_id: int, role: Role) -> Export:
    return get_object_or_404(study_of(request, slug, role).campaign.exports, id=export_id)
