"""Analyses as they were made last: pages and downloads show them, and wait for none.

An analysis of a million judgments takes a minute. So it is made by a worker (the `analyse` queue),
kept, and made anew when there is news: judgments, a withdrawal, another metric in service or what
it scored, other code. The database says who makes it: a row holds the newest analysis of a
population by one choice of options, or of an import (import_results.py), and the lease of whoever
makes the next. One that took long is made less often: after BACKOFF times as long as it took. Where
there are at most SMALL judgments, the page that wants it makes it, so a newcomer needs no worker.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, DateTimeField, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from annotation.counts import Counts, counts_of
from annotation.models import Campaign
from codecs_registry.leases import LEASE, lease_kept, unclaimed, worker_name
from evaluation import webhooks
from evaluation.metric_versions import in_service
from evaluation.models import (
    PEOPLE,
    PILOT,
    SIMULATED,
    IntervalWidth,
    ReconstructionScore,
    StoredAnalysis,
    Study,
)
from evaluation.provenance import provenance
from evaluation.statistics.options import Options

if TYPE_CHECKING:
    from evaluation.plots import Plot

SMALL = 2000  # judgments: analysed while the page loads, within a second
BACKOFF = 10  # so an analysis that takes long takes at most an eleventh of a worker
SOONEST = timedelta(seconds=5)
ASK_AGAIN = timedelta(seconds=30)  # where no worker took it up
LEFT_AFTER = timedelta(seconds=20)

Key = tuple[int, str]
"""A study's id and a population."""


@dataclass(frozen=True)
class Standing:
    """What there is to show of a population of a study.

    stored : the newest analysis; None if none was made yet.
    counts : of the campaign it is of, as it is now. n : judgments of the population now.
    is_stale : it is not of all that there is, and a new one is made, or waits for its time.
    is_left : a new one was asked for, and no worker took it up.
    """

    population: str
    stored: StoredAnalysis | None
    counts: Counts
    n: int
    is_stale: bool = False
    is_left: bool = False


def campaign_of(study: Study, population: str) -> Campaign | None:
    """Where a population judges; None of a pilot that there is not."""
    return study.pilot if population == PILOT else study.campaign


def n_of(counts: Counts, population: str) -> int:
    return counts.simulated if population == SIMULATED else counts.people


def standing(
    study: Study,
    population: str,
    *,
    options: Options | None = None,
    now: datetime,
    is_patient: bool = False,
) -> Standing:
    """What there is to show. Small studies are brought up to date at once; of others a worker is
    asked for what is missing, and what there is is shown.

    is_patient : small studies wait, too, as long as others do (of pages that ask by themselves).
    """
    options = options or Options()
    campaign = campaign_of(study, population)
    counts = counts_of([campaign.id])[campaign.id] if campaign else Counts()
    n = n_of(counts, population)
    stored = _stored(study.id, population, options)
    if not n and (stored is None or stored.news is None or stored.news == counts.news):
        return Standing(population, None, counts, n)
    basis = _bases([study.id])[study.id]
    if stored and is_of_now(stored, counts, basis):
        return Standing(population, stored, counts, n)
    is_due_now = stored is None or is_due(stored, now=now)
    if n <= SMALL and (is_due_now or not is_patient):
        refresh(study, population, options=options, now=now)
    elif is_due_now:
        ask(study.id, population, options=options, now=now)
    stored = _stored(study.id, population, options)
    is_left = (
        stored is not None
        and stored.asked_at is not None
        and (stored.lease_ends is None or stored.lease_ends < now)
        and now - stored.asked_at > LEFT_AFTER
    )
    has_one = stored is not None and stored.news is not None
    is_stale = not has_one or not is_of_now(stored, counts, basis)
    return Standing(population, stored if has_one else None, counts, n, is_stale, is_left)


def is_of_now(stored: StoredAnalysis, counts: Counts, basis: str) -> bool:
    """Whether an analysis is of all that there is, as it would be made now."""
    return stored.news == counts.news and stored.basis == basis


