"""Light, dark, or as the system has it: what somebody chose for the researcher's pages.

A cookie keeps it, and the server writes it into the page, so that nothing flashes.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

COOKIE = "appearance"
SYSTEM = "system"
APPEARANCES = (SYSTEM, "light", "dark")
KEPT_S = 400 * 24 * 3600  # the longest that browsers keep a cookie


def of_page(request: HttpRequest) -> dict:
    """What base.html needs of it: appearance, the one that was chosen; appearances, all."""
    chosen = request.COOKIES.get(COOKIE, SYSTEM)
    return {
        "appearance": chosen if chosen in APPEARANCES else SYSTEM,
        "appearances": APPEARANCES,
    }


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Another appearance from now on; back to the page where it was chosen."""
    response = redirect(_page_before(request))
    chosen = request.POST.get("appearance")
    if chosen in APPEARANCES:
        response.set_cookie(
            COOKIE,
            chosen,
            max_age=KEPT_S,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response


def _page_before(request: HttpRequest) -> str:
    """The page that a form's `next` names, if it is one of ours; else the first."""
    asked = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if is_ours else settings.LOGIN_REDIRECT_URL
