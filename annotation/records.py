"""Judgments as rows, for analysis and export: what was shown, what was answered, by whom."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from annotation.kinds import KINDS
from annotation.models import Campaign, Judgment
from codecs_registry.models import Reconstruction, stratum_name


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """One 2AFC judgment. `content` is the source image's file name, or name and hash prefix where
    two source images share a name; `left` and `right` are codecs."""

    annotator: str
    content: str
    stratum: str
    left: str
    right: str
    chosen: str
    response_ms: int
    submitted_at: datetime
    is_simulated: bool
    task_id: int


def comparison_records(campaign: Campaign) -> Iterator[ComparisonRecord]:
    """The campaign's judgments in the order in which they were given, streamed."""
    codecs = dict(
        Reconstruction.objects.filter(tasks__campaign=campaign).values_list("id", "codec")
    )
    contents = content_names(campaign)
    positions = KINDS[campaign.kind].positions
    # Plain values, not models: they are many.
    judgments = (
        Judgment.objects.filter(assignment__task__campaign=campaign)
        .order_by("id")
        .values_list(
            "assignment__annotator_id",
            "assignment__annotator__is_simulated",
            "assignment__task_id",
            "assignment__task__source_id",
            "assignment__task__target_bpp",
            "assignment__shown",
            "ranks",
            "response_ms",
            "judged_at",
            named=True,
        )
    )
    for row in judgments.iterator(chunk_size=5000):
        left, right = (codecs[shown] for shown in row.assignment__shown)
        is_simulated = row.assignment__annotator__is_simulated
        yield ComparisonRecord(
            annotator=annotator_name(row.assignment__annotator_id, is_simulated=is_simulated),
            content=contents[row.assignment__task__source_id],
            stratum=stratum_name(row.assignment__task__target_bpp),
            left=left,
            right=right,
            chosen=positions[row.ranks.index(1)],
            response_ms=row.response_ms,
            submitted_at=row.judged_at,
            is_simulated=is_simulated,
            task_id=row.assignment__task_id,
        )


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