def _bases(study_ids: Iterable[int]) -> dict[int, str]:
    """By study, what an analysis hangs on besides judgments: StoredAnalysis.basis."""
    study_ids = list(study_ids)
    scores = ReconstructionScore.objects.filter(version__is_in_service=True)
    scored = Counter(
        dict(
            scores.filter(reconstruction__studies__in=study_ids)
            .values_list("reconstruction__studies")
            .annotate(n=Count("id"))
            .order_by()
        )
    )
    version = in_service()
    code = provenance()["commit"] or ""
    return {
        each: f"{code}/{version.sha256 if version else ''}/{scored[each]}" for each in study_ids
    }


def is_due(stored: StoredAnalysis, *, now: datetime) -> bool:
    """Whether it is time for a new one, if there is news."""
    if stored.made_at is None:
        return True
    return now - stored.made_at >= max(SOONEST, BACKOFF * timedelta(seconds=stored.seconds or 0))


def ask(study_id: int, population: str, *, options: Options | None = None, now: datetime) -> bool:
    """Ask the workers for an analysis, unless one is at it or was asked a moment ago; returns
    whether they were asked."""
    return ask_for(_made_room(study_id, population, options or Options()), now=now)


def ask_for(stored: StoredAnalysis, *, now: datetime) -> bool:
    """As `ask`, of a study or of an import."""
    from evaluation.tasks import analyse

    is_told = Q(told_at__isnull=False, told_at__gt=now - ASK_AGAIN)
    waiting = StoredAnalysis.objects.filter(~is_told, unclaimed(now=now), id=stored.id)
    if not waiting.update(asked_at=Coalesce("asked_at", Value(now, DateTimeField())), told_at=now):
        return False
    analyse.apply_async((stored.id,), expires=ASK_AGAIN.total_seconds())
    return True


@contextmanager
def claimed(stored: StoredAnalysis, *, now: datetime) -> Iterator[QuerySet | None]:
    """The row, for as long as nobody else may make it anew; None: somebody else does."""
    row, worker = StoredAnalysis.objects.filter(id=stored.id), worker_name()
    if not row.filter(unclaimed(now=now)).update(worker=worker, lease_ends=now + LEASE):
        yield None
        return
    held = row.filter(worker=worker)
    try:
        stored.refresh_from_db()
        yield held
    finally:
        held.update(worker="", lease_ends=None)


def put(held: QuerySet, *, now: datetime, **made: object) -> bool:
    """Store what was made of a claimed row; False: it is another's by now."""
    return bool(held.update(**made, made_at=now, asked_at=None, told_at=None))


def refresh(
    study: Study, population: str, *, options: Options | None = None, now: datetime
) -> bool:
    """Make an analysis and store it; returns whether this call did. It does nothing where the
    stored one is of all that there is, or while somebody else makes one."""
    stored = _made_room(study.id, population, options or Options())
    campaign = campaign_of(study, population)
    if campaign is None:
        return False
    with claimed(stored, now=now) as held:
        if held is None:
            return False
        counts = counts_of([campaign.id])[campaign.id]  # before it reads: later ones are news
        basis = _bases([study.id])[study.id]
        if is_of_now(stored, counts, basis):
            return False
        n = n_of(counts, population)
        with lease_kept(held) if n > SMALL else nullcontext():  # it takes a thread
            made = _make(study, population, Options(**stored.options))
        if not put(held, now=now, news=counts.news, basis=basis, n_judgments=n, **made):
            return False
    _tell(study, population, stored.id)
    return True


def _make(study: Study, population: str, options: Options) -> dict:
    # Imported here: together they take half a second.
    from evaluation.analysis import analyse_study
    from evaluation.watching import facts

    begun = time.monotonic()
    document = analyse_study(study, population=population, options=options)
    about = facts(campaign_of(study, population), population)
    return {
        "text": json.dumps(document, allow_nan=False),
        "facts": about,
        "drawn": json.dumps([plot.kept() for plot in _plots(document, population)]),
        "seconds": time.monotonic() - begun,
    }


def _plots(document: dict, population: str) -> list[Plot]:
    from evaluation.reports import result_plots

    return result_plots(document, is_simulated=population == SIMULATED)


