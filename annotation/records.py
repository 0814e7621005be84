"""Judgments as rows, for analysis and export: what was shown, what was answered, by whom."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from django.db.models import Exists, OuterRef, QuerySet

from annotation.kinds import KINDS, is_alone_first
from annotation.models import COUNTED, Campaign, Judgment, Purpose
from annotation.populations import BOTH, judged_by
from codecs_registry.models import Reconstruction, SourceImage, stratum_name


@dataclass(frozen=True, slots=True)
class JudgmentRecord:
    """One judgment: codecs with their ranks, in the order in which they were shown.

    `content` is the source image's file name, or name and hash prefix where two source images
    share a name, with the place of the part that is shown where several are asked about,
    "harbour.png@40,16"; `ranks` has 1 for the codec that is closest to the original, equal ranks
    for ties. `closest` is the position of the one that is closest for certain, of a gold task, and
    None of all others; a gold task's codecs carry their bit rates, "jpeg@1.0". `repeats` tells
    whether the annotator had judged the task before.
    """

    annotator: str
    content: str
    stratum: str
    codecs: tuple[str, ...]
    ranks: tuple[int, ...]
    response_ms: int
    submitted_at: datetime
    is_simulated: bool
    task_id: int
    closest: int | None = None
    repeats: bool = False

    @property
    def is_gold(self) -> bool:
        return self.closest is not None

    @property
    def is_right(self) -> bool:
        """Of a gold task: whether the one that is closest was put first, and it alone."""
        return is_alone_first(self.ranks, self.closest)

    @property
    def expected(self) -> str:
        """Of a pair: the right answer if it is a gold task, "" if it is none."""
        return "" if self.closest is None else ("left", "right")[self.closest]

    @property
    def left(self) -> str:
        """Of a pair."""
        return self.codecs[0]

    @property
    def right(self) -> str:
        """Of a pair."""
        return self.codecs[1]

    @property
    def chosen(self) -> str:
        """Of a pair: left, right or tie."""
        return KINDS["2afc"].answer(self.ranks)

    @property
    def ranking(self) -> str:
        """The codecs from the closest to the farthest, as in 'avif > jpeg = webp'."""
        return ranking_text(self.codecs, self.ranks)


def ranking_text(codecs: Sequence[str], ranks: Sequence[int]) -> str:
    """Codecs by their ranks, as in 'avif > jpeg = webp'."""
    placed = sorted(zip(ranks, codecs, strict=True))
    return " > ".join(
        " = ".join(codec for _, codec in place)
        for _, place in groupby(placed, key=lambda each: each[0])
    )


PAGE = 5000  # judgments that are in memory at once


def in_pages(rows: QuerySet, *, after: int = 0) -> Iterator[list[tuple]]:
    """Rows of a queryset of plain values that begin with the id, in the order of their ids, a list
    of PAGE at a time.

    Each list is a query of its own that begins behind the last id (keyset order), so that neither
    the server nor we ever hold more, and no transaction stays open while a slow reader reads.
    """
    rows = rows.order_by("id")
    while page := list(rows.filter(id__gt=after)[:PAGE]):
        after = page[-1][0]
        yield page


def counted(
    campaign: Campaign, *, population: str = BOTH, until: int | None = None
) -> QuerySet[Judgment]:
    """The judgments that files of comparisons hold: all but practice and quiz. until : the id of
    the last one."""
    found = all_judgments(campaign, population=population, until=until)
    return found.filter(assignment__purpose__in=COUNTED)


def all_judgments(
    campaign: Campaign, *, population: str = BOTH, until: int | None = None
) -> QuerySet[Judgment]:
    found = judged_by(campaign.judgments.all(), population)
    return found if until is None else found.filter(id__lte=until)


def judgment_records(
    campaign: Campaign,
    *,
    population: str = BOTH,
    until: int | None = None,
    after: int = 0,
    only: Iterable[int] | None = None,
) -> Iterator[JudgmentRecord]:
    """The campaign's judgments in the order in which they were given, streamed; practice and quiz
    are left out.

    until : the id of the last one.   after : that of the one before the first.
    only : ids, to have no others.
    """
    made = Reconstruction.objects.filter(tasks__campaign=campaign).order_by().distinct()
    codecs = dict(made.values_list("id", "codec"))
    coded = {
        each: f"{codec}@{stratum_name(bpp)}"
        for each, codec, bpp in made.values_list("id", "codec", "target_bpp")
    }
    contents = content_names(campaign)
    strata = StratumNames()
    has_parts = campaign.options.viewing.crops_per_image > 1
    # Plain values, not models: they are many.
    wanted = counted(campaign, population=population, until=until)
    if only is not None:
        wanted = wanted.filter(id__in=list(only))
    rows = wanted.values_list(
        "id",
        "assignment__annotator_id",
        "assignment__annotator__is_simulated",
        "assignment__task_id",
        "assignment__task__source_id",
        "assignment__task__target_bpp",
        "assignment__task__crop",
        "assignment__task__closest_id",
        "assignment__purpose",
        "assignment__shown",
        "ranks",
        "response_ms",
        "judged_at",
    )
    for (
        _,
        annotator_id,
        is_simulated,
        task_id,
        source_id,
        bpp,
        crop,
        closest_id,
        purpose,
        shown,
        ranks,
        response_ms,
        judged_at,
    ) in (row for page in in_pages(rows, after=after) for row in page):
        is_gold = purpose == Purpose.GOLD
        names = coded if is_gold else codecs
        yield JudgmentRecord(
            annotator=annotator_name(annotator_id, is_simulated=is_simulated),
            content=contents[source_id] + (_place(crop) if has_parts else ""),
            stratum=strata[bpp],
            codecs=tuple([names[each] for each in shown]),
            ranks=tuple(ranks),
            response_ms=response_ms,
            submitted_at=judged_at,
            is_simulated=is_simulated,
            task_id=task_id,
            closest=shown.index(closest_id) if is_gold else None,
            repeats=purpose == Purpose.REPEAT,
        )


class StratumNames(dict):
    """stratum_name() of each target bit rate, reckoned once: there are few, and many rows."""

    def __missing__(self, target_bpp: Decimal) -> str:
        return self.setdefault(target_bpp, stratum_name(target_bpp))


def _place(crop: list[int]) -> str:
    """Parts of one picture are questions of their own: none repeats another."""
    return f"@{crop[0]},{crop[1]}" if crop else ""


COMPLETE_FIELDS = (
    "id",
    "assignment__annotator_id",
    "assignment__annotator__is_simulated",
    "assignment__annotator__conditions",
    "assignment__purpose",
    "assignment__priority",
    "assignment__task_id",
    "assignment__task__source_id",
    "assignment__task__source__sha256",
    "assignment__task__target_bpp",
    "assignment__task__crop",
    "assignment__task__closest_id",
    "assignment__shown",
    "assignment__leased_at",
    "ranks",
    "response_ms",
    "confidence",
    "remark",
    "viewing",
    "events",
    "judged_at",
)


def sampling_name(priority: float) -> str:
    """How a task came to be asked, of its assignment's priority."""
    return "active" if priority > 0 else "balanced"


