"""From a study's specification to an open campaign, and on until it is closed.

    launch ---> encoding (Celery) ---> advance ---> open <---> paused
                   | failed: retry_encoding ^        | ^         |
                                 ready <---> pilot   v |         v
                                   |           |    closed <-----'
                                   '--> open <-'

What a study does once all is encoded, it was told before (`prefer`): open, open as a pilot, or
wait. Every step can be taken again without harm: launching the same study twice makes no second
one, and `advance` makes tasks once. MOVES says which steps lead where; each is recorded.
"""

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils.text import slugify

from annotation.models import Campaign
from codecs_registry import encoding
from codecs_registry.importing import Import, find_pictures, import_files
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.tasks import wake_encoders
from evaluation import webhooks
from evaluation.changes import NotAllowed, changing, record
from evaluation.models import Study
from evaluation.pilots import start_pilot
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
    when_ready: str = Study.WhenReady.OPEN,
) -> tuple[Study, bool]:
    """Make a study and ask for its reconstructions; returns it, and whether it is new.

    project : whose it is; None: that of what commands make (projects/access.py).
    when_ready : what a new one does then, see `prefer`.

    The same study again goes on where it was: failed encodes are tried again.
    Raises InvalidStudy if another study has the name, and leaves nothing behind.
    """
    require_room(specification.options.viewing, sources)
    asked = _asked(specification, sources)
    with transaction.atomic():
        study, is_new = _get_or_create(
            specification, asked, len(sources), project=project or default_project(), by=by
        )
        if not is_new:
            _require_same(study, asked)
        if is_new:
            study.sources.set(sources)
            _keep_in_sight(study, sources)
            study.when_ready = when_ready
            study.save(update_fields=["when_ready"])
            audit.record("launched the study", study, by=by, project=study.project)
        retry_encoding(study, by=by)
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


def problems_here(
    specification: StudySpecification,
    sources: list[SourceImage],
    *,
    project: Project | None = None,
) -> dict[str, str]:
    """What would keep a project from launching this study here, field by field; nothing is
    written."""
    problems = {}
    try:
        require_room(specification.options.viewing, sources)
    except InvalidStudy as error:
        problems |= error.problems
    try:
        _campaigns_of(specification.not_after, project or default_project())
    except InvalidStudy as error:
        problems |= error.problems
    try:
        if known := _known(
            specification.name, slugify(specification.name), project or default_project()
        ):
            _require_same(known, _asked(specification, sources))
    except InvalidStudy as error:
        problems |= error.problems
    return problems


def _asked(specification: StudySpecification, sources: list[SourceImage]) -> dict:
    """What a study keeps of what was asked for."""
    return specification.as_dict() | {"images": sorted(source.sha256 for source in sources)}


def _require_same(study: Study, asked: dict) -> None:
    """Raise InvalidStudy if a study is not what is asked for under its name."""
    # What a study file could not say yet when a study was launched is as it was by default.
    known = StudySpecification.defaults() | study.specification
    if known != asked:
        differ = sorted(key for key in asked if known.get(key) != asked[key])
        raise InvalidStudy(
            {
                "name": f"is taken by another study, {study.name!r}, which differs in "
                f"{', '.join(differ) or 'its settings'}; choose another name"
            }
        )


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
            campaign.excludes.set(_campaigns_of(specification.not_after, project))
            study = Study.objects.create(
                name=specification.name,
                slug=slug,
                specification=asked,
                codecs=specification.codecs,
                targets_bpp=[Decimal(bpp) for bpp in specification.bpp],
                target_width=specification.target_width,
                campaign=campaign,
                launched_by=by,
                project=project,
            )
            return study, True
    except IntegrityError:  # launched by somebody else at the same moment
        if known := _known(specification.name, slug, project):
            return known, False
        raise


def _campaigns_of(names: list[str], project: Project) -> list[Campaign]:
    """The campaigns of a project's studies by name. Raises InvalidStudy if it has no such study."""
    studies = Study.objects.filter(project=project, name__in=names).select_related("campaign")
    found = {each.name: each.campaign for each in studies}
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


