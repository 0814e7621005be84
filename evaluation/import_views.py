"""The pages on which judgments made elsewhere are looked at, imported and analysed."""

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from codecs_registry import blobs, clock
from codecs_registry.responses import csv_lines, download
from evaluation import import_results, importing
from evaluation.access import Role, in_project
from evaluation.import_forms import (
    JUDGED_BY,
    FileForm,
    columns_asked,
    format_asked,
    taken_twice,
)
from evaluation.models import PEOPLE, ImportedJudgments, ImportPreview, Study
from projects.access import require
from projects.models import Project

MOST_SHOWN = 50
"""Failing rows on the page; the file of them has all."""


def import_of(request: HttpRequest, import_id: int, role: Role) -> ImportedJudgments:
    """The import of this number, if who asks has at least this role where it belongs."""
    found = get_object_or_404(
        ImportedJudgments.objects.select_related("study", "project"), id=import_id
    )
    require(request.user, found.project, role)
    return found


@in_project()
@never_cache
@require_GET
def imports(request: HttpRequest, project: Project) -> HttpResponse:
    listed = project.imported_judgments.select_related("study", "imported_by")
    return render(request, "evaluation/imports.html", {"imports": listed})


@in_project(Role.RESEARCHER)
@never_cache
@require_http_methods(["GET", "POST"])
def new_import(request: HttpRequest, project: Project) -> HttpResponse:
    """Upload a file to look at; nothing is imported by it."""
    form = FileForm(
        request.POST or None,
        request.FILES or None,
        project=project,
        initial={"study": request.GET.get("study")},
    )
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        importing.keep_for_preview(
            file.read(),
            file_name=file.name,
            study=form.cleaned_data["study"],
            by=request.user,
            now=clock.now(),
        )
        return redirect("import-preview")
    status = 422 if form.errors else 200
    return render(request, "evaluation/import_new.html", {"form": form}, status=status)


@in_project(Role.RESEARCHER)
@never_cache
@require_http_methods(["GET", "POST"])
def preview(request: HttpRequest, project: Project) -> HttpResponse:
    """What the uploaded file would become (GET); import just that (POST)."""
    kept = ImportPreview.objects.select_related("study").filter(user=request.user).first()
    if kept is None:
        messages.info(request, "There is no file to look at: choose one.")
        return redirect("new-import")
    content = bytes(kept.content)
    reading = _reading(request, kept, project)
    if request.method == "POST":
        if request.POST.get("digest") == reading.digest(content):
            return _import(request, kept, content, reading)
        messages.error(
            request,
            "This is another file than the one that you looked at, or is read in another way: "
            "nothing was imported. Look again.",
        )
        return redirect(_same_address(request))
    return render(request, "evaluation/import_preview.html", _context(request, kept, reading))


def _import(
    request: HttpRequest, kept: ImportPreview, content: bytes, reading: importing.Reading
) -> HttpResponse:
    try:
        imported = importing.import_judgments(
            content,
            file_name=kept.file_name,
            reading=reading,
            name=request.POST.get("name", ""),
            by=request.user,
        )
    except importing.AlreadyImported as already:
        messages.info(request, f"{already}. Here it is; nothing was imported twice.")
        imported = already.imported
    except importing.InvalidComparisons as error:
        messages.error(request, f"Nothing was imported: {error}")
        return redirect(_same_address(request))
    else:
        messages.success(request, f"{imported.n_used} rows of {imported.file_name} are imported.")
    kept.delete()
    return redirect(imported)


@in_project(Role.RESEARCHER)
@never_cache
@require_GET
def failing_rows(request: HttpRequest, project: Project) -> HttpResponse:
    """All rows of the file that fail, as CSV."""
    kept = get_object_or_404(ImportPreview.objects.select_related("study"), user=request.user)
    judgments = importing.dry_run(bytes(kept.content), _reading(request, kept, project)).judgments
    if judgments is None:
        raise Http404("the file is refused as a whole")
    rows = ((each.line, each.reason) for each in judgments.malformed)
    return download(csv_lines(("line", "reason"), rows), "text/csv", "failing-rows.csv")


@login_required
@require_POST
def discard(request: HttpRequest) -> HttpResponse:
    ImportPreview.objects.filter(user=request.user).delete()
    return redirect("imports")


def _reading(request: HttpRequest, kept: ImportPreview, project: Project) -> importing.Reading:
    """How the address says that the file is read."""
    asked = request.GET
    slug = asked.get("study", kept.study.slug if kept.study else "")
    study = Study.objects.filter(project=project, slug=slug.replace("\0", "")).first()
    return importing.Reading(
        format=format_asked(asked),
        columns=columns_asked(asked, importing.header(bytes(kept.content), format_asked(asked))),
        simulated=JUDGED_BY.get(asked.get("judged_by", "")),
        study=study,
        project=project,
    )


