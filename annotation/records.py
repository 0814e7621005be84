"""Judgments as rows, for analysis and export: what was shown, what was answered, by whom."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from annotation.kinds import KINDS, is_alone_first
from annotation.models import COUNTED, Campaign, Judgment, Purpose
from codecs_registry.models import Reconstruction, stratum_name


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
        placed = sorted(zip(self.ranks, self.codecs, strict=True))
        return " > ".join(
            " = ".join(codec for _, codec in place)
            for _, place in groupby(placed, key=lambda each: each[0])
        )


def judgment_records(
    campaign: Campaign, *, only: Iterable[int] | None = None
) -> Iterator[JudgmentRecord]:
    """The campaign's judgments in the order in which they were given, streamed; practice and quiz
    are left out.

    only : ids of judgments, to have no others.
    """
    made = Reconstruction.objects.filter(tasks__campaign=campaign)
    codecs = dict(made.values_list("id", "codec"))
    coded = {
        each: f"{codec}@{stratum_name(bpp)}"
        for each, codec, bpp in made.values_list("id", "codec", "target_bpp")
    }
    contents = content_names(campaign)
    has_parts = campaign.options.viewing.crops_per_image > 1
    # Plain values, not models: they are many.
    judgments = (
        Judgment.objects.filter(
            assignment__task__campaign=campaign, assignment__purpose__in=COUNTED
        )
        .order_by("id")
        .values_list(
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
            named=True,
        )
    )
    if only is not None:
        judgments = judgments.filter(id__in=list(only))
    for row in judgments.iterator(chunk_size=5000):
        is_simulated = row.assignment__annotator__is_simulated
        is_gold = row.assignment__purpose == Purpose.GOLD
        shown = row.assignment__shown
        yield JudgmentRecord(
            annotator=annotator_name(row.assignment__annotator_id, is_simulated=is_simulated),
            content=contents[row.assignment__task__source_id]
            + (_place(row.assignment__task__crop) if has_parts else ""),
            stratum=stratum_name(row.assignment__task__target_bpp),
            codecs=tuple((coded if is_gold else codecs)[each] for each in shown),
            ranks=tuple(row.ranks),
            response_ms=row.response_ms,
            submitted_at=row.judged_at,
            is_simulated=is_simulated,
            task_id=row.assignment__task_id,
            closest=shown.index(row.assignment__task__closest_id) if is_gold else None,
            repeats=row.assignment__purpose == Purpose.REPEAT,
        )


def _place(crop: list[int]) -> str:
    """Parts of one picture are questions of their own: none repeats another."""
    return f"@{crop[0]},{crop[1]}" if crop else ""


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
    judgments = (
        Judgment.objects.filter(assignment__task__campaign=campaign)
        .select_related("assignment__task__source", "assignment__annotator")
        .order_by("id")
    )
    for judgment in judgments.iterator(chunk_size=2000):
        assignment = judgment.assignment
        task, who = assignment.task, assignment.annotator
        shown = assignment.shown
        yield {
            "annotator": annotator_name(who.id, is_simulated=who.is_simulated),
            "purpose": assignment.purpose,
            "sampling": "active" if assignment.priority > 0 else "balanced",
            "task": task.id,
            "content": contents[task.source_id],
            "sha256": task.source.sha256,
            "stratum": task.stratum,
            "crop": task.crop,
            "shown": [made[each] for each in shown],
            "closest": shown.index(task.closest_id) if task.closest_id else None,
            "ranks": judgment.ranks,
            "response_ms": judgment.response_ms,
            "confidence": judgment.confidence,
            "remark": judgment.remark,
            "viewing": judgment.viewing,
            "events": judgment.events,
            "conditions": who.conditions,
            "leased_at": assignment.leased_at.isoformat(),
            "judged_at": judgment.judged_at.isoformat(),
            "simulated": who.is_simulated,
        }


def annotator_name(annotator_id: int, *, is_simulated: bool) -> str:
    """A pseudonym that is stable within a campaign and cannot be turned into a link."""
    return f"{'simulated' if is_simulated else 'annotator'}-{annotator_id}"


def content_names(campaign: Campaign) -> dict[int, str]:
    """A readable, unique name for each source image of a campaign, by its id."""
    sources = list(
        campaign.tasks.values_list("source_id", "source__name", "source__sha256")
        .distinct()
        .order_by()
    )
    times = Counter(name for _, name, _ in sources)
    return {
        source_id: name if times[name] == 1 else f"{name}-{sha256[:8]}"
        for source_id, name, sha256 in sources
    }
