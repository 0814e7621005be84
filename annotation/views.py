"""The annotator's pages.

None needs a session: an annotator is whoever holds the link, and whoever holds an assignment's
token may see its images.
"""

import contextlib
import json
from dataclasses import asdict, replace
from math import ceil

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from django.views.i18n import JavaScriptCatalog

from annotation import joining, people
from annotation.endpoints import positions_of
from annotation.joining import Arrival, InvalidPass, NoConsent, NotOpen
from annotation.languages import in_their_language, speak_to
from annotation.models import Annotator, Assignment, Campaign, StopReason
from annotation.platforms import PLATFORMS
from annotation.screens import InvalidScreen, lacks_measuring, measured
from annotation.stimuli import ORIGINAL, image_file, question_bytes
from annotation.throttles import joins_too_often
from codecs_registry import clock
from codecs_registry.responses import immutable

COOKIE = "annotator-"  # and the campaign's id
COOKIE_AGE_S = 180 * 24 * 3600


@never_cache
@require_http_methods(["GET", "POST"])
@in_their_language
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    """A campaign's link: what is asked, and the button that begins. One who began goes on, unless
    somebody else wants to begin in the same browser; after one who was stopped, nobody can."""
    campaign = get_object_or_404(Campaign, token=token)
    if request.POST.get("simulation_pass"):
        return _welcome_simulated(request, campaign)
    return _join(request, campaign)


