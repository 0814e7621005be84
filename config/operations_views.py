"""The administrator's page: how the installation does, and what failed."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from codecs_registry import clock
from codecs_registry.responses import live_page
from config import operations


@login_required
@never_cache
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """All of it. htmx asks for what moves: 204 while it is as the page has it."""
    _require_administrator(request)
    context = {
        "background": operations.background(),
        "storage": operations.storage(),
        "failures": operations.failures(),
        "stuck": operations.stuck(now=clock.now()),
    }
    live = render_to_string("operations/body.html", context, request)
    templates = {"page": "operations/page.html", "part": "operations/live.html"}
    return live_page(request, live, context, **templates)


@login_required
@require_POST
def retry(request: HttpRequest, kind: str) -> HttpResponse:
    """One that failed, by its id, or all of its kind."""
    _require_administrator(request)
    known = operations.KINDS.get(kind)
    row_id = request.POST.get("id", "")
    if known is None or not (row_id == "" or (row_id.isascii() and row_id.isdigit())):
        raise Http404
    count = operations.try_again(known, int(row_id) if row_id else None, by=request.user)
    if count:
        messages.success(request, f"{known.title}: {count} tried again.")
    else:
        messages.info(request, "There is nothing to try again: somebody was first.")
    return redirect("operations")


@login_required
@require_POST
def free(request: HttpRequest, kind: str) -> HttpResponse:
    """What is stuck waits for the next worker."""
    _require_administrator(request)
    if kind not in operations.WORKS:
        raise Http404
    count = operations.free_stuck(kind, by=request.user)
    messages.success(request, f"{operations.KINDS[kind].title}: {count} wait for a worker.")
    return redirect("operations")


def _require_administrator(request: HttpRequest) -> None:
    if not request.user.is_superuser:
        raise Http404
