"""How much was judged, in a moment at any size: added up from what the database counts of each
annotator."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.db.models import Count, Q, Sum

from annotation.models import Annotator, Withdrawal

PER_WITHDRAWAL = 10**10  # more than anybody can take along


@dataclass(frozen=True)
class Counts:
    """Of one campaign.

    people, simulated : judgments that measure, by who gave them; gold tasks, repeats and practice
        are apart. annotators, simulated_annotators : how many gave one. given, answered :
        assignments and judgments of every purpose and of all. worked_s : seconds that people
        judged, each answer at most three minutes, practice too.
    """

    people: int = 0
    simulated: int = 0
    annotators: int = 0
    simulated_annotators: int = 0
    given: int = 0
    answered: int = 0
    withdrawals: int = 0
    worked_s: float = 0.0

    @property
    def news(self) -> int:
        """A number that rises with every judgment, whenever it arrives, and every withdrawal."""
        return self.answered + PER_WITHDRAWAL * self.withdrawals

    @property
    def news_and_leases(self) -> int:
        """And with every lease."""
        return self.news + self.given


def counts_of(campaign_ids: Iterable[int]) -> dict[int, Counts]:
    """Of each of these campaigns, in two queries."""
    ids = list(campaign_ids)
    found = dict.fromkeys(ids, Counts())
    people, simulated = (Q(is_simulated=each) for each in (False, True))
    rows = (
        Annotator.objects.filter(campaign__in=ids)
        .order_by()
        .values("campaign")
        .annotate(
            people=Sum("n_measured", filter=people, default=0),
            simulated=Sum("n_measured", filter=simulated, default=0),
            annotators=Count("id", filter=people & Q(n_measured__gt=0)),
            simulated_annotators=Count("id", filter=simulated & Q(n_measured__gt=0)),
            given=Sum("n_given"),
            answered=Sum("n_answered"),
            worked_ms=Sum("worked_ms", filter=people, default=0),
        )
    )
    for row in rows:
        campaign, worked_ms = row.pop("campaign"), row.pop("worked_ms")
        found[campaign] = Counts(**row, worked_s=worked_ms / 1000)
    gone = Withdrawal.objects.filter(campaign__in=ids).order_by().values_list("campaign")
    for campaign, n in gone.annotate(n=Count("id")):
        found[campaign] = replace(found[campaign], withdrawals=n)
    return found


def counts_of_campaign(campaign_id: int) -> Counts:
    return counts_of([campaign_id])[campaign_id]