def newest(study: Study, population: str, *, now: datetime) -> dict | None:
    """The document of a population as it was analysed last; None while the first is being made."""
    stands = standing(study, population, now=now)
    if not stands.n:
        from evaluation.analysis import analyse_study

        return analyse_study(study, population=population)  # says so in a moment
    return stands.stored.document if stands.stored else None


def results_of(stored: StoredAnalysis) -> dict:
    """What reports.results_context gives of a stored analysis, its plots drawn anew only where
    other code drew them."""
    from evaluation.plots import Plot
    from evaluation.reports import results_context

    document = stored.document
    is_ours = document["provenance"]["commit"] == provenance()["commit"]
    plots = [Plot(**each) for each in json.loads(stored.drawn)] if is_ours else None
    return results_context(
        document,
        is_simulated=stored.population == SIMULATED,
        study=stored.study,
        plots=plots,
    )


def owed(*, now: datetime) -> list[Key]:
    """The analyses of studies that people look at, by the default options, that are to be made
    anew: there is news, and it is time."""
    studies = list(Study.objects.filter(n_tasks__isnull=False).values("id", "campaign", "pilot"))
    ids = {each[name] for each in studies for name in ("campaign", "pilot")} - {None}
    counts = counts_of(ids)
    of_studies = StoredAnalysis.objects.filter(study__isnull=False)
    known = {
        (each.study_id, each.population): each
        for each in of_studies.filter(options_sha256=_digest(Options())).defer("text", "facts")
    }
    bases = _bases(each["id"] for each in studies)
    found = []
    for study in studies:
        for population in (PEOPLE, SIMULATED, PILOT):
            campaign = study["pilot" if population == PILOT else "campaign"]
            about = counts.get(campaign)
            stored = known.get((study["id"], population))
            if about is None or not (stored or n_of(about, population)):
                continue
            if stored is None or (
                not is_of_now(stored, about, bases[study["id"]]) and is_due(stored, now=now)
            ):
                found.append((study["id"], population))
    return found


def ask_for_owed(*, now: datetime) -> int:
    """Ask for all that is owed; returns how many were asked for."""
    return sum(ask(*key, now=now) for key in owed(now=now))


def widths_of(document: dict) -> dict[str, tuple[float | None, str]]:
    """By stratum: how wide the widest interval of the scale is, in log-odds, and whose it is; None
    and "" where there is no scale."""
    found: dict[str, tuple[float | None, str]] = {}
    for stratum, values in document["strata"].items():
        scale = values["scale"] or []
        bounded = [each for each in scale if each["low"] is not None and each["high"] is not None]
        if not scale or len(bounded) < len(scale):
            found[stratum] = None, ""
            continue
        widest = max(bounded, key=lambda each: each["high"] - each["low"])
        found[stratum] = widest["high"] - widest["low"], widest["condition"]
    return found


def _tell(study: Study, population: str, stored_id: int) -> None:
    stored = StoredAnalysis.objects.get(id=stored_id)
    if stored.options_sha256 != _digest(Options()):
        return
    document = stored.document
    webhooks.analysis_ready(study, population=population, n_judgments=stored.n_judgments)
    IntervalWidth.objects.bulk_create(
        (
            IntervalWidth(
                study=study,
                population=population,
                stratum=stratum,
                n_judgments=document["strata"][stratum]["n_judgments"],
                widest=widest,
                codec=codec,
            )
            for stratum, (widest, codec) in widths_of(document).items()
            if document["strata"][stratum]["n_judgments"]
        ),
        ignore_conflicts=True,
    )
    from evaluation.stopping import stop_if_narrow

    stop_if_narrow(study, population, document)


def _digest(options: Options) -> str:
    return hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()


def _stored(study_id: int, population: str, options: Options) -> StoredAnalysis | None:
    return StoredAnalysis.objects.filter(
        study=study_id, population=population, options_sha256=_digest(options)
    ).first()


def _made_room(study_id: int, population: str, options: Options) -> StoredAnalysis:
    return StoredAnalysis.objects.get_or_create(
        study_id=study_id,
        population=population,
        options_sha256=_digest(options),
        defaults={"options": asdict(options)},
    )[0]
