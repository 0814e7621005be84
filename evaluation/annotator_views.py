"""The researcher's page of a study's annotators: who came, how they did, and what they are owed."""

from collections.abc import Iterable
from decimal import Decimal

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import forgetting, people
from annotation.counts import counts_of_campaign
from annotation.joining import invite
from annotation.models import Annotator, Campaign
from codecs_registry import clock
from codecs_registry.responses import csv_lines, download
from evaluation import personal_data
from evaluation.access import Role, study_of
from evaluation.forms import InvitationForm
from evaluation.links import campaign_link, own_link
from evaluation.models import PILOT, Study
from projects import audit

PER_PAGE = 50  # people


@login_required
@never_cache
@require_GET
def annotators(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, _study(request, slug), InvitationForm())


def _page(
    request: HttpRequest, study: Study, form: InvitationForm, *, status: int = 200
) -> HttpResponse:
    campaign = _campaign(request, study)
    page = Paginator(people.people_of(campaign), PER_PAGE).get_page(request.GET.get("page"))
    work = people.work_of(campaign, page.object_list)
    context = {
        "study": study,
        "is_pilot": campaign.id == study.pilot_id,
        "page": page,
        "work": [(each, own_link(each.annotator)) for each in work],
        "annotation_link": campaign_link(campaign),
        "hours": counts_of_campaign(campaign.id).worked_s / 3600,
        "pay": people.pay_of_all(campaign),
        # Of more than a page, the file of payments has it.
        "bonus": None if page.has_other_pages() else _total(each.bonus for each in work),
        "has_bonus": bool(campaign.options.crowd.bonus),
        "currency": campaign.options.crowd.currency,
        "withdrawals": campaign.withdrawals.order_by("-withdrawn_at"),
        "contacts_go_at": forgetting.contacts_go_at(campaign),
        "keep_days": settings.CLOSER_KEEP_CONTACTS_DAYS,
        "form": form,
    }
    return render(request, "evaluation/annotators.html", context, status=status)


def _campaign(request: HttpRequest, study: Study) -> Campaign:
    """The study's, or its pilot's where "?of=pilot" asks for it."""
    return study.pilot if request.GET.get("of") == PILOT and study.pilot else study.campaign


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """None where the campaign says nothing of it."""
    known = [each for each in amounts if each is not None]
    return sum(known) if known else None


@login_required
@require_POST
def invite_annotators(request: HttpRequest, slug: str) -> HttpResponse:
    study = _study(request, slug)
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _page(request, study, form, status=422)
    with transaction.atomic():
        made = invite(study.campaign, form.cleaned_data["labels"])
        _record(request, study, "invited annotators", links=len(made))
    messages.success(request, f"{len(made)} links were made; each is for one person.")
    return redirect("annotators", slug=slug)


@login_required
@require_POST
def revoke_annotator(request: HttpRequest, slug: str, annotator_id: int) -> HttpResponse:
    study = _study(request, slug)
    with transaction.atomic():
        people.revoke(_annotator(study, annotator_id), now=clock.now())
        _record(request, study, "revoked an annotator's link", annotator=annotator_id)
    return redirect("annotators", slug=slug)


@login_required
@require_POST
def restore_annotator(request: HttpRequest, slug: str, annotator_id: int) -> HttpResponse:
    study = _study(request, slug)
    with transaction.atomic():
        people.restore(_annotator(study, annotator_id))
        _record(request, study, "restored an annotator's link", annotator=annotator_id)
    return redirect("annotators", slug=slug)


@login_required
@require_POST
def withdraw_annotator(request: HttpRequest, slug: str, annotator_id: int) -> HttpResponse:
    """For one who asks for it and cannot: their link was revoked, or their browser is gone."""
    study = _study(request, slug)
    if "sure" in request.POST:
        with transaction.atomic():
            withdrawal = people.withdraw(_annotator(study, annotator_id), now=clock.now())
            _record(request, study, "deleted an annotator's data", judgments=withdrawal.judgments)
        messages.success(
            request,
            f"All that was stored of annotator-{annotator_id} is deleted, "
            f"{withdrawal.judgments} judgments with it.",
        )
    else:
        messages.error(request, "Nothing was deleted: tick that they asked for it.")
    return redirect("annotators", slug=slug)


@login_required
@never_cache
@require_GET
def annotator_data(request: HttpRequest, slug: str, annotator_id: int) -> HttpResponse:
    """All that is held of somebody who asks for it and cannot look themselves."""
    study = _study(request, slug)
    held = personal_data.of_annotators([_annotator(study, annotator_id)])
    with transaction.atomic():
        _record(request, study, "took out an annotator's data", annotator=annotator_id)
    return JsonResponse(
        held,
        encoder=personal_data.Encoder,
        json_dumps_params={"indent": 2},
        headers={"Content-Disposition": f'attachment; filename="annotator-{annotator_id}.json"'},
    )


@login_required
@require_POST
def erase_annotator(request: HttpRequest, slug: str, annotator_id: int) -> HttpResponse:
    """Forget who somebody was; their judgments stay."""
    found = _annotator(_study(request, slug), annotator_id)
    if "sure" in request.POST:
        personal_data.erase_annotators(
            [found], with_judgments=False, now=clock.now(), by=request.user
        )
        messages.success(
            request,
            f"Nothing tells any more who annotator-{annotator_id} was. What they judged stays.",
        )
    else:
        messages.error(request, "Nothing was erased: tick that it is for good.")
    return redirect("annotators", slug=slug)


@login_required
@require_POST
def renew_link(request: HttpRequest, slug: str) -> HttpResponse:
    study = _study(request, slug)
    with transaction.atomic():
        people.renew_link(study.campaign)
        _record(request, study, "renewed the annotators' link")
    messages.success(request, "The study has a new link. The old one leads nowhere.")
    return redirect("annotators", slug=slug)


@login_required
@never_cache
@require_GET
def payments(request: HttpRequest, slug: str) -> HttpResponse:
    campaign = _campaign(request, _study(request, slug))
    lines = csv_lines(people.PAYMENT_COLUMNS, people.payment_rows(campaign))
    return download(lines, "text/csv", f"{slug}-annotators.csv")


def _study(request: HttpRequest, slug: str) -> Study:
    """For those who run it: with an annotator's own link one goes on as them."""
    return study_of(request, slug, Role.RESEARCHER)


def _annotator(study: Study, annotator_id: int) -> Annotator:
    """One of the study's, or of its pilot's."""
    ours = Annotator.objects.filter(campaign__in=[study.campaign_id, study.pilot_id or 0])
    return get_object_or_404(ours, id=annotator_id)


def _record(request: HttpRequest, study: Study, action: str, **details: object) -> None:
    audit.record(action, study, by=request.user, project=study.project, **details)
