"""Links to results: made, listed and revoked by researchers, read by whoever has them."""

from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from codecs_registry import clock
from codecs_registry.models import Reconstruction
from evaluation import links
from evaluation import sharing as domain
from evaluation.access import Role, study_of
from evaluation.models import SIMULATED, SharedLink, Study
from evaluation.views import not_yet

NEWEST = "newest"


@login_required
@never_cache
@require_GET
def sharing(request: HttpRequest, slug: str) -> HttpResponse:
    study = study_of(request, slug)
    listed = study.shared_links.select_related("created_by", "revoked_by").defer("document_text")
    context = {
        "study": study,
        "counts": study.judgment_counts(),
        "links": [
            {"link": each, "address": links.shared_page(each), "is_frozen": each.is_frozen}
            for each in listed
        ],
    }
    return render(request, "evaluation/sharing.html", context)


@login_required
@require_POST
def share(request: HttpRequest, slug: str) -> HttpResponse:
    study = study_of(request, slug, Role.RESEARCHER)
    try:
        domain.share_results(
            study,
            population=request.POST.get("population", ""),
            freezes=request.POST.get("shows") != NEWEST,
            now=clock.now(),
            by=request.user,
        )
    except domain.NothingToShare as error:
        messages.error(request, f"{error}.")
        return redirect("sharing", slug=slug)
    except domain.NotAnalysed:
        return not_yet(request, study)
    messages.success(request, "The link is there: whoever has it sees these results.")
    return redirect("sharing", slug=slug)


@login_required
@require_POST
def revoke(request: HttpRequest, slug: str, link_id: int) -> HttpResponse:
    study = study_of(request, slug, Role.RESEARCHER)
    link = get_object_or_404(study.shared_links, id=link_id)
    if domain.revoke(link, by=request.user):
        messages.success(request, "The link is revoked: it shows nothing any more.")
    return redirect("sharing", slug=slug)


def _shared(view):
    """A page of whoever has the link: found by its token, kept out of caches and search engines.

    No address of it goes to other hosts (settings.SECURE_REFERRER_POLICY would let it go to ours).
    """

    @never_cache
    @require_GET
    @wraps(view)
    def shown(request: HttpRequest, token: str, **asked) -> HttpResponse:
        try:
            link = domain.link_of(token)
        except SharedLink.DoesNotExist:
            response = _nothing(request, is_revoked=False, status=404)
        except domain.LinkRevoked:
            response = _nothing(request, is_revoked=True, status=410)
        else:
            response = view(request, link, **asked)
        response["X-Robots-Tag"] = "noindex, nofollow"
        response["Referrer-Policy"] = "no-referrer"
        return response

    return shown


def _nothing(request: HttpRequest, *, is_revoked: bool, status: int) -> HttpResponse:
    context = {"is_revoked": is_revoked}
    return render(request, "evaluation/not_shared.html", context, status=status)


@_shared
def shared_results(request: HttpRequest, link: SharedLink) -> HttpResponse:
    from evaluation.reports import results_context

    is_simulated = link.population == SIMULATED
    document = _document(link)
    if document is None:
        return render(request, "evaluation/not_shared.html", {"is_analysed": True}, status=503)
    context = results_context(document, is_simulated=is_simulated, study=link.study)
    return render(
        request,
        "evaluation/shared_results.html",
        context | {"link": link, "name": link.study.name},
    )


@_shared
def shared_plot(request: HttpRequest, link: SharedLink, name: str, kind: str) -> HttpResponse:
    from evaluation.plot_files import plot_response

    document = _document(link)
    if document is None:
        raise Http404
    return plot_response(
        document,
        name=name,
        kind=kind,
        is_simulated=link.population == SIMULATED,
        stem=link.study.slug,
    )


@_shared
def shared_picture(
    request: HttpRequest, link: SharedLink, kind: str, picture_id: int
) -> HttpResponse:
    """A small picture of one of the study's stimuli."""
    from codecs_registry import catalogue

    if kind == "original":
        png = get_object_or_404(link.study.sources, id=picture_id).png
    elif kind == "reconstruction":
        ready = link.study.reconstructions.filter(state=Reconstruction.State.READY)
        png = get_object_or_404(ready, id=picture_id).decoded
    else:
        raise Http404
    return HttpResponse(catalogue.thumbnail(png), content_type="image/webp")


def _document(link: SharedLink) -> dict | None:
    """What a link shows; None while it is being analysed for the first time."""
    if link.document is not None:
        return link.document
    document = _newest(link.study, link.population)
    return domain.for_others(document) if document else None


def _newest(study: Study, population: str) -> dict | None:
    from evaluation import stored_analyses  # with all of statistics

    return stored_analyses.newest(study, population, now=clock.now())
