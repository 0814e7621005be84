"""What a study that is not launched yet will take, and what it may be expected to show."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

import numpy as np
import scipy

from annotation.kinds import KINDS
from codecs_registry.models import SourceImage
from evaluation.encoding_costs import EncodingCost, encoding_costs
from evaluation.questions import require_room
from evaluation.statistics import NotIdentified
from evaluation.statistics.planning import (
    SECONDS_PER_JUDGMENT,
    PlanRow,
    Prior,
    judgments_for_power,
    judgments_for_width,
)
from evaluation.statistics.planning import plan as simulate
from evaluation.stopping import FEWEST, FEWEST_A_CODEC
from evaluation.study_files import ACTIVE, StudySpecification

CONFIDENCE = 0.95
POWER = 0.8  # of which the plan says how many judgments have it
FACTORS = (0.25, 0.5, 1, 2, 4)  # of the plan's judgments a pair, at which widths are foretold
MOST_STUDIES, FEWEST_STUDIES = 200, 40
# Numbers drawn in all simulated studies together, a third of a second for a million: a page that is
# being edited waits for half a second at most, a command for some.
AT_ONCE, PATIENTLY = 1_500_000, 12_000_000
TAKES_LONG = "to simulate so large a study takes longer than a page should wait"
LEAST_MEASURED = 0.05  # of what is asked, however many gold tasks and repeats are wanted


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted and no study file says.

    annotators : who will come; None: as many as it takes.
    pay_per_hour : used where the study file has no pay for a judgment.
    preferred : the share of people who prefer the better of two codecs, the difference that the
        study is to find.
    annotator_sd, content_sd : how far annotators and pictures differ, see planning.plan.
    """

    annotators: int | None = None
    seconds_per_judgment: float = SECONDS_PER_JUDGMENT
    pay_per_hour: Decimal | None = None
    currency: str = ""
    preferred: float = 0.62
    annotator_sd: float = 0.3
    content_sd: float = 0.3


@dataclass(frozen=True)
class Foretold:
    """Studies of several sizes, simulated, in one stratum.

    rows : in rising order of size; `at` is the plan's own.
    for_width, for_power : judgments a pair at which the interval is half as wide, and at which the
        power is POWER; None where no size that was simulated reaches it.
    """

    rows: tuple[PlanRow, ...]
    at: PlanRow
    n_studies: int
    for_width: int | None
    for_power: int | None


@dataclass(frozen=True)
class Target:
    """When a study with a target width is expected to close by itself: half of the simulated ones
    have by then.

    width : of the widest interval of a codec's score, in log-odds.
    per_pair : judgments of each pair, in one stratum; None: no size that was simulated reaches it.
    judgments : as many in all strata.
    is_within : whether that is no more than the plan has.
    """

    width: float
    per_pair: int | None
    judgments: int | None
    is_within: bool


