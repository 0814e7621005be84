"""The study builder: a study put together in the browser, and what it will take, told meanwhile.

What was typed is kept in the session, so that no reload and no failed upload loses it.
"""

from collections.abc import Mapping
from contextlib import suppress

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from codecs_registry.models import Collection, SourceImage
from evaluation import launching
from evaluation.access import Role, in_project, study_of
from evaluation.forms import UploadForm
from evaluation.models import Study
from evaluation.study_fields import data_of
from evaluation.study_files import InvalidStudy, StudySpecification, parse
from evaluation.study_form import StudyForm, starting_point
from evaluation.study_toml import to_toml
from projects import audit
from projects.models import Project

DRAFT = "study-builder"  # what the session holds: lists of texts by field
MOST_PICTURES = 18  # of a collection, shown
LARGEST_FILE = 1_000_000  # bytes of a STUDY.toml


@in_project(Role.RESEARCHER)
@never_cache
@require_http_methods(["GET", "POST"])
def new_study(request: HttpRequest, project: Project) -> HttpResponse:
    """Launch a study by a form: the same check and the same launch as a study file's."""
    if request.method == "GET":
        form, started_from = _begun(request, project)
        form.is_valid()
        is_check = "check" in request.GET
        if not is_check:
            form.forgive_missing()
        return _page(request, project, form, started_from, patiently=is_check)
    _keep(request, request.POST)
    form = StudyForm(request.POST, project=project)
    if form.is_valid():
        try:
            sources = launching.collection_sources(form.specification.images, project)
            study, is_new = launching.launch(
                form.specification, sources, by=request.user, project=project
            )
        except InvalidStudy as error:
            form.add_problems(error.problems)
        else:
            _forget(request)
            if not is_new:
                messages.info(request, "This study was there already; here it is.")
            return redirect("study", slug=study.slug)
    return _page(request, project, form, status=422)


@in_project(Role.RESEARCHER)
@never_cache
@require_POST
def plan_study(request: HttpRequest, project: Project) -> HttpResponse:
    """What the study as typed will take, and what is wrong with it: to htmx these parts of the page
    alone, at every edit; to the button "Check" the page, with all that is missing."""
    if "start_over" in request.POST:
        _forget(request)
        return redirect("new-study")
    _keep(request, request.POST)
    if not request.htmx:
        return redirect(f"{reverse('new-study')}?check")
    form = StudyForm(request.POST, project=project)
    form.is_valid()
    form.forgive_missing()
    return render(request, "evaluation/builder_live.html", _context(request, project, form))


@in_project(Role.RESEARCHER)
@never_cache
@require_GET
def collection_pictures(request: HttpRequest, project: Project) -> HttpResponse:
    """How many pictures a collection (?images=) has, and some of them; for htmx."""
    return render(
        request,
        "evaluation/builder_pictures.html",
        _pictures(project, request.GET.get("images", "")),
    )


@in_project(Role.RESEARCHER)
@never_cache
@require_POST
def download_study_file(request: HttpRequest, project: Project) -> HttpResponse:
    """The study as typed as a STUDY.toml; the page with what is wrong if it is none."""
    _keep(request, request.POST)
    form = StudyForm(request.POST, project=project)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    response = HttpResponse(to_toml(form.specification), content_type="application/toml")
    name = slugify(form.specification.name)
    response["Content-Disposition"] = f'attachment; filename="{name}.toml"'
    return response


@in_project(Role.RESEARCHER)
@never_cache
@require_POST
def open_study_file(request: HttpRequest, project: Project) -> HttpResponse:
    """Fill the builder from a STUDY.toml; what is wrong with it is told at its fields."""
    if "name" in request.POST:  # posted by the builder, with all that was typed
        _keep(request, request.POST)
    file = request.FILES.get("study_file")
    if file is None:
        messages.error(request, "Choose a STUDY.toml to open.")
        return redirect("new-study")
    try:
        if file.size > LARGEST_FILE:
            raise InvalidStudy({file.name: "is too large to be a study file"})
        given = parse(file.read(), name=file.name)
    except InvalidStudy as error:
        messages.error(request, f"{error}.")
        return redirect("new-study")
    data = data_of({"name": "", **given})
    _keep(request, data | _assumptions_of(request.POST))
    form = StudyForm(data, project=project)
    form.is_valid()
    # A file can say what no field can: its own problems come on top.
    try:
        StudySpecification.from_mapping(given)
    except InvalidStudy as error:
        form.add_problems(error.problems)
    if form.errors:
        return _page(request, project, form, status=422)
    messages.success(request, f"Opened {file.name}.")
    return redirect("new-study")


