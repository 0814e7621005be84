"""Who somebody was is forgotten: when they ask for it, and some time after a campaign's end.

Judgments stay, as those of a number that leads to nobody. Who wants them gone, too, withdraws
(people.withdraw).
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from annotation.links import new_token
from annotation.models import Annotator, Campaign, Judgment

CONTACTS = {"external_id": "", "external": {}, "label": ""}
"""What could name an annotator, and what is left of it."""
NAMED = ~Q(external_id="") | ~Q(external={}) | ~Q(label="")


@transaction.atomic
def forget(annotator: Annotator) -> None:
    """Take away what names an annotator: the platform's ids, the invitation's label, remarks, and
    their link, which leads nowhere from now on."""
    with connection.cursor() as cursor:  # the trigger lets this annotator's remarks go
        cursor.execute("SELECT set_config('closer.forgetting', %s, true)", [str(annotator.id)])
        remarks = Judgment.objects.filter(assignment__annotator=annotator).exclude(remark="")
        remarks.update(remark="")
        cursor.execute("SELECT set_config('closer.forgetting', '', true)")
    Annotator.objects.filter(id=annotator.id).update(**CONTACTS, token=new_token())


def forget_contacts(*, now: datetime) -> int:
    """Take away platforms' ids and invitations' labels of annotators of campaigns that ended long
    enough ago (CLOSER_KEEP_CONTACTS_DAYS); returns of how many. Their own links stay: by them they
    look at their data, and withdraw."""
    days = settings.CLOSER_KEEP_CONTACTS_DAYS
    if not days:
        return 0
    return _named_since(now - timedelta(days=days)).update(**CONTACTS)


def _named_since(end: datetime) -> QuerySet[Annotator]:
    """Those whom something names, and whose campaign ended before."""
    ended = Campaign.objects.filter(Q(closed_at__lt=end) | Q(closes_at__lt=end, closed_at=None))
    return Annotator.objects.filter(NAMED, campaign__in=ended)


def contacts_go_at(campaign: Campaign) -> datetime | None:
    """When what names its annotators is taken away; None: never, or it goes on."""
    days = settings.CLOSER_KEEP_CONTACTS_DAYS
    ended = campaign.closed_at or campaign.closes_at
    return ended + timedelta(days=days) if days and ended else None


def same_person(annotator: Annotator) -> QuerySet[Annotator]:
    """The annotator, and those of other campaigns whom the same platform gives the same name."""
    same = Q(id=annotator.id)
    if annotator.external_id:
        same |= Q(platform=annotator.platform, external_id=annotator.external_id)
    return Annotator.objects.filter(same).order_by("id")