@dataclass(frozen=True)
class Plan:
    """A study in numbers.

    tasks : what measures; exactly those that launching makes.
    most_gold_tasks : beside them; fewer where an answer is not certain enough.
    judgments_wanted : of those tasks; judgments : what comes of it within the plan's limits.
    asked : answers that annotators give in all, gold tasks and repeats among them.
    practice : answers before the first that counts, by all annotators.
    limits : what keeps `judgments` below what is wanted, and what else to know, in words.
    pairs : of codecs, in a stratum.
    annotators_from : "given", "quota" or "hour" (about an hour each, as nothing says how long).
    cost, cost_from : exact, with cents; from "judgment" (the file's pay) or "hour"; None: no pay.
    bonus : the most that comes on top of the cost.
    foretold, foretold_reason : one of them is None.
    target : None: the study has no target width.
    """

    sources: int
    megapixels: float
    codecs: int
    strata: int
    reconstructions: int
    to_make: int
    pairs: int
    tasks: int
    most_gold_tasks: int
    judgments_wanted: int
    judgments: int
    judgments_per_pair: float
    asked: int
    practice: int
    limits: list[str]
    annotators: int
    annotators_from: str
    hours: float
    hours_each: float
    cost: Decimal | None
    cost_from: str
    bonus: Decimal | None
    currency: str
    encoding: list[EncodingCost]
    foretold: Foretold | None
    foretold_reason: str | None
    target: Target | None

    @property
    def target_told(self) -> str:
        """Whether the study is expected to close by itself, in words; "" without a target."""
        target = self.target
        if target is None:
            return ""
        if self.foretold is None:
            return f"When intervals are {target.width:g} wide cannot be foretold."
        if target.per_pair is None:
            return (
                f"No size that was simulated has intervals of scores that are {target.width:g} "
                "wide: the study is not expected to close by itself. More photographs and "
                "annotators help most."
            )
        reached = (
            f"intervals of scores are {target.width:g} wide at about {target.judgments:,} "
            f"judgments, {target.per_pair:,} of each pair"
        )
        if target.is_within:
            return f"The study is expected to close by itself: {reached}."
        return f"The study is not expected to close by itself: {reached}."

    @property
    def encode_seconds(self) -> float:
        return sum(each.seconds for each in self.encoding)

    @property
    def stored_bytes(self) -> int:
        return sum(each.size_bytes for each in self.encoding)

    @property
    def takes_long(self) -> bool:
        """Whether `patiently` would foretell what is not."""
        return self.foretold_reason == TAKES_LONG

    @property
    def unmeasured(self) -> list[str]:
        """Codecs whose encodes are reckoned by a default, since none was made here."""
        return [each.codec for each in self.encoding if each.to_make and not each.measured]

    def as_dict(self) -> dict:
        """As JSON takes it."""
        values = asdict(self)
        for name in ("cost", "bonus"):
            values[name] = None if values[name] is None else str(values[name])
        return values | {
            "encode_seconds": self.encode_seconds,
            "stored_bytes": self.stored_bytes,
        }


def plan_of(
    specification: StudySpecification,
    sources: Sequence[SourceImage],
    assumptions: Assumptions | None = None,
    *,
    patiently: bool = False,
) -> Plan:
    """What a study of these source images will take.

    patiently : simulate also what takes longer than a page that is being edited can wait for.

    Raises InvalidStudy if a picture is smaller than the part of it that is to be shown.
    """
    require_room(specification.options.viewing, list(sources))
    assumptions = assumptions or Assumptions()
    wants = _Wanted(specification, len(sources))
    people, annotators_from = _people(specification, wants, assumptions)
    judgments, asked, limits = _given(specification, wants, people)
    per_pair = judgments / max(wants.questions * len(specification.bpp), 1)
    practice = specification.options.practice
    training = people * (practice.tasks + practice.quiz)
    hours = (asked + training) * assumptions.seconds_per_judgment / 3600
    cost, bonus, cost_from, currency = _cost(specification, asked, hours, assumptions)
    if specification.sampling == ACTIVE:
        limits.append("Widths and power are those of balanced sampling; active needs fewer.")
    if specification.task == "ranking":
        limits.append(
            "A ranking counts as one answer on each of its pairs, and takes longer than a pair: "
            "set the seconds of an answer."
        )
    foretold, reason = _foretold(
        specification, len(sources), per_pair, people, assumptions, patiently=patiently
    )
    encoding = encoding_costs(sources, specification.codecs, specification.bpp)
    return Plan(
        sources=len(sources),
        megapixels=sum(source.pixel_count for source in sources) / 1e6,
        codecs=len(specification.codecs),
        strata=len(specification.bpp),
        reconstructions=len(sources) * len(specification.codecs) * len(specification.bpp),
        to_make=sum(each.to_make for each in encoding),
        pairs=math.comb(len(specification.codecs), 2),
        tasks=wants.tasks,
        most_gold_tasks=wants.most_gold,
        judgments_wanted=wants.judgments,
        judgments=judgments,
        judgments_per_pair=per_pair,
        asked=asked,
        practice=training,
        limits=limits,
        annotators=people,
        annotators_from=annotators_from,
        hours=hours,
        hours_each=hours / people if people else 0.0,
        cost=cost,
        cost_from=cost_from,
        bonus=bonus,
        currency=currency,
        encoding=encoding,
        foretold=foretold,
        foretold_reason=reason,
        target=_target(specification, wants, foretold, per_pair),
    )


