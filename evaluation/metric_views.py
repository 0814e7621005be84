"""The researcher's pages of the metric: versions, trainings, rules, and where pictures differ."""

from mimetypes import guess_type

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from codecs_registry.models import Reconstruction, SourceImage
from codecs_registry.responses import immutable, stored_file
from evaluation import difference_maps, metric_tasks, reconstruction_scores, training_runs
from evaluation.access import Role, for_the_metric, study_of
from evaluation.metric_forms import RuleForm
from evaluation.metric_models import DifferenceMap, MetricVersion, RetrainingRule, TrainingRun
from evaluation.metric_versions import (
    VersionUnavailable,
    bundled,
    in_service,
    put_in_service,
)
from evaluation.populations import POPULATIONS, SIMULATED
from evaluation.training_data import new_judgments, number_of_judgments
from projects import audit

State = TrainingRun.State


@for_the_metric()
@never_cache
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """All versions, what is in training, and the rules. htmx asks for what is in training alone,
    and gets the whole page once that has changed."""
    runs = list(TrainingRun.objects.exclude(state=State.FINISHED))
    if request.htmx:
        seen = request.GET.get("runs", "")
        if seen != _seen(runs):
            return HttpResponse(headers={"HX-Refresh": "true"})
        return render(request, "evaluation/metric_runs.html", _of_runs(runs))
    return _metrics_page(request, runs)


def _metrics_page(
    request: HttpRequest,
    runs: list[TrainingRun],
    *,
    form: RuleForm | None = None,
    status: int = 200,
) -> HttpResponse:
    # Imported here: Altair takes half a second, which only this page needs.
    from evaluation.version_plots import history_plot

    versions = list(MetricVersion.objects.select_related("parent"))
    histories = []
    for population in POPULATIONS:
        of_population = [each for each in versions if each.population == population]
        is_simulated = population == SIMULATED
        if of_population:
            plot = history_plot(of_population, is_simulated=is_simulated)
            histories.append(
                {"is_simulated": is_simulated, "plot": plot, "versions": of_population}
            )
    context = {
        **_of_runs(runs),
        "histories": histories,
        "present": next((each for each in versions if each.is_in_service), None),
        "rules": [_rule_context(population, form) for population in POPULATIONS],
    }
    return render(request, "evaluation/metrics.html", context, status=status)


def _of_runs(runs: list[TrainingRun]) -> dict:
    is_watched = (
        any(not run.is_over for run in runs) or RetrainingRule.objects.filter(is_on=True).exists()
    )
    return {"runs": runs, "seen": _seen(runs), "is_watched": is_watched}


def _seen(runs: list[TrainingRun]) -> str:
    """Which runs a page shows, and which of them are over."""
    return ",".join(f"{run.id}{'!' if run.is_over else ''}" for run in runs)


def _rule(population: str) -> RetrainingRule:
    found = RetrainingRule.objects.filter(population=population).first()
    return found or RetrainingRule(population=population)


def _rule_context(population: str, form: RuleForm | None) -> dict:
    rule = _rule(population)
    return {
        "population": population,
        "is_simulated": population == SIMULATED,
        "rule": rule,
        "form": form
        if form and form.instance.population == population
        else RuleForm(instance=rule, prefix=population),
        "judgments": number_of_judgments(population),
        "new": new_judgments(rule),
    }


@for_the_metric(Role.RESEARCHER)
@require_POST
def set_rule(request: HttpRequest, population: str) -> HttpResponse:
    _require_known(population)
    form = RuleForm(request.POST, instance=_rule(population), prefix=population)
    if not form.is_valid():
        runs = list(TrainingRun.objects.exclude(state=State.FINISHED))
        return _metrics_page(request, runs, form=form, status=422)
    with transaction.atomic():
        kept = form.save()
        _record(request, "set a rule of training", population, is_on=kept.is_on)
    metric_tasks.wake(metric_tasks.look_for_work)
    messages.success(request, "The rule is kept.")
    return redirect("metrics")