def _context(request: HttpRequest, kept: ImportPreview, reading: importing.Reading) -> dict:
    # Imported here, as in evaluation.views: half a second that only these pages need.
    from evaluation.import_words import cannot_be_had, read_aloud
    from evaluation.statistics.file_formats import FORMATS

    content = bytes(kept.content)
    found = importing.dry_run(content, reading)
    judgments = found.judgments
    known = importing.same_file(reading, judgments)
    return {
        "preview": kept,
        "reading": reading,
        "found": found,
        "judgments": judgments,
        "format": FORMATS[found.format],
        "formats": [(name, each.label) for name, each in FORMATS.items()],
        "of_format": {**FORMATS[found.format].required, **FORMATS[found.format].optional},
        "taken_twice": taken_twice(request.GET, [each.name for each in found.columns]),
        "studies": Study.objects.filter(project=reading.project),
        "judged_by": request.GET.get("judged_by", ""),
        "digest": reading.digest(content),
        "query": request.GET.urlencode(),
        "known": known,
        "most_shown": MOST_SHOWN,
        "read_aloud": read_aloud(judgments) if judgments else [],
        "cannot_be_had": cannot_be_had(judgments) if judgments else [],
        "table": judgments and (judgments.shares or judgments.comparisons),
    }


def _same_address(request: HttpRequest) -> str:
    return f"{reverse('import-preview')}?{request.GET.urlencode()}"


@login_required
@never_cache
@require_GET
def imported(request: HttpRequest, import_id: int) -> HttpResponse:
    """An import: where it came from, and the same results as those of a study."""
    from evaluation.reports import results_context
    from evaluation.statistics.file_formats import FORMATS
    from evaluation.stored_analyses import newest

    found = import_of(request, import_id, Role.VIEWER)
    context = {
        "imported": found,
        "format": FORMATS[found.format],
        "is_simulated": found.is_simulated,
        "most_shown": MOST_SHOWN,
    }
    try:
        results = import_results.results(found, now=clock.now())
    except importing.InvalidComparisons as error:
        return render(request, "evaluation/import.html", context | {"refusal": error})
    if results is None:
        return render(request, "evaluation/import.html", context | {"is_waiting": True})
    analysis = results["analysis"]
    context |= results | {"has_shares_alone": _has_shares_alone(analysis)}
    if not context["has_shares_alone"]:
        context |= results_context(analysis, is_simulated=found.is_simulated)
    if found.study and found.study.judgment_counts()[PEOPLE]:
        own = newest(found.study, PEOPLE, now=clock.now())
        context["beside"] = import_results.beside(own, analysis) if own else None
    return render(request, "evaluation/import.html", context)


def _results_or_none(found: ImportedJudgments) -> dict | None:
    """The results, or None where the import's page says why there are none."""
    try:
        return import_results.results(found, now=clock.now())
    except importing.InvalidComparisons:
        return None


def _has_shares_alone(analysis: dict) -> bool:
    return analysis["counts"]["judgments"] is None


@login_required
@never_cache
@require_GET
def import_json(request: HttpRequest, import_id: int) -> HttpResponse:
    """What `analyse --comparisons FILE --json` prints."""
    found = import_of(request, import_id, Role.VIEWER)
    results = _results_or_none(found)
    if results is None:
        return redirect(found)
    text = json.dumps(results["analysis"], indent=2, allow_nan=False)
    return download([text], "application/json", f"import-{found.id}-results.json")


@login_required
@never_cache
@require_GET
def import_report(request: HttpRequest, import_id: int) -> HttpResponse:
    """The results as one file that can be kept and sent."""
    from evaluation.reports import report_html

    found = import_of(request, import_id, Role.VIEWER)
    results = _results_or_none(found)
    if results is None:
        return redirect(found)
    if _has_shares_alone(results["analysis"]):
        raise Http404("shares of an unknown number of votes have no report")
    analysis = results["analysis"]
    page = report_html(analysis, title=found.name, is_simulated=found.is_simulated)
    return download([page], "text/html; charset=utf-8", f"import-{found.id}-report.html")


@login_required
@never_cache
@require_GET
def import_file(request: HttpRequest, import_id: int) -> HttpResponse:
    """The file as it came."""
    found = import_of(request, import_id, Role.VIEWER)
    return download([blobs.read(found.file)], "text/csv", f"import-{found.id}.csv")


@login_required
@require_POST
def remove_import(request: HttpRequest, import_id: int) -> HttpResponse:
    found = import_of(request, import_id, Role.RESEARCHER)
    importing.remove(found, by=request.user)
    messages.success(request, f"“{found.name}” is no longer imported.")
    return redirect("imports")
