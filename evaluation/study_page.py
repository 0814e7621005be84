"""What a study's page shows, state by state: what the templates study_*.html need."""

from datetime import datetime

from annotation.stimuli import question_bytes
from codecs_registry.models import Reconstruction
from evaluation import encoding_progress, reconstruction_scores
from evaluation.launching import moves_from
from evaluation.links import annotation_link, campaign_link
from evaluation.models import PEOPLE, PILOT, SIMULATED, IntervalWidth, Study, StudyChange

State = Study.State
MOST_MISSES = 100  # named on the page; the stimuli's page has all
MOST_ANNOTATORS = 200  # whose numbers are on the page; the report and the JSON have all


def population_of(study: Study, asked: str | None) -> str:
    """Whose judgments are shown: those that are asked for; else people's, unless only simulated
    annotators judged, or the pilot's while it goes on."""
    if asked in (PEOPLE, SIMULATED) or (asked == PILOT and study.pilot is not None):
        return str(asked)
    if study.state == State.PILOT:
        return PILOT
    counts = study.judgment_counts()
    return PEOPLE if counts[PEOPLE] or not counts[SIMULATED] else SIMULATED


def live(study: Study, population: str, *, now: datetime, is_patient: bool) -> dict:
    """What changes while one looks: study_encoding.html and study_watch.html."""
    if study.state == State.ENCODING:
        return {
            "study": study,
            "state": str(study.state),
            "encoding": encoding_progress.progress(study, now=now),
            "failures": encoding_progress.failures(study),
        }
    from evaluation.stored_analyses import standing  # with all of statistics

    stands = standing(study, population, now=now, is_patient=is_patient)
    if study.target_width is not None:  # the analysis may just have closed it
        study.campaign.refresh_from_db(fields=["state"])
    of_state = {"state": str(study.state), "stopped": _stopped(study)}
    context = {
        "study": study,
        **of_state,
        "population": population,
        "is_simulated": population == SIMULATED,
        "is_pilot": population == PILOT,
        "stands": stands,
        "counts": stands.counts,
        "n": stands.n,
        "wanted": (study.n_tasks or 0) * study.campaign.judgments_per_task,
    }
    if study.samples_actively and study.state == State.OPEN:
        from evaluation.active_sampling import queue

        context["asked_next"] = queue(study)
    if population != PILOT:
        from evaluation import watching

        about = stands.stored.facts if stands.stored else {}
        context["left"] = watching.left(study, stands.counts, about, population=population, now=now)
    if stands.stored:
        context |= _of_analysis(study, stands.stored, population)
    return context


def _of_analysis(study: Study, stored, population: str) -> dict:
    from evaluation import watch_plots, watching

    document = stored.document
    widths = IntervalWidth.objects.filter(study=study, population=population)
    rows = list(widths.values("stratum", "n_judgments", "widest", "codec"))
    return {
        "analysis": document,
        "pace_plot": watch_plots.pace_plot(stored.facts),
        "width_plot": watch_plots.width_plot(rows, target=study.target_width),
        "coverage": watching.coverage(study, document) if population != PILOT else [],
        "agreement": watching.agreement(document),
        "attention": watching.attention(document),
    }


def _stopped(study: Study) -> StudyChange | None:
    """The change by which a study that is closed closed itself."""
    if study.state != State.CLOSED:
        return None
    last = study.changes.filter(key="state").last()
    return last if last and last.by_id is None and last.reason else None


def whole(study: Study, population: str, *, now: datetime) -> dict:
    """What the page needs besides."""
    context = live(study, population, now=now, is_patient=False)
    state = study.state
    context |= {
        "moves": moves_from(state),
        "annotation_link": annotation_link(study),
        "changes": study.changes.select_related("by").order_by("-version")[:50],
    }
    if study.pilot is not None:
        context["pilot_link"] = campaign_link(study.pilot)
    if state == State.ENCODING:
        return context
    missed = study.reconstructions.filter(state=Reconstruction.State.READY).exclude(miss="")
    context |= {
        "question_bytes": question_bytes(study.campaign),
        "n_misses": missed.count(),
        "misses": missed.select_related("source")[:MOST_MISSES],
        "others": _others(study, population),
    }
    if context["stands"].stored:
        from evaluation.stored_analyses import results_of

        context |= results_of(context["stands"].stored)
        context["annotators_shown"] = f":{MOST_ANNOTATORS}"
        context["metric"] = reconstruction_scores.of_study(study)
    return context


def _others(study: Study, population: str) -> list[tuple[str, str, int]]:
    """The other populations that judged: name, words for a link, how many judgments."""
    counts = study.judgment_counts()
    if study.pilot is not None:
        from annotation.counts import counts_of_campaign

        counts[PILOT] = counts_of_campaign(study.pilot_id).people
    words = {
        PEOPLE: "Show what people judged",
        SIMULATED: "Show simulated judgments",
        PILOT: "Show the pilot",
    }
    return [(name, words[name], n) for name, n in counts.items() if n and name != population]