def complete_records(campaign: Campaign) -> Iterator[dict]:
    """All that is stored of each judgment, practice and quiz too, as plain values, streamed."""
    made = {
        each.id: {
            "codec": each.codec,
            "version": each.codec_version,
            "target_bpp": each.stratum,
            "actual_bpp": each.actual_bpp,
        }
        for each in Reconstruction.objects.filter(tasks__campaign=campaign).distinct()
    }
    contents = content_names(campaign)
    rows = all_judgments(campaign).values_list(*COMPLETE_FIELDS)
    for (
        _,
        annotator_id,
        is_simulated,
        conditions,
        purpose,
        priority,
        task_id,
        source_id,
        sha256,
        target_bpp,
        crop,
        closest_id,
        shown,
        leased_at,
        ranks,
        response_ms,
        confidence,
        remark,
        viewing,
        events,
        judged_at,
    ) in (row for page in in_pages(rows) for row in page):
        yield {
            "annotator": annotator_name(annotator_id, is_simulated=is_simulated),
            "purpose": purpose,
            "sampling": sampling_name(priority),
            "task": task_id,
            "content": contents[source_id],
            "sha256": sha256,
            "stratum": stratum_name(target_bpp),
            "crop": crop,
            "shown": [made[each] for each in shown],
            "closest": shown.index(closest_id) if closest_id else None,
            "ranks": ranks,
            "response_ms": response_ms,
            "confidence": confidence,
            "remark": remark,
            "viewing": viewing,
            "events": events,
            "conditions": conditions,
            "leased_at": leased_at.isoformat(),
            "judged_at": judged_at.isoformat(),
            "simulated": is_simulated,
        }


def annotator_name(annotator_id: int, *, is_simulated: bool) -> str:
    """A pseudonym that is stable within a campaign and cannot be turned into a link."""
    return f"{'simulated' if is_simulated else 'annotator'}-{annotator_id}"


def content_names(campaign: Campaign) -> dict[int, str]:
    """A readable, unique name for each source image of a campaign, by its id."""
    # Asked of each image whether it has a task, which at 10^6 tasks takes a thirtieth of the time
    # that looking at all of them takes.
    shown = SourceImage.objects.filter(Exists(campaign.tasks.filter(source=OuterRef("id"))))
    sources = list(shown.order_by().values_list("id", "name", "sha256"))
    times = Counter(name for _, name, _ in sources)
    return {
        source_id: name if times[name] == 1 else f"{name}-{sha256[:8]}"
        for source_id, name, sha256 in sources
    }