def _join(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Go on as who is known, or begin as somebody new."""
    who = _arrival(request, campaign)
    known = joining.known(campaign, who)
    is_anew = "anew" in request.POST
    if known and (who.external_id or known.stop_reason or not is_anew):
        return redirect("judge", token=known.token)
    refusal = joining.refusal(campaign, who, now=clock.now())
    if refusal:
        return _refuse(request, campaign, refusal)
    if request.method == "GET":
        return _welcome(request, campaign, is_preview=who.is_preview)
    if joins_too_often(request):
        return _say(request, "too many", status=429)
    try:
        annotator = joining.join(
            campaign, who, agreed_to=request.POST.get("agree", ""), now=clock.now()
        )
    except NotOpen:  # meanwhile
        return _refuse(request, campaign, "closed")
    except NoConsent:
        return _welcome(request, campaign, misses_consent=True, is_anew=is_anew, status=422)
    return _go_on_as(annotator, request)


def _welcome_simulated(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    try:
        annotator = joining.join_simulated(
            campaign, request.POST["simulation_pass"], now=clock.now()
        )
    except NotOpen:
        return _refuse(request, campaign, "closed")
    except InvalidPass:
        return HttpResponse("This pass is not valid here.", status=403, content_type="text/plain")
    return _go_on_as(annotator, request)


def _arrival(request: HttpRequest, campaign: Campaign) -> Arrival:
    held = [value for name, value in request.COOKIES.items() if name.startswith(COOKIE)]
    return joining.arrival(
        campaign,
        request.GET,
        language=get_language(),
        languages=_asked_languages(request),
        before=tuple(value for value in held if "\0" not in value),  # PostgreSQL takes none
    )


def _asked_languages(request: HttpRequest) -> tuple[str, ...]:
    header = request.headers.get("Accept-Language", "")
    return tuple(part.split(";")[0].strip() for part in header.split(",")[:20] if part.strip())


def _welcome(
    request: HttpRequest, campaign: Campaign, *, status: int = 200, **more
) -> HttpResponse:
    wording = campaign.options.wording(get_language(), instructions=campaign.instructions)
    context = {
        "campaign": campaign,
        "wording": wording,
        "consent_version": joining.consent_version(wording.consent),
        "question_bytes": question_bytes(campaign),
        **more,
    }
    return render(request, "annotation/welcome.html", context, status=status)


def _go_on_as(annotator: Annotator, request: HttpRequest) -> HttpResponse:
    response = redirect("judge", token=annotator.token)
    response.set_cookie(
        f"{COOKIE}{annotator.campaign_id}",
        annotator.token,
        max_age=COOKIE_AGE_S,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure(),
    )
    return response


def _refuse(request: HttpRequest, campaign: Campaign, refusal: str) -> HttpResponse:
    """Why somebody may not begin, and the way back to where they came from."""
    outcome = {
        **dict.fromkeys(("full", "closed"), "full"),
        **dict.fromkeys(("language", "took part"), "screened out"),
    }.get(refusal)
    ending = people.ending_for(campaign, outcome) if outcome else None
    status = 200 if request.method == "GET" else 409
    return _say(request, refusal, status=status, campaign=campaign, ending=ending)


def _say(request: HttpRequest, what: str, *, status: int, **more) -> HttpResponse:
    return render(request, "annotation/said.html", {"what": what, **more}, status=status)


@never_cache
@require_http_methods(["GET", "POST"])
@in_their_language
def judge(request: HttpRequest, token: str) -> HttpResponse:
    """An annotator's own link: the judging page, which asks for its pairs by itself; before that,
    for an invitation, what is asked and the button that begins."""
    annotator = _annotator(token)
    speak_to(annotator, request)
    campaign = annotator.campaign
    if annotator.stop_reason == StopReason.REVOKED:
        return _say(request, "revoked", status=403)
    if annotator.began_at is None:
        return _begin(request, annotator)
    if request.method == "POST":  # somebody else in the same browser, or "Start", pressed twice
        return _join(request, campaign) if "anew" in request.POST else redirect("judge", token)
    if lacks_measuring(annotator):
        return redirect("screen", token=token)
    options = campaign.options
    return render(
        request,
        f"annotation/judge_{campaign.kind}.html",
        {
            "annotator": annotator,
            "campaign": campaign,
            "total": _expected_total(campaign),
            "unmet": people.ending_for(campaign, "screened out"),
            "settings": json.dumps(
                {
                    "viewing": asdict(options.viewing),
                    "requirements": asdict(options.requirements),
                }
            ),
        },
    )


def _begin(request: HttpRequest, annotator: Annotator) -> HttpResponse:
    campaign = annotator.campaign
    who = _arrival(request, campaign)
    invited = replace(who, platform="", external_id="")  # whatever else the link says
    refusal = joining.refusal(campaign, invited, now=clock.now())
    if refusal:
        return _refuse(request, campaign, refusal)
    if request.method == "GET":
        return _welcome(request, campaign)
    try:
        joining.begin(
            annotator,
            language=get_language(),
            agreed_to=request.POST.get("agree", ""),
            now=clock.now(),
        )
    except NotOpen:
        return _refuse(request, campaign, "closed")
    except NoConsent:
        return _welcome(request, campaign, misses_consent=True, status=422)
    return _go_on_as(annotator, request)


def _expected_total(campaign: Campaign) -> int:
    """How many questions an annotator will meet: gold tasks and repeats come on top of what is
    measured, about so many."""
    quota = campaign.judgments_per_annotator
    measured = campaign.measured_tasks.order_by()[:quota].count()  # no more than matter
    total = ceil(measured / (1 - min(campaign.gold_share + campaign.repeat_share, 0.9)))
    return total if quota is None else min(total, quota)


@never_cache
@require_http_methods(["GET", "POST"])
@in_their_language
def screen(request: HttpRequest, token: str) -> HttpResponse:
    """Measures an annotator's screen: its size by a bank card, and what it shows of the darkest and
    the brightest greys."""
    annotator = _annotator(token)
    speak_to(annotator, request)
    problem = ""
    if request.method == "POST":
        try:
            found = measured(annotator.campaign.options.requirements, request.POST)
        except InvalidScreen as error:
            problem = str(error)
        else:
            annotator.conditions |= found
            annotator.save(update_fields=["conditions"])
            return redirect("judge", token=token)
    context = {
        "annotator": annotator,
        "requirements": annotator.campaign.options.requirements,
        "problem": problem,
        "unmet": people.ending_for(annotator.campaign, "screened out"),
    }
    return render(request, "annotation/screen.html", context, status=422 if problem else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@in_their_language
def my_data(request: HttpRequest, token: str) -> HttpResponse:
    """What is stored of an annotator, to look at, to download, and to withdraw."""
    annotator = _annotator(token)
    speak_to(annotator, request)
    refusal = _withheld(annotator, request)
    if refusal:
        return _say(request, refusal, status=403)
    if request.method == "POST" and "sure" in request.POST:
        with contextlib.suppress(Annotator.DoesNotExist):  # pressed twice
            people.withdraw(annotator, now=clock.now())
        response = _say(request, "withdrawn", status=200, forget=reverse("judge", args=[token]))
        response.delete_cookie(f"{COOKIE}{annotator.campaign_id}", samesite="Lax")
        return response
    platform = PLATFORMS.get(annotator.platform)
    context = {
        "annotator": annotator,
        "about": people.everything_about(annotator),
        "platform": platform.label if platform else "",
        "misses_sure": request.method == "POST",
    }
    return render(request, "annotation/my_data.html", context)


def _withheld(annotator: Annotator, request: HttpRequest) -> str:
    """Why what is stored is not shown here: the link was revoked, or, since a platform's ids are
    known to others, this is not the browser in which they began."""
    if annotator.stop_reason == StopReason.REVOKED:
        return "revoked"
    cookie = request.COOKIES.get(f"{COOKIE}{annotator.campaign_id}")
    return "other browser" if annotator.external_id and cookie != annotator.token else ""


@never_cache
@require_GET
@in_their_language
def my_data_json(request: HttpRequest, token: str) -> HttpResponse:
    annotator = _annotator(token)
    refusal = _withheld(annotator, request)
    if refusal:
        return _say(request, refusal, status=403)
    return JsonResponse(
        people.everything_about(annotator),
        json_dumps_params={"indent": 2},
        headers={"Content-Disposition": 'attachment; filename="my-answers.json"'},
    )


words = require_GET(in_their_language(JavaScriptCatalog.as_view()))


@require_GET
def stimulus(request: HttpRequest, token: str, position: str) -> HttpResponseBase:
    """One image of an assignment, under a name and with headers that say nothing about it."""
    assignment = get_object_or_404(
        Assignment.objects.select_related("task__source", "task__campaign").exclude(
            annotator__stop_reason=StopReason.REVOKED
        ),
        token=token,
    )
    positions = positions_of(assignment)
    if position == ORIGINAL:
        index = None
    elif position in positions:
        index = positions.index(position)
    else:
        return HttpResponse("There is no such image.", status=404, content_type="text/plain")
    content_type = f"image/{assignment.task.delivery_format}"
    return immutable(HttpResponse(image_file(assignment, index), content_type=content_type))


def _annotator(token: str) -> Annotator:
    return get_object_or_404(Annotator.objects.select_related("campaign"), token=token)