@in_project(Role.RESEARCHER)
@require_POST
def upload(request: HttpRequest, project: Project) -> HttpResponse:
    """Photographs into a collection, which is then the one that is chosen; each that cannot be
    used is named."""
    if "name" in request.POST:  # posted by the builder, with all that was typed
        _keep(request, request.POST)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        for problems in form.errors.values():
            messages.error(request, " ".join(problems))
        return _go(request, reverse("new-study"))
    result = form.save(project)
    collection = form.cleaned_data["collection"]
    if n := len(result.sources):
        audit.record("added photographs", collection, by=request.user, project=project, n=n)
    for name, reason in result.skipped:
        messages.error(request, f"{name} was skipped: {reason}.")
    if not n:
        return _go(request, reverse("new-study"))
    messages.success(request, f"{n} photographs are in “{collection}”.")
    if DRAFT in request.session:
        _keep(request, request.session[DRAFT] | {"images": [collection]})
    return _go(request, f"{reverse('new-study')}?{urlencode({'collection': collection})}")


def _go(request: HttpRequest, address: str) -> HttpResponse:
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


# --- what was typed -------------------------------------------------------------------------------


def _keep(request: HttpRequest, data: Mapping) -> None:
    lists = data.lists() if isinstance(data, MultiValueDict) else data.items()
    left_out = ("csrfmiddlewaretoken", "collection", "photographs", "study_file")
    request.session[DRAFT] = {name: values for name, values in lists if name not in left_out}


def _forget(request: HttpRequest) -> None:
    """All but what a plan takes for granted, which is for the next one, too."""
    kept = _assumptions_of(request.session.pop(DRAFT, {}))
    if kept:
        request.session[DRAFT] = kept


def _assumptions_of(data: Mapping) -> MultiValueDict:
    lists = data.lists() if isinstance(data, MultiValueDict) else data.items()
    return MultiValueDict({name: values for name, values in lists if name.startswith("plan-")})


def _begun(request: HttpRequest, project: Project) -> tuple[StudyForm, str]:
    """The form as it was left, or of a study (?from=), or a new one; and the study's slug."""
    draft = MultiValueDict(request.session.get(DRAFT, {}))
    slug = request.GET.get("from", "")
    if "name" in draft and (not slug or draft.get("started_from") == slug):
        form, slug = StudyForm(draft, project=project), draft.get("started_from", "")
    elif slug:
        form = StudyForm(data_of(_again(study_of(request, slug), project)), project=project)
    else:
        collection = request.GET.get("collection")
        given = starting_point(project) | ({"images": collection} if collection else {})
        form = StudyForm(data_of(given), project=project)
    return form, slug


def _again(study: Study, project: Project) -> dict:
    """What a study asked for, under another name, of the collection that holds its pictures."""
    pictures = set(study.sources.values_list("id", flat=True))
    given = {key: value for key, value in study.specification.items() if key != "images"}
    for collection in Collection.objects.known_to(project):
        if set(collection.sources.values_list("id", flat=True)) == pictures:
            given["images"] = collection.name
            break
    return given | {"name": f"{study.name} 2"}


# --- what is shown --------------------------------------------------------------------------------


def _page(
    request: HttpRequest,
    project: Project,
    form: StudyForm,
    started_from: str = "",
    *,
    status: int = 200,
    patiently: bool = False,
) -> HttpResponse:
    context = _context(request, project, form, patiently=patiently) | {
        "upload": UploadForm(),
        "has_collections": Collection.objects.known_to(project).exists(),
        "started_from": started_from or request.POST.get("started_from", ""),
        **_pictures(project, form.given.get("images", "")),
    }
    return render(request, "evaluation/new_study.html", context, status=status)


def _context(
    request: HttpRequest, project: Project, form: StudyForm, *, patiently: bool = False
) -> dict:
    """The form and its plan; what only this installation can say is wrong is told at its fields."""
    # Imported here: with SciPy and Altair they take seconds, which only this page needs.
    from evaluation.plan import plan_of
    from evaluation.plan_form import AssumptionsForm
    from evaluation.plan_plots import width_plot

    data = request.POST if request.method == "POST" else request.session.get(DRAFT, {})
    assumptions = AssumptionsForm(_assumptions_of(data).dict())
    assumed, plan = assumptions.assumptions(), None
    sources = _sources(form, project)
    if (nearest := form.nearest()) and sources:
        problems = launching.problems_here(nearest, sources, project=project)
        form.add_problems({key: text for key, text in problems.items() if key not in form.missing})
        with suppress(InvalidStudy):  # what it is, stands at its fields
            plan = plan_of(form.nearest(), sources, assumed, patiently=patiently)
    return {
        "form": form,
        "assumptions": assumptions,
        "assumed": assumed,
        "plan": plan,
        "plot": width_plot(plan.foretold) if plan and plan.foretold else None,
    }


def _sources(form: StudyForm, project: Project) -> list[SourceImage]:
    """The pictures of the collection that is chosen; none, told at the field, where it has none."""
    try:
        if "images" in form.given:
            return launching.collection_sources(form.given["images"], project)
    except InvalidStudy as error:
        form.add_problems(error.problems)
    return []


def _pictures(project: Project, collection: str) -> dict:
    chosen = Collection.objects.known_to(project).filter(name=collection.replace("\0", "")).first()
    sources = chosen.sources.all() if chosen else SourceImage.objects.none()
    return {"pictures": sources[:MOST_PICTURES], "n_pictures": sources.count()}
