"""The page of one's own API tokens."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from evaluation.api_forms import TokenForm
from evaluation.api_models import ApiToken
from evaluation.api_tokens import CannotMake, make_token, revoke_token


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """One's tokens, and a form for a new one, whose secret is shown once."""
    form = TokenForm(request.POST or None, user=request.user)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = make_token(request.user, **form.wanted)
        except CannotMake as error:
            form.add_error("project", str(error))
        else:
            form = TokenForm(user=request.user)
    context = {
        "tokens": request.user.api_tokens.select_related("project"),
        "form": form,
        "made": made,
    }
    status = 422 if form.errors else 200
    return render(request, "evaluation/tokens.html", context, status=status)


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, id=token_id, user=request.user)
    revoke_token(token, by=request.user)
    messages.success(request, f"“{token.name}” opens nothing any more.")
    return redirect("tokens")