class _Wanted:
    """What is asked for, before anything limits it."""

    def __init__(self, specification: StudySpecification, n_sources: int) -> None:
        kind, codecs = KINDS[specification.task], specification.codecs
        practice = specification.options.practice
        needs_gold = specification.gold_share or practice.tasks or practice.quiz
        viewing = specification.options.viewing
        crops = viewing.crops_per_image if viewing.crop else 1
        self.questions = len(kind.questions(codecs))  # of one picture, part and stratum
        self.tasks = n_sources * crops * len(specification.bpp) * self.questions
        self.most_gold = n_sources * len(kind.gold(codecs, codecs)) if needs_gold else 0
        self.judgments = self.tasks * specification.judgments_per_task
        checks = specification.gold_share + specification.repeat_share
        self.measured_share = max(1 - checks, LEAST_MEASURED)
        self.asked = self.asked_for(self.judgments)

    def asked_for(self, judgments: int) -> int:
        """Answers in all, so that so many of them measure."""
        return math.ceil(judgments / self.measured_share - 1e-9)


def _people(
    specification: StudySpecification, wants: _Wanted, assumptions: Assumptions
) -> tuple[int, str]:
    """How many annotators are reckoned with, and why."""
    if assumptions.annotators:
        return assumptions.annotators, "given"
    asked = min(wants.asked, specification.budget or wants.asked)
    if quota := specification.judgments_per_annotator:
        return max(specification.judgments_per_task, math.ceil(asked / quota)), "quota"
    hours = asked * assumptions.seconds_per_judgment / 3600
    return max(specification.judgments_per_task, math.ceil(hours - 1e-9)), "hour"


def _given(
    specification: StudySpecification, wants: _Wanted, people: int
) -> tuple[int, int, list[str]]:
    """(judgments that measure, answers in all, what limits them)."""
    asked, limits = wants.asked, []
    if specification.budget is not None and specification.budget < asked:
        limits.append(f"The budget ends the study at {specification.budget:,} of {asked:,}.")
        asked = specification.budget
    quota = specification.judgments_per_annotator
    if quota and people * quota < asked:
        limits.append(
            f"{people:,} annotators with {quota:,} questions each give {people * quota:,} of "
            f"{asked:,}."
        )
        asked = people * quota
    whole = asked == wants.asked
    judgments = wants.judgments if whole else math.floor(asked * wants.measured_share + 1e-9)
    if people < specification.judgments_per_task:
        most = wants.tasks * people  # nobody is given a task twice
        if most < judgments:
            limits.append(
                f"Nobody judges a question twice: {people:,} annotators give it at most "
                f"{people:,} of {specification.judgments_per_task:,} judgments."
            )
            judgments, asked = most, wants.asked_for(most)
    if wants.measured_share == LEAST_MEASURED:
        limits.append("Gold tasks and repeats leave hardly any room for judgments that measure.")
    return judgments, asked, limits


