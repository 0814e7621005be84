"""Pages of projects: whose they are, and what was changed in them."""

import math
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, PasswordResetConfirmView
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from rest_framework.throttling import BaseThrottle

from projects import members, sign_in_attempts
from projects.access import CURRENT, may, projects_of, require
from projects.forms import MemberForm, ProjectForm, RoleForm, SettingsForm
from projects.members import CannotChange
from projects.models import AuditEntry, Membership, Project
from projects.roles import Role

ENTRIES_A_PAGE = 50


class SignIn(LoginView):
    """Django's sign-in page, where passwords cannot be tried without end."""

    wait: timedelta | None = None

    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        response = super().dispatch(request, *args, **kwargs)
        if request.htmx:  # it asked for a part of a page: the whole page is loaded
            response["HX-Refresh"] = "true"
        return response

    def post(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        attempt = request.POST.get("username", ""), BaseThrottle().get_ident(request) or ""
        self.wait = sign_in_attempts.begin(*attempt)
        if self.wait:
            response = self.render_to_response(self.get_context_data(form=AuthenticationForm()))
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response["Retry-After"] = math.ceil(self.wait.total_seconds())
            return response
        response = super().post(request, *args, **kwargs)
        if request.user.is_authenticated:
            sign_in_attempts.succeeded(*attempt)
        return response

    def get_context_data(self, **kwargs) -> dict:
        minutes = math.ceil(self.wait.total_seconds() / 60) if self.wait else None
        return super().get_context_data(**kwargs) | {"wait_minutes": minutes}


class SetPassword(PasswordResetConfirmView):
    """Where the link leads that a new member is given."""

    template_name = "projects/set_password.html"
    success_url = reverse_lazy("login")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def projects(request: HttpRequest) -> HttpResponse:
    """Whose projects they are, and a form for a new one."""
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = members.create_project(form.cleaned_data["name"], by=request.user)
        except CannotChange as error:
            form.add_error("name", str(error))
        else:
            request.session[CURRENT] = made.id
            return redirect("project", slug=made.slug)
    held = {each.project_id: each for each in request.user.memberships.all()}
    listed = [(each, held.get(each.id)) for each in projects_of(request.user)]
    context = {"projects": listed, "form": form}
    status = 422 if form.errors else 200
    return render(request, "projects/projects.html", context, status=status)


@login_required
@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Look at another project from now on."""
    chosen = get_object_or_404(projects_of(request.user), slug=request.POST.get("project", ""))
    request.session[CURRENT] = chosen.id
    return redirect("studies")


@login_required
@never_cache
@require_GET
def project(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, _project(request, slug))


def _page(
    request: HttpRequest, found: Project, *, form: MemberForm | None = None, status: int = 200
) -> HttpResponse:
    context = {
        "project": found,
        "memberships": found.memberships.select_related("user"),
        "roles": Role.choices,
        "is_owner": may(request.user, found, Role.OWNER),
        "form": form or MemberForm(),
        "settings": SettingsForm(instance=found),
        "link": request.session.pop("password_link", None),
    }
    return render(request, "projects/project.html", context, status=status)


@login_required
@never_cache
@require_GET
def audit_log(request: HttpRequest, slug: str) -> HttpResponse:
    """Who changed what, the newest first."""
    found = _project(request, slug)
    entries = Paginator(found.audit.all(), ENTRIES_A_PAGE)
    context = {"project": found, "page": entries.get_page(request.GET.get("page"))}
    return render(request, "projects/audit.html", context)


@login_required
@never_cache
@require_GET
def audit_of_all(request: HttpRequest) -> HttpResponse:
    """The same of the whole installation, for its administrators; what belongs to no project is
    nowhere else."""
    if not request.user.is_superuser:
        raise Http404
    of = request.GET.get("of", "")
    found = AuditEntry.objects.select_related("project")
    entries = Paginator(found.filter(project=None) if of else found, ENTRIES_A_PAGE)
    context = {"of": of, "page": entries.get_page(request.GET.get("page"))}
    return render(request, "projects/audit_of_all.html", context)


@login_required
@require_POST
def change_settings(request: HttpRequest, slug: str) -> HttpResponse:
    found = _project(request, slug, Role.OWNER)
    form = SettingsForm(request.POST)
    if form.is_valid():
        members.change_settings(found, by=request.user, **form.cleaned_data)
        messages.success(request, "The settings are kept.")
    return redirect("project", slug=slug)


@login_required
@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    found = _project(request, slug, Role.OWNER)
    form = MemberForm(request.POST)
    if form.is_valid():
        try:
            user, is_new = members.add_member(found, by=request.user, **form.cleaned_data)
        except CannotChange as error:
            form.add_error("username", str(error))
        else:
            if is_new:
                _show_link(request, found.memberships.get(user=user))
            messages.success(request, f"{user} takes part.")
            return redirect("project", slug=slug)
    return _page(request, found, form=form, status=422)


@login_required
@require_POST
def change_role(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    found = _project(request, slug, Role.OWNER)
    membership = get_object_or_404(found.memberships, user=user_id)
    form = RoleForm(request.POST)
    if form.is_valid():
        _told(request, members.change_role, membership, form.cleaned_data["role"])
    else:
        messages.error(request, "There is no such role.")
    return redirect("project", slug=slug)


@login_required
@require_POST
def remove_member(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Owners remove anybody, everybody themselves."""
    is_own = user_id == request.user.id
    found = _project(request, slug, Role.VIEWER if is_own else Role.OWNER)
    _told(request, members.remove_member, get_object_or_404(found.memberships, user=user_id))
    return redirect("projects" if is_own else "project", **({} if is_own else {"slug": slug}))


@login_required
@require_POST
def password_link(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Another link to set the first password of an account."""
    found = _project(request, slug, Role.OWNER)
    membership = get_object_or_404(found.memberships, user=user_id)
    try:
        _show_link(request, membership)
    except CannotChange as error:
        messages.error(request, str(error))
    return redirect("project", slug=slug)


def _show_link(request: HttpRequest, membership: Membership) -> None:
    """On the next page, once, to who asked for it."""
    link = settings.CLOSER_URL + members.password_link(membership)
    request.session["password_link"] = [membership.user.get_username(), link]


def _told(request: HttpRequest, change, *given: object) -> None:
    try:
        change(*given, by=request.user)
    except CannotChange as error:
        messages.error(request, str(error))


def _project(request: HttpRequest, slug: str, role: Role = Role.VIEWER) -> Project:
    found = get_object_or_404(Project, slug=slug)
    require(request.user, found, role)
    return found
