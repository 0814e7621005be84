"""The page of a project's webhooks: where they lead, and what came of what was sent."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from evaluation import webhooks as hooks
from evaluation.api_forms import WebhookForm
from evaluation.webhook_models import Delivery, Webhook
from projects.access import require
from projects.models import Project
from projects.roles import Role

DELIVERIES = 50


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def webhooks(request: HttpRequest, slug: str) -> HttpResponse:
    """A project's webhooks with their last deliveries, and a form for a new one, whose secret is
    shown once."""
    project = _project(request, slug)
    form = WebhookForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = hooks.make_webhook(project, **form.cleaned_data, by=request.user)
        except hooks.CannotKeep as error:
            form.add_error(error.field, str(error))
        else:
            form = WebhookForm()
    deliveries = Delivery.objects.filter(webhook__project=project).select_related("webhook")
    context = {
        "project": project,
        "webhooks": project.webhooks.all(),
        "deliveries": deliveries[:DELIVERIES],
        "form": form,
        "made": made,
    }
    status = 422 if form.errors else 200
    return render(request, "evaluation/webhooks.html", context, status=status)


@login_required
@require_POST
def change(request: HttpRequest, slug: str, webhook_id: int) -> HttpResponse:
    """Stop a webhook, have it go on, or remove it: as `change` says."""
    webhook = _webhook(request, slug, webhook_id)
    wanted = request.POST.get("change")
    if wanted == "remove":
        hooks.remove_webhook(webhook, by=request.user)
        messages.success(request, f"{webhook} is told nothing any more.")
    elif wanted in ("stop", "go on"):
        hooks.change_webhook(webhook, {"is_active": wanted == "go on"}, by=request.user)
    return redirect("webhooks", slug=slug)


@login_required
@require_POST
def send_test(request: HttpRequest, slug: str, webhook_id: int) -> HttpResponse:
    hooks.send_test(_webhook(request, slug, webhook_id))
    messages.success(request, "A test is on its way: load this page again to see what comes of it.")
    return redirect("webhooks", slug=slug)


@login_required
@require_POST
def send_again(request: HttpRequest, slug: str, webhook_id: int, delivery_id: int) -> HttpResponse:
    webhook = _webhook(request, slug, webhook_id)
    hooks.send_again(get_object_or_404(webhook.deliveries, id=delivery_id))
    messages.success(request, "It is sent once more.")
    return redirect("webhooks", slug=slug)


def _project(request: HttpRequest, slug: str) -> Project:
    found = get_object_or_404(Project, slug=slug)
    require(request.user, found, Role.RESEARCHER)
    return found


def _webhook(request: HttpRequest, slug: str, webhook_id: int) -> Webhook:
    return get_object_or_404(_project(request, slug).webhooks, id=webhook_id)