@for_the_metric(Role.RESEARCHER)
@require_POST
def train_now(request: HttpRequest, population: str) -> HttpResponse:
    """Train as the rule would, whether it is due or not."""
    from evaluation.retraining import ask_by_rule

    _require_known(population)
    rule, _ = RetrainingRule.objects.get_or_create(population=population)
    try:
        with transaction.atomic():
            run = ask_by_rule(rule, by=request.user)
            _record(request, "asked for a training", run.name)
    except IntegrityError:  # training_run_once_a_rule
        messages.info(request, "It is in training already.")
        return redirect("metrics")
    metric_tasks.wake(metric_tasks.train_next)
    return redirect("training", run_id=run.id)


def _record(request: HttpRequest, action: str, subject: str, **details: object) -> None:
    """In the installation's log: the metric is no single project's."""
    audit.record(action, subject, by=request.user, project=None, **details)


def _require_known(population: str) -> None:
    if population not in POPULATIONS:
        raise Http404


# --- a training -----------------------------------------------------------------------------------


@for_the_metric()
@never_cache
@require_GET
def training(request: HttpRequest, run_id: int) -> HttpResponse:
    """How far a training is. htmx asks for the body alone."""
    from evaluation.version_plots import curve_plot

    run = get_object_or_404(
        TrainingRun.objects.select_related("study", "start", "version", "rule"), id=run_id
    )
    context = {"run": run, "plot": curve_plot(run.curve)}
    template = "evaluation/training_body.html" if request.htmx else "evaluation/training.html"
    return render(request, template, context)