def _cost(
    specification: StudySpecification, asked: int, hours: float, assumptions: Assumptions
) -> tuple[Decimal | None, Decimal | None, str, str]:
    """(cost, the most bonus, what it follows from, currency)."""
    crowd = specification.options.crowd
    currency = crowd.currency or assumptions.currency
    bonus = _cents(Decimal(crowd.bonus) * asked) if crowd.bonus else None
    if crowd.pay:
        return _cents(Decimal(crowd.pay) * asked), bonus, "judgment", currency
    if assumptions.pay_per_hour is None:
        return None, bonus, "", currency
    return _cents(assumptions.pay_per_hour * Decimal(str(hours))), bonus, "hour", currency


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _foretold(
    specification: StudySpecification,
    n_sources: int,
    per_pair: float,
    people: int,
    assumptions: Assumptions,
    *,
    patiently: bool,
) -> tuple[Foretold | None, str | None]:
    """Widths and power of one stratum, or why they cannot be had."""
    n, at = len(specification.codecs), round(per_pair)
    if n_sources < 2:
        return None, "intervals allow for pictures that differ, and there is one"
    if at < 2:
        return None, "fewer than two judgments of each pair determine no scale"
    rounds = math.ceil(at / n_sources)  # of the same picture: parts of it count as one
    people = max(people, rounds, 2)
    sizes = {max(2, round(at * factor)) for factor in FACTORS}
    sizes = sorted(size for size in sizes if math.ceil(size / n_sources) <= people)
    work = [size * math.comb(n, 2) + n * (people + n_sources) for size in sizes]
    most = PATIENTLY if patiently else AT_ONCE
    sizes = [
        size for size, drawn in zip(sizes, work, strict=True) if drawn * FEWEST_STUDIES <= most
    ]
    if at not in sizes:
        return None, "the study is too large to be simulated" if patiently else TAKES_LONG
    n_studies = min(MOST_STUDIES, most // work[len(sizes) - 1])
    told = n_sources, people, n_studies
    believed = assumptions.preferred, assumptions.annotator_sd, assumptions.content_sd
    try:
        return _simulated(n, tuple(sizes), at, *told, *believed), None
    except NotIdentified:  # the smallest may have one annotator alone
        pass
    try:
        return _simulated(n, (at,), at, *told, *believed), None
    except NotIdentified as error:
        return None, str(error)


def _target(
    specification: StudySpecification, wants: _Wanted, foretold: Foretold | None, per_pair: float
) -> Target | None:
    width = specification.target_width
    if width is None:
        return None
    narrow = foretold and _fewest(foretold.rows, score_width=width)
    if narrow is None:
        return Target(width, None, None, False)
    # As evaluation.stopping has them.
    each_codec = FEWEST_A_CODEC / (len(specification.codecs) - 1)
    at_least = max(each_codec, FEWEST / wants.questions)
    needed = max(narrow, math.ceil(at_least))
    judgments = needed * wants.questions * len(specification.bpp)
    return Target(width, needed, judgments, needed <= per_pair)


def scores_to_find(n: int, preferred: float) -> list[float]:
    """Scores of n codecs, of which the first is better than the last by so much that this share
    prefers it; all others are half-way between."""
    difference = float(scipy.special.logit(preferred))
    return [difference / 2, *[0.0] * (n - 2), -difference / 2]


@lru_cache(maxsize=256)  # what is typed and taken back, and what several people look at
def _simulated(
    n: int,
    sizes: tuple[int, ...],
    at: int,
    n_contents: int,
    n_annotators: int,
    n_studies: int,
    preferred: float,
    annotator_sd: float,
    content_sd: float,
) -> Foretold:
    rows = simulate(
        Prior.known(scores_to_find(n, preferred)),
        sizes,
        n_contents=n_contents,
        n_annotators=n_annotators,
        annotator_sd=annotator_sd,
        content_sd=content_sd,
        pair=(0, n - 1),
        holm=True,  # as the letters of a results page are
        confidence=CONFIDENCE,
        n_studies=n_studies,
        rng=np.random.default_rng(0),  # the same plan says the same, whenever one looks
    )
    [own] = [row for row in rows if row.judgments_per_pair == at]
    return Foretold(
        rows=tuple(rows),
        at=own,
        n_studies=n_studies,
        for_width=None if own.width is None else _fewest(rows, width=own.width.value / 2),
        for_power=_fewest(rows, power=POWER),
    )


def _fewest(
    rows: Sequence[PlanRow], *, width: float = 0.0, score_width: float = 0.0, power: float = 0.0
) -> int | None:
    """Judgments of each pair at which one of these is reached; None where no size does."""
    try:
        if width:
            found = judgments_for_width(rows, width)
        elif score_width:
            found = judgments_for_width(rows, score_width, of="score_width")
        else:
            found = judgments_for_power(rows, power)
    except NotIdentified:
        return None
    return int(found.value)
