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
    judgments = (
        Judgment.objects.filter(assignment__task__campaign=campaign)
        .select_related("assignment__annotator", "assignment__task")
        .order_by("id")
    )
    for judgment in judgments.iterator(chunk_size=5000):
        assignment = judgment.assignment
        left, right = (codecs[shown] for shown in assignment.shown)
        yield ComparisonRecord(
            annotator=annotator_name(assignment.annotator),
            content=contents[assignment.task.source_id],
            stratum=stratum_name(assignment.task.target_bpp),
            left=left,
            right=right,
            chosen=positions[judgment.ranks.index(1)],
            response_ms=judgment.response_ms,
            submitted_at=judgment.judged_at,
            is_simulated=assignment.annotator.is_simulated,
            task_id=assignment.task_id,
        )


def annotator_name(annotator) -> str:
    """A pseudonym that is stable within a campaign and cannot be turned into a link."""
    return f"{'simulated' if annotator.is_simulated else 'annotator'}-{annotator.id}"


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
