"""The pages of downstream evaluations: the list, one of them, its file, upload and removal."""

import json

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from codecs_registry.responses import download
from evaluation.access import Role, in_project
from evaluation.downstream import keeping
from evaluation.downstream.document import BadDocument, by_rate, read_document, tables
from evaluation.downstream.models import DownstreamEvaluation
from projects.access import require
from projects.models import Project


class UploadForm(forms.Form):
    name = forms.CharField(max_length=keeping.NAME_LENGTH)
    file = forms.FileField(
        label="File",
        help_text="What manage.py evaluate_downstream --json printed.",
        widget=forms.ClearableFileInput(attrs={"accept": ".json,application/json"}),
    )

    def clean_file(self):
        """The document in it."""
        file = self.cleaned_data["file"]
        if file.size > keeping.MOST_BYTES:
            raise forms.ValidationError(f"At most {keeping.MOST_BYTES // 2**20} MB.")
        try:
            return read_document(file.read())
        except BadDocument as error:
            raise forms.ValidationError(f"These are no results: {error}.") from None


def _kept(request: HttpRequest, number: int, role: Role) -> DownstreamEvaluation:
    found = get_object_or_404(
        DownstreamEvaluation.objects.select_related("project", "kept_by"), id=number
    )
    require(request.user, found.project, role)
    return found


@in_project()
@never_cache
@require_GET
def evaluations(request: HttpRequest, project: Project) -> HttpResponse:
    return _listed(request, project, UploadForm())


@in_project(Role.RESEARCHER)
@never_cache
@require_POST
def upload(request: HttpRequest, project: Project) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _listed(request, project, form, status=422)
    try:
        kept = keeping.keep(
            form.cleaned_data["file"],
            name=form.cleaned_data["name"],
            project=project,
            by=request.user,
        )
    except keeping.AlreadyKept as already:
        messages.info(request, f"{already}. Here they are.")
        kept = already.kept
    return redirect(kept)


def _listed(
    request: HttpRequest, project: Project, form: UploadForm, status: int = 200
) -> HttpResponse:
    context = {
        "evaluations": project.downstream_evaluations.select_related("kept_by"),
        "form": form,
    }
    return render(request, "evaluation/downstream.html", context, status=status)


@login_required
@never_cache
@require_GET
def evaluation(request: HttpRequest, evaluation_id: int) -> HttpResponse:
    """Tables of all measures, and the plot."""
    # Imported here: Altair takes half a second, which only this page needs.
    from evaluation.downstream.plots import downstream_plot

    kept = _kept(request, evaluation_id, Role.VIEWER)
    found = tables(kept.document)
    context = {
        "kept": kept,
        "document": kept.document,
        "plot": downstream_plot(kept.document),
        "first": [table for table in found if table["is_first"]],
        "others": [table for table in found if not table["is_first"]],
        "strata": by_rate(kept.document),
    }
    return render(request, "evaluation/downstream_evaluation.html", context)


@login_required
@never_cache
@require_GET
def evaluation_json(request: HttpRequest, evaluation_id: int) -> HttpResponse:
    """What the command printed."""
    kept = _kept(request, evaluation_id, Role.VIEWER)
    text = json.dumps(kept.document, indent=2, allow_nan=False)
    return download([text], "application/json", f"downstream-{kept.id}.json")


@login_required
@require_POST
def remove(request: HttpRequest, evaluation_id: int) -> HttpResponse:
    kept = _kept(request, evaluation_id, Role.RESEARCHER)
    keeping.remove(kept, by=request.user)
    messages.success(request, f"“{kept.name}” is no longer kept.")
    return redirect("downstream")