def retry_encoding(study: Study, *, by=None) -> int:
    """Ask again, in the codecs' versions of today, for what the study lacks; returns how many
    reconstructions had failed. A study whose tasks are made keeps what it has."""
    with transaction.atomic():
        if study.n_tasks is None:
            study.reconstructions.set(
                encoding.request(study.sources.all(), study.codecs, study.targets_bpp)
            )
        count = encoding.WORK.retry(study.reconstructions.all())
        if count:
            audit.record("tried failed encodes again", study, by=by, project=study.project, n=count)
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
    """Return when the study is open, or whatever it was told to be then, telling meanwhile how far
    its encoding is.

    Says so once if nothing moves for `patience_s`. Raises EncodingFailed once nothing is left to
    wait for.
    """
    ready, reported, moved_at = None, None, time.monotonic()
    while True:
        study.refresh_from_db(fields=["n_tasks"])
        study.campaign.refresh_from_db()
        is_open = study.n_tasks is not None
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
    """Make the study's tasks, once its stimuli are complete, and do what it was told to do then.

    Returns whether this call did. A call while another is at it does nothing.
    """
    with transaction.atomic():
        free = Study.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
        study = free.filter(id=study_id).first()
        if study is None or study.n_tasks is not None:
            return False  # done, or being done
        if study.reconstructions.exclude(state=State.READY).exists():
            return False
        make_tasks(study)
        made = study.campaign.tasks.aggregate(
            n_tasks=Count("id", filter=Q(closest=None)),
            n_gold_tasks=Count("id", filter=~Q(closest=None)),
        )
        Study.objects.filter(id=study_id).update(**made)
        study.n_tasks = made["n_tasks"]
        record(study, "state", Study.State.ENCODING, Study.State.READY, by=None)
        if study.when_ready == Study.WhenReady.OPEN:
            _take("open", study, by=None)
        if study.when_ready == Study.WhenReady.PILOT:
            _take("open as a pilot", study, by=None)
        return True


def advance_all() -> int:
    """Advance every study whose stimuli are complete; returns how many this call did."""
    done = 0
    for study_id in Study.objects.filter(n_tasks=None).values_list("id", flat=True):
        try:
            done += advance(study_id)
        except Exception:  # one study's trouble must not keep the others closed
            logger.exception("study %s could not be opened", study_id)
    return done


# --- moves ----------------------------------------------------------------------------------------

_S = Study.State
MOVES: dict[str, dict[Study.State, Study.State]] = {
    "open": {_S.READY: _S.OPEN, _S.PILOT: _S.OPEN},
    "open as a pilot": {_S.READY: _S.PILOT},
    "end the pilot": {_S.PILOT: _S.READY},
    "pause": {_S.OPEN: _S.PAUSED},
    "go on": {_S.PAUSED: _S.OPEN},
    "close": {_S.OPEN: _S.CLOSED, _S.PAUSED: _S.CLOSED},
    "open again": {_S.CLOSED: _S.OPEN},
}
"""By what a person presses: from which state it leads to which. Everything else is refused."""


def moves_from(state: Study.State) -> list[str]:
    return [name for name, leads in MOVES.items() if state in leads]


def open_study(study: Study, *, by=None) -> None:
    """Have it judged; a pilot that was going on ends. Raises NotAllowed, as all moves do."""
    _move("open", study, by=by)


def open_pilot(study: Study, *, by=None) -> None:
    """Have it tried by people whose judgments are kept apart (evaluation/pilots.py)."""
    _move("open as a pilot", study, by=by)


def end_pilot(study: Study, *, by=None) -> None:
    """Serve nothing more of the pilot. Answers to what is being looked at still count in it."""
    _move("end the pilot", study, by=by)


def pause(study: Study, *, by=None) -> None:
    """Serve nothing new for a while. Answers to what is being looked at still count."""
    _move("pause", study, by=by)


def resume(study: Study, *, by=None) -> None:
    """Serve again after `pause`."""
    _move("go on", study, by=by)


def close(study: Study, *, by=None, reason: str = "") -> None:
    """Serve nothing more. Answers to what is being looked at still count."""
    _move("close", study, by=by, reason=reason)


def reopen(study: Study, *, by=None) -> None:
    """Serve again after `close`."""
    _move("open again", study, by=by)


def prefer(study: Study, when_ready: str, *, by=None) -> None:
    """Say what the study does once all is encoded: a Study.WhenReady."""
    with changing(study) as locked:
        if locked.state != Study.State.ENCODING:
            raise NotAllowed(f"{study} is encoded already: it is {locked.state.label}")
        record(locked, "when_ready", locked.when_ready, when_ready, by=by)
        Study.objects.filter(id=study.id).update(when_ready=when_ready)
    study.when_ready = when_ready


MOVE_FUNCTIONS: dict[str, Callable[..., None]] = {
    "open": open_study,
    "open as a pilot": open_pilot,
    "end the pilot": end_pilot,
    "pause": pause,
    "go on": resume,
    "close": close,
    "open again": reopen,
}


def _move(name: str, study: Study, *, by, reason: str = "") -> None:
    with changing(study) as locked:
        _take(name, locked, by=by, reason=reason)
    study.refresh_from_db()


def _take(name: str, study: Study, *, by, reason: str = "") -> None:
    """Take a step of MOVES. The caller has locked the study."""
    before = study.state
    after = MOVES[name].get(before)
    if after is None:
        can = " or ".join(moves_from(before)) or "nothing yet"
        raise NotAllowed(f"{study} is {before.label}; what can be done with it is: {can}")
    if after == Study.State.PILOT:
        start_pilot(study)
    elif before == Study.State.PILOT:
        Campaign.objects.filter(id=study.pilot_id).update(state=Campaign.State.CLOSED)
    if after in Campaign.State.values:
        Campaign.objects.filter(id=study.campaign_id).update(state=after)
    record(study, "state", before, after, by=by, reason=reason)
    webhooks.study_moved(study, after)