@for_the_metric(Role.RESEARCHER)
@require_POST
def retry(request: HttpRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(TrainingRun, id=run_id)
    if not training_runs.retry(run):
        messages.info(request, "There is nothing to try again: a later training is under way.")
    metric_tasks.wake(metric_tasks.train_next)
    return redirect("training", run_id=run.id)


@for_the_metric(Role.RESEARCHER)
@require_POST
def discard(request: HttpRequest, run_id: int) -> HttpResponse:
    run = get_object_or_404(TrainingRun, id=run_id)
    if not training_runs.discard(run):
        messages.error(request, "It is in training, or done.")
        return redirect("training", run_id=run.id)
    messages.success(request, f"The training of {run.name} is forgotten.")
    return redirect("metrics")


# --- a version ------------------------------------------------------------------------------------


@for_the_metric()
@never_cache
@require_GET
def version(request: HttpRequest, name: str) -> HttpResponse:
    from evaluation.metric_plots import metric_score_plot
    from evaluation.version_plots import curve_plot

    found = get_object_or_404(MetricVersion.objects.select_related("parent", "run"), name=name)
    context = {
        "version": found,
        "run": TrainingRun.objects.filter(version=found).first(),
        "curve": curve_plot(found.curve),
        "score_plot": metric_score_plot(found.scores) if found.scores else None,
        "split": _named_split(found),
        "hardest": _named_hardest(found),
    }
    return render(request, "evaluation/metric_version.html", context)


def _named_split(version: MetricVersion) -> list[tuple[str, list[tuple[str, int | None]]]]:
    """The source images that were fitted, watched and held out: the name of each and its id, None
    where it is none of ours."""
    known = _sources({each for contents in version.split.values() for each in contents})
    return [
        (kind, sorted(known.get(each, (each[:24], None)) for each in version.split[kind]))
        for kind in ("fitted", "watched", "held_out")
    ]


def _named_hardest(version: MetricVersion) -> list[dict]:
    known = _sources({each["content"] for each in version.hardest})
    return [
        {
            **each,
            "number": number,
            "name": known.get(each["content"], (each["content"][:24], None))[0],
            "chose_p1": each["distances"][1] < each["distances"][0],
        }
        for number, each in enumerate(version.hardest)
    ]


def _sources(hashes: set[str]) -> dict[str, tuple[str, int | None]]:
    found = SourceImage.objects.filter(sha256__in=hashes)
    return {
        sha256: (name, number) for sha256, name, number in found.values_list("sha256", "name", "id")
    }


@for_the_metric(Role.RESEARCHER)
@require_POST
def serve_bundled(request: HttpRequest) -> HttpResponse:
    """Put the version that comes with Closer in service."""
    try:
        found = bundled()
    except VersionUnavailable as error:
        messages.error(request, str(error))
        return redirect("metrics")
    return _served(request, found)


@for_the_metric(Role.RESEARCHER)
@require_POST
def serve(request: HttpRequest, name: str) -> HttpResponse:
    """Put a version in service."""
    return _served(request, get_object_or_404(MetricVersion, name=name))


def _served(request: HttpRequest, found: MetricVersion) -> HttpResponse:
    with transaction.atomic():
        put_in_service(found)
        _record(request, "put a metric in service", found.name)
    metric_tasks.wake(metric_tasks.score_reconstructions)
    messages.success(request, f"{found} is in service. Reconstructions are being scored by it.")
    return redirect("metric", name=found.name)


@for_the_metric()
@require_GET
def download_file(request: HttpRequest, name: str) -> HttpResponseBase:
    found = get_object_or_404(MetricVersion, name=name)
    name = f"{found.name}.safetensors"
    return stored_file(found.file, "application/octet-stream", save_as=name)


@for_the_metric()
@require_GET
def download_pairs(request: HttpRequest, name: str) -> HttpResponseBase:
    """The judged pairs that it was trained and scored on."""
    found = get_object_or_404(MetricVersion.objects.exclude(manifest=""), name=name)
    return stored_file(found.manifest, "text/csv", save_as=f"{found.name}-pairs.csv")


@for_the_metric()
@require_GET
def hardest_picture(request: HttpRequest, name: str, number: int, side: str) -> HttpResponseBase:
    found = get_object_or_404(MetricVersion, name=name)
    try:
        blob = found.hardest[number]["pictures"][side]
    except (IndexError, KeyError):
        raise Http404 from None
    return immutable(stored_file(blob, guess_type(blob)[0] or "application/octet-stream"))


# --- pictures -------------------------------------------------------------------------------------


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def differences(request: HttpRequest, slug: str, reconstruction_id: int) -> HttpResponse:
    """Where a reconstruction differs from its source image, as the version in service sees it. POST
    asks for the map; htmx asks for it again until it is there."""
    study = study_of(request, slug)
    ready = study.reconstructions.filter(state=Reconstruction.State.READY)
    made = get_object_or_404(ready.select_related("source"), id=reconstruction_id)
    present = in_service()
    if request.method == "POST":
        if present:
            difference_maps.ask(present, made)
            metric_tasks.wake(metric_tasks.draw_differences)
        return redirect("differences", slug=slug, reconstruction_id=made.id)
    asked = DifferenceMap.objects.filter(version=present, reconstruction=made).first()
    context = {"study": study, "made": made, "present": present, "map": asked}
    name = "differences_body" if request.htmx else "differences"
    return render(request, f"evaluation/{name}.html", context)


@login_required
@require_GET
def difference_picture(request: HttpRequest, map_id: int) -> HttpResponseBase:
    seen = SourceImage.objects.seen_by(request.user)
    found = get_object_or_404(
        DifferenceMap.objects.exclude(picture=""), id=map_id, reconstruction__source__in=seen
    )
    return immutable(stored_file(found.picture, "image/png"))


@login_required
@never_cache
@require_GET
def scoring_progress(request: HttpRequest, slug: str) -> HttpResponse:
    """How far the version in service has scored a study; the whole page once it has."""
    study = study_of(request, slug)
    found = reconstruction_scores.of_study(study)
    if not request.htmx:
        return redirect("study", slug=slug)
    if found is None or found.is_complete:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "evaluation/metric_scoring.html", {"study": study, "metric": found})
