"""The annotator's language, on their pages alone: the researcher's are in English.

It is what they chose on the page ("?language=de"), else what they began in, else what their browser
asks for.
"""

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from annotation.models import Annotator


def in_their_language(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view in the language that was chosen on the page, or that the browser asks for."""

    @wraps(view)
    def translated(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        language = _chosen(request) or translation.get_language_from_request(request)
        with translation.override(language):
            response = view(request, *args, **kwargs)
            response["Content-Language"] = translation.get_language()
        patch_vary_headers(response, ["Accept-Language"])
        return response

    return translated


def speak_to(annotator: Annotator, request: HttpRequest) -> None:
    """Go on in the annotator's language, inside a view that is in_their_language; what they chose
    on the page is theirs from now on."""
    chosen = _chosen(request)
    if chosen and chosen != annotator.language:
        annotator.language = chosen
        annotator.save(update_fields=["language"])
    elif annotator.language and not chosen:
        translation.activate(annotator.language)


def _chosen(request: HttpRequest) -> str:
    asked = request.GET.get("language", "")
    return asked if asked in dict(settings.LANGUAGES) else ""
