"""How somebody becomes an annotator of a campaign, and who may not.

People come by the campaign's link, by an invitation of their own, or from a crowd platform, which
names them in the link's query (docs/annotators.md).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Q

from annotation.models import Annotator, Campaign
from annotation.platforms import PLATFORMS

SIMULATED = "annotation.simulated"
LONGEST_ID = 200
PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"  # MTurk's assignmentId while somebody only looks


class NotOpen(Exception):
    """The campaign takes no annotators now."""


class InvalidPass(Exception):
    """A pass for simulated annotators that this installation did not issue."""


class NoConsent(Exception):
    """They did not agree to the text that the campaign asks them to agree to."""


@dataclass(frozen=True)
class Arrival:
    """Somebody who comes, as far as the request tells.

    languages : what their browser asks for, as "pt-BR".
    before : tokens that this browser holds of annotators of any campaign.
    """

    platform: str = ""
    external_id: str = ""
    external: dict[str, str] = field(default_factory=dict)
    is_preview: bool = False
    language: str = ""
    languages: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


NOBODY_KNOWN = Arrival()


def arrival(campaign: Campaign, query: Mapping[str, str], **about) -> Arrival:
    """What the platform of the campaign says in the query of a link. NULs and overlong values are
    dropped: they are no ids."""
    name = campaign.options.crowd.platform
    if not name:
        return Arrival(**about)
    platform = PLATFORMS[name]

    def said(parameter: str) -> str:
        value = query.get(parameter, "")
        return value if len(value) <= LONGEST_ID and value.isprintable() else ""

    return Arrival(
        platform=name,
        external_id=said(platform.person),
        external={each: said(each) for each in platform.more if said(each)},
        is_preview=PREVIEW in (said(each) for each in platform.more),
        **about,
    )


def known(campaign: Campaign, who: Arrival) -> Annotator | None:
    """Who came before comes back as the same annotator."""
    if who.external_id:
        named = campaign.annotators.filter(platform=who.platform, external_id=who.external_id)
        return named.first()
    return campaign.annotators.filter(token__in=who.before).first()


def refusal(campaign: Campaign, who: Arrival, *, now: datetime) -> str:
    """Why somebody new may not begin: "came alone" (without their platform), "draft", "paused",
    "closed", "full", "language", "took part"; "" if they may."""
    if campaign.state in (Campaign.State.DRAFT, Campaign.State.PAUSED):
        return str(campaign.state)
    if campaign.state == Campaign.State.CLOSED or (
        campaign.closes_at and now >= campaign.closes_at
    ):
        return "closed"
    if who.platform and not who.external_id and not who.is_preview:
        return "came alone"
    is_filled = campaign.budget_left == 0 or not campaign.tasks.filter(places_left__gt=0).exists()
    if who.platform and is_filled:  # others can come back by the same link, when leases have ended
        return "full"
    if not _speaks(who.languages, campaign.options.requirements.languages):
        return "language"
    if _took_part(campaign, who):
        return "took part"
    return ""


def _speaks(spoken: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether one of the languages is wanted: "pt-BR" is a "pt", and not the other way round."""
    wanted = [each.lower() for each in wanted]
    return not wanted or any(
        one.lower() == each or one.lower().startswith(f"{each}-")
        for one in spoken
        for each in wanted
    )


def _took_part(campaign: Campaign, who: Arrival) -> bool:
    same = Q(token__in=who.before)
    if who.external_id:
        same |= Q(platform=who.platform, external_id=who.external_id)
    elsewhere = Annotator.objects.filter(same, campaign__in=campaign.excludes.all())
    return elsewhere.filter(assignments__judgment__isnull=False).exists()


def consent_version(text: str) -> str:
    """SHA-256 of a text that people agree to; "" of none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def join(
    campaign: Campaign, who: Arrival = NOBODY_KNOWN, *, agreed_to: str = "", now: datetime
) -> Annotator:
    """Make a new annotator, or find the one that the platform's id names already.

    agreed_to : the version of the text that was agreed to. Raises NoConsent if it is not that of
    the campaign in the annotator's language, and NotOpen if they may not begin (see refusal).
    """
    if refusal(campaign, who, now=now) or who.is_preview:
        raise NotOpen
    fields = {
        "platform": who.platform,
        "external_id": who.external_id,
        "external": who.external,
        **_beginning(campaign, who.language, agreed_to, now=now),
    }
    try:
        with transaction.atomic():
            return Annotator.objects.create(campaign=campaign, **fields)
    except IntegrityError:  # the same person, in another tab, at the same moment
        found = known(campaign, who)
        if found is None:
            raise
        return found


def begin(annotator: Annotator, *, language: str, agreed_to: str = "", now: datetime) -> None:
    """Let somebody begin who holds an invitation. Raises NoConsent and NotOpen as join does."""
    campaign = annotator.campaign
    if campaign.state != Campaign.State.OPEN:
        raise NotOpen
    fields = _beginning(campaign, language, agreed_to, now=now)
    Annotator.objects.filter(id=annotator.id, began_at=None).update(**fields)


def _beginning(campaign: Campaign, language: str, agreed_to: str, *, now: datetime) -> dict:
    consent = campaign.options.wording(language, instructions=campaign.instructions).consent
    version = consent_version(consent)
    if agreed_to != version:
        raise NoConsent
    return {
        "language": language,
        "consent_version": version,
        "began_at": now,
        "practice_owed": campaign.options.practice.tasks,
    }


def invite(campaign: Campaign, labels: Iterable[str]) -> list[Annotator]:
    """Make an invitation for each label: a link of its own, which can be revoked."""
    return Annotator.objects.bulk_create(
        Annotator(campaign=campaign, label=label) for label in labels
    )


def issue_simulation_pass(campaign: Campaign) -> str:
    """What a simulated annotator presents when it joins; only this installation can make it."""
    return signing.dumps(campaign.token, salt=SIMULATED)


def join_simulated(campaign: Campaign, simulation_pass: str, *, now: datetime) -> Annotator:
    """Make an annotator that is marked as simulated, for good. Raises NotOpen or InvalidPass."""
    if campaign.state != Campaign.State.OPEN:
        raise NotOpen
    try:
        named = signing.loads(simulation_pass, salt=SIMULATED)
    except signing.BadSignature:
        raise InvalidPass from None
    if named != campaign.token:
        raise InvalidPass
    return Annotator.objects.create(campaign=campaign, is_simulated=True, began_at=now)
