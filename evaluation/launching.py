"""From a study's specification to an open campaign.

    launch ---> encoding (Celery) ---> advance ---> open
                   | failed: retry_encoding ^

Every step can be taken again without harm: launching the same study twice makes no second one, and
`advance` makes tasks once.
"""

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.text import slugify

from annotation.models import Campaign
from codecs_registry import encoding
from codecs_registry.importing import Import, find_pictures, import_files
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.tasks import wake_encoders
from evaluation import webhooks
from evaluation.models import Study
from evaluation.questions import make_tasks, require_room
from evaluation.study_files import InvalidStudy, StudySpecification
from projects import audit
from projects.access import default_project
from projects.models import Project

State = Reconstruction.State
logger = logging.getLogger(__name__)


class EncodingFailed(Exception):
    """Some of a study's reconstructions could not be made; the message says why."""


def find_sources(
    images: str,
    *,
    project: Project | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> list[SourceImage]:
    """The source images that a study names: a folder's, imported if need be, or a collection's.

    images : an absolute path, or the name of a collection that the project sees.

    Raises InvalidStudy if there are none, or if a file of the folder cannot be used.
    """
    folder = Path(images)
    try:
        if not (folder.is_absolute() and folder.is_dir()):
            return collection_sources(images, project)
        paths = find_pictures(folder)
    except OSError as error:
        raise InvalidStudy({"images": f"cannot be read ({error})"}) from None
    with transaction.atomic():  # all of them or none
        imported = import_files(((path.name, path) for path in paths), progress=progress)
        _refuse_skipped(imported, folder)
    if not imported.sources:
        raise InvalidStudy({"images": f"{images!r} holds no pictures"})
    return imported.sources


def collection_sources(name: str, project: Project | None = None) -> list[SourceImage]:
    """The source images of a collection that a project sees; without a project, of everybody's.

    Raises InvalidStudy if there is none, or none in it.
    """
    collection = Collection.objects.known_to(project).filter(name=name).first()
    if collection is None:
        known = Collection.objects.known_to(project)
        names = ", ".join(known.values_list("name", flat=True)) or "none yet"
        raise InvalidStudy(
            {"images": f"{name!r} is neither a folder nor a collection (there are: {names})"}
        )
    sources = list(collection.sources.all())
    if not sources:
        raise InvalidStudy({"images": f"{name!r} holds no pictures"})
    return sources


def _refuse_skipped(imported: Import, folder: Path) -> None:
    if imported.skipped:
        listed = "; ".join(f"{name}: {reason}" for name, reason in imported.skipped[:5])
        raise InvalidStudy(
            {
                "images": f"{len(imported.skipped)} files of {folder} cannot be used ({listed}); "
                "take them out, or import the folder into a collection and name that"
            }
        )


def launch(
    specification: StudySpecification,
    sources: list[SourceImage],
    *,
    by=None,
    project: Project | None = None,
) -> tuple[Study, bool]:
    """Make a study and ask for its reconstructions; returns it, and whether it is new.

    project : whose it is; None: that of what commands make (projects/access.py).

    The same study again goes on where it was: failed encodes are tried again.
    Raises InvalidStudy if another study has the name, and leaves nothing behind.
    """
    require_room(specification.options.viewing, sources)
    asked = specification.as_dict() | {"images": sorted(source.sha256 for source in sources)}
    with transaction.atomic():
        study, is_new = _get_or_create(
            specification, asked, len(sources), project=project or default_project(), by=by
        )
        # What a study file could not say yet when a study was launched is as it was by default.
        known = specification.defaults() | study.specification
        if not is_new and known != asked:
            differ = sorted(key for key in asked if known.get(key) != asked[key])
            raise InvalidStudy(
                {
                    "name": f"is taken by another study, {study.name!r}, which differs in "
                    f"{', '.join(differ) or 'its settings'}; choose another name"
                }
            )
        if is_new:
            study.sources.set(sources)
            _keep_in_sight(study, sources)
            audit.record("launched the study", study, by=by, project=study.project)
        retry_encoding(study)
    if specification.options.viewing.crop is None:  # cutting takes long: a worker does it
        advance(study.id)
    study.refresh_from_db()
    return study, is_new


def _keep_in_sight(study: Study, sources: list[SourceImage]) -> None:
    """Put source images that are in no collection which the project sees into one of its own."""
    seen = study.sources.filter(
        Q(collections__project=None, collections__isnull=False)
        | Q(collections__project=study.project)
    )
    known = set(seen.values_list("id", flat=True))
    if unseen := [each for each in sources if each.id not in known]:
        made, _ = Collection.objects.get_or_create(name=study.name, project=study.project)
        made.sources.add(*unseen)


def _get_or_create(
    specification: StudySpecification, asked: dict, n_sources: int, *, project: Project, by
) -> tuple[Study, bool]:
    slug = slugify(specification.name)
    if known := _known(specification.name, slug, project):
        return known, False
    try:
        with transaction.atomic():
            campaign = Campaign.objects.create(
                kind=specification.task,
                allows_ties=specification.allow_ties,
                # With fewer others no picture would ever rest, and all would be looked through.
                source_distance=min(specification.source_distance, n_sources - 1),
                instructions=specification.instructions,
                judgments_per_task=specification.judgments_per_task,
                judgments_per_annotator=specification.judgments_per_annotator,
                gold_share=specification.gold_share,
                repeat_share=specification.repeat_share,
                budget=specification.budget,
                budget_left=specification.budget,
                closes_at=specification.closes_at,
                stored_options=specification.options.as_dict(),
                seed=specification.seed,
            )
            campaign.excludes.set(_campaigns_of(specification.not_after))
            study = Study.objects.create(
                name=specification.name,
                slug=slug,
                specification=asked,
                codecs=specification.codecs,
                targets_bpp=[Decimal(bpp) for bpp in specification.bpp],
                campaign=campaign,
                launched_by=by,
                project=project,
            )
            return study, True
    except IntegrityError:  # launched by somebody else at the same moment
        if known := _known(specification.name, slug, project):
            return known, False
        raise


def _campaigns_of(names: list[str]) -> list[Campaign]:
    """The campaigns of studies by name. Raises InvalidStudy if there is no such study."""
    found = {each.name: each.campaign for each in Study.objects.filter(name__in=names)}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise InvalidStudy({"not_after": f"{unknown[0]!r} is no study here"})
    return list(found.values())


def _known(name: str, slug: str, project: Project) -> Study | None:
    """The project's study of this name. Raises InvalidStudy if another one has its name or slug."""
    known = Study.objects.filter(slug=slug).first()
    if known and known.project_id != project.id:
        raise InvalidStudy({"name": "is taken by a study of another project; choose another name"})
    if known and known.name != name:
        raise InvalidStudy({"name": f"is too like that of another study (both are {slug!r})"})
    return known


def retry_encoding(study: Study) -> int:
    """Ask again, in the codecs' versions of today, for what the study lacks; returns how many
    reconstructions had failed. A study that is open keeps what it has."""
    with transaction.atomic():
        if study.campaign.state == Campaign.State.DRAFT:
            study.reconstructions.set(
                encoding.request(study.sources.all(), study.codecs, study.targets_bpp)
            )
        count = encoding.retry_failed(study.reconstructions)
        _wake_encoders_on_commit()
    return count


def _wake_encoders_on_commit() -> None:
    # A broker that does not answer costs time, not the study: workers look for work by themselves.
    transaction.on_commit(wake_encoders, robust=True)


def wait_until_open(
    study: Study,
    *,
    progress: Callable[[str], None],
    poll_s: float = 0.2,
    patience_s: float = 20.0,
) -> None:
    """Return when the study's campaign is open, telling meanwhile how far its encoding is.

    Says so once if nothing moves for `patience_s`. Raises EncodingFailed once nothing is left to
    wait for.
    """
    ready, reported, moved_at = None, None, time.monotonic()
    while True:
        study.campaign.refresh_from_db()
        is_open = study.campaign.state != Campaign.State.DRAFT
        if is_open and reported is None:
            return  # it was already: nothing to tell
        counts = study.encoding_progress()
        if counts["ready"] != ready:
            ready, moved_at = counts["ready"], time.monotonic()
        if (tenth := 10 * ready // counts["total"]) != reported:
            reported = tenth
            progress(f"encoded {ready} of {counts['total']} reconstructions")
        if is_open:
            return
        if counts["failed"] and counts["failed"] + counts["ready"] == counts["total"]:
            first = study.reconstructions.filter(state=State.FAILED).first()
            raise EncodingFailed(
                f"{counts['failed']} of {counts['total']} reconstructions could not be made; "
                f"{first}: {first.error.rstrip('.')}."
            )
        if time.monotonic() - moved_at > patience_s:
            moved_at = float("inf")
            progress("nothing moves: is a worker running? docs/running.md tells how")
        time.sleep(poll_s)


def advance(study_id: int) -> bool:
    """Make the study's tasks and open its campaign, once its stimuli are complete.

    Returns whether this call opened it. A call while another is at it does nothing.
    """
    with transaction.atomic():
        free = Study.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
        study = free.filter(id=study_id).first()
        if study is None or study.campaign.state != Campaign.State.DRAFT:
            return False  # done, or being done
        if study.reconstructions.exclude(state=State.READY).exists():
            return False
        make_tasks(study)
        Campaign.objects.filter(id=study.campaign_id).update(state=Campaign.State.OPEN)
        webhooks.study_moved(study, Campaign.State.OPEN)
        return True


def advance_all() -> int:
    """Open every study whose stimuli are complete; returns how many this call opened."""
    drafts = Study.objects.filter(campaign__state=Campaign.State.DRAFT)
    opened = 0
    for study_id in drafts.values_list("id", flat=True):
        try:
            opened += advance(study_id)
        except Exception:  # one study's trouble must not keep the others closed
            logger.exception("study %s could not be opened", study_id)
    return opened


def close(study: Study, *, by=None) -> None:
    """Serve no new pairs. Answers to pairs that are being looked at still count.

    A study that is not open yet stays as it is: closed, it would never get its tasks.
    """
    _move(study, Campaign.State.OPEN, Campaign.State.CLOSED, by=by)


def reopen(study: Study, *, by=None) -> None:
    """Serve pairs again after `close`."""
    _move(study, Campaign.State.CLOSED, Campaign.State.OPEN, by=by)


@transaction.atomic
def _move(study: Study, before: Campaign.State, after: Campaign.State, *, by) -> None:
    moved = Campaign.objects.filter(id=study.campaign_id, state=before).update(state=after)
    if moved:
        audit.record(f"made the study {after.value}", study, by=by, project=study.project)
        webhooks.study_moved(study, after)
