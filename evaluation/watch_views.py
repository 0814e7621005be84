"""The researcher's page of a study that goes on: what moves on it, and what can be done with it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from codecs_registry import clock
from codecs_registry.responses import mark_of
from evaluation import launching, study_page
from evaluation.access import Role, study_of
from evaluation.change_forms import ChangeForm
from evaluation.changes import NotAllowed, change
from evaluation.models import Study
from evaluation.study_files import InvalidStudy


@login_required
@never_cache
@require_GET
def study(request: HttpRequest, slug: str) -> HttpResponse:
    """A study: its encoding while that lasts, then what is judged and what results."""
    found = study_of(request, slug)
    population = study_page.population_of(found, request.GET.get("judged_by"))
    now = clock.now()
    context = study_page.whole(found, population, now=now)
    context |= _parts(request, found, context)
    return render(request, "evaluation/study.html", context)


@login_required
@never_cache
@require_GET
def watch(request: HttpRequest, slug: str) -> HttpResponse:
    """What moves on a study's page: 204 while it is as the page has it, the whole page again when
    the study is in another state, or others judge than those whose judgments are on it."""
    found = study_of(request, slug)
    population = study_page.population_of(found, request.GET.get("judged_by"))
    is_other = request.GET.get("population", population) != population
    if is_other or request.GET.get("state") != found.state:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = study_page.live(found, population, now=clock.now(), is_patient=True)
    parts = _parts(request, found, context, shown=request.GET.get("shown"))
    if parts["seen"] == request.GET.get("seen"):
        return HttpResponse(status=204)
    return render(request, "evaluation/study_live.html", context | parts)


def _parts(request: HttpRequest, found: Study, context: dict, *, shown: str | None = None) -> dict:
    """The part of the page that moves, and how the next request tells which it has.

    shown : of the analysis whose results are on the page, its number.
    """
    is_encoding = found.state == Study.State.ENCODING
    name = "encoding" if is_encoding else "watch"
    stands = context.get("stands")
    newest = str(stands.stored.news) if stands and stands.stored else ""
    shown = newest if shown is None else shown
    moving = context | {"has_newer": shown != newest}
    live = render_to_string(f"evaluation/study_{name}.html", moving)
    seen = mark_of(live)
    next_query = {"state": str(found.state), "seen": seen, "shown": shown}
    next_query |= {
        name: value
        for name, value in (
            ("population", context.get("population")),
            ("judged_by", request.GET.get("judged_by")),
        )
        if value
    }
    return {
        "live": live,
        "seen": seen,
        "next_query": urlencode(next_query),
        "is_moving": _is_moving(found, context),
    }


def _is_moving(found: Study, context: dict) -> bool:
    if found.state == Study.State.ENCODING:
        encoding = context["encoding"]
        return bool(encoding.running or encoding.waiting or not encoding.failed)
    is_judged = found.state in (Study.State.OPEN, Study.State.PILOT)
    return is_judged or context["stands"].is_stale


@login_required
@require_POST
def move(request: HttpRequest, slug: str) -> HttpResponse:
    """Open, pause, close ...: a step of launching.MOVES by its name."""
    found = study_of(request, slug, Role.RESEARCHER)
    take = launching.MOVE_FUNCTIONS.get(request.POST.get("move", ""))
    if take is None:
        return HttpResponse("There is no such step.", status=400, content_type="text/plain")
    return _taken(request, found, take)


def _taken(request: HttpRequest, found: Study, take) -> HttpResponse:
    try:
        take(found, by=request.user)
    except NotAllowed as error:
        messages.error(request, f"{error}.")
    return redirect("study", slug=found.slug)


@login_required
@require_POST
def prefer(request: HttpRequest, slug: str) -> HttpResponse:
    """What the study does once all is encoded."""
    found = study_of(request, slug, Role.RESEARCHER)
    when_ready = request.POST.get("when_ready", "")
    if when_ready not in Study.WhenReady.values:
        return HttpResponse("There is no such choice.", status=400, content_type="text/plain")
    return _taken(request, found, lambda study, by: launching.prefer(study, when_ready, by=by))


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def change_study(request: HttpRequest, slug: str) -> HttpResponse:
    """Extend a study, or change what else can be changed; and all changes so far."""
    found = study_of(request, slug, Role.RESEARCHER if request.method == "POST" else Role.VIEWER)
    form = ChangeForm.of(found)
    if request.method == "POST":
        form = ChangeForm(request.POST)
        if form.is_valid():
            try:
                made = change(found, form.wanted(), by=request.user)
            except InvalidStudy as error:
                form.add_problems(error.problems)
            else:
                if made:
                    named = ", ".join(each.key for each in made)
                    messages.success(request, f"Changed: {named}.")
                else:
                    messages.info(request, "Nothing was changed: all is as it was.")
                return redirect("study", slug=slug)
    context = {
        "study": found,
        "form": form,
        "changes": found.changes.select_related("by").order_by("-version"),
    }
    status = 422 if form.errors else 200
    return render(request, "evaluation/change_study.html", context, status=status)
