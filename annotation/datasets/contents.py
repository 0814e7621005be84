"""What an export holds, as of one moment, and what a format makes files of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice, product
from typing import Any, NamedTuple, Protocol, Self

from django.db.models import Count, Max

from annotation.datasets.pairs import SPLITS, Pair, count_pairs, judged_pairs, judged_splits
from annotation.kinds import Ranking
from annotation.models import COUNTED, Campaign, Purpose
from annotation.populations import BOTH, PEOPLE, POPULATIONS, SIMULATED
from annotation.records import JudgmentRecord, all_judgments, content_names, judgment_records
from codecs_registry.models import Reconstruction, stratum_name

ROWS_IN_A_PART = 100_000  # judgments: some seconds' work, which a killed worker loses at most
# What files are called by who judged.
FILE_NAMES = {PEOPLE: "people", SIMULATED: "simulated", BOTH: "people-and-simulated"}


class DataChanged(Exception):
    """Judgments went, or tasks came, while files were made of them: they may not fit together."""


@dataclass(frozen=True)
class Moment:
    """The judgments that there were, by which an export of them is bounded: new ones have higher
    ids, and none is ever changed.

    until : the id of the last one.   judgments : how many, by population and purpose.
    tasks : how many the campaign has, on which split and numbers hang.
    """

    until: int
    judgments: dict[str, dict[str, int]]
    tasks: int

    @classmethod
    def now(cls, campaign: Campaign) -> Self:
        newest = all_judgments(campaign).aggregate(newest=Max("id"))["newest"] or 0
        return cls.of(campaign, until=newest)

    @classmethod
    def of(cls, campaign: Campaign, *, until: int) -> Self:
        judgments: dict[str, dict[str, int]] = {each: {} for each in POPULATIONS}
        counts = (
            all_judgments(campaign, until=until)
            .values_list("assignment__annotator__is_simulated", "assignment__purpose")
            .annotate(n=Count("id"))
            .order_by()
        )
        for is_simulated, purpose, n in counts:
            judgments[SIMULATED if is_simulated else PEOPLE][str(purpose)] = n
        return cls(until, judgments, campaign.tasks.count())

    def as_dict(self) -> dict:
        return asdict(self)

    def holds(self, campaign: Campaign) -> bool:
        """Whether all that there was is there still, and nothing has come below it: a judgment
        whose transaction took long, say."""
        return self == Moment.of(campaign, until=self.until)


@dataclass
class Contents:
    """What is exported: a campaign's judgments by a population, as they were at a moment.

    about : what the data card says that a campaign does not know (docs/datasets.md).
    tell : called with the number of judgments and pairs that were read since the last call.
    """

    campaign: Campaign
    population: str = PEOPLE
    about: Mapping[str, Any] = field(default_factory=dict)
    moment: Moment | None = None
    tell: Callable[[int], None] = lambda n: None

    def __post_init__(self) -> None:
        self.moment = self.moment or Moment.now(self.campaign)

    @property
    def until(self) -> int:
        return self.moment.until

    @property
    def file_name(self) -> str:
        """Who judged, as files are called by it."""
        return FILE_NAMES[self.population]

    @property
    def populations(self) -> tuple[str, ...]:
        return POPULATIONS if self.population == BOTH else (self.population,)

    @cached_property
    def content_names(self) -> dict[int, str]:
        return content_names(self.campaign)

    @cached_property
    def reconstructions(self) -> list[Reconstruction]:
        made = Reconstruction.objects.filter(tasks__campaign=self.campaign)
        return list(made.distinct().order_by("id"))

    @cached_property
    def strata(self) -> list[str]:
        found = self.campaign.tasks.values_list("target_bpp", flat=True).order_by().distinct()
        return sorted(map(stratum_name, found), key=float)

    def count(self, purposes: Iterable[str]) -> dict[str, int]:
        """How many judgments of these purposes it holds, by population."""
        return {
            each: sum(self.moment.judgments[each].get(purpose, 0) for purpose in purposes)
            for each in self.populations
        }

    @property
    def compared(self) -> tuple[str, ...]:
        """The purposes of what records() yields: files of rankings have no column for the right
        answer, and so hold no gold tasks."""
        is_ranking = self.campaign.kind == Ranking.name
        return tuple(each for each in COUNTED if not (is_ranking and each == Purpose.GOLD))

    @cached_property
    def pair_counts(self) -> dict[str, tuple[int, int]]:
        """By population: how many pairs were judged, and how many votes they have."""
        return count_pairs(self.campaign, population=self.population, until=self.until)

    @property
    def n_pairs(self) -> int:
        return sum(pairs for pairs, _ in self.pair_counts.values())

    def stretches(self, purposes: Iterable[str]) -> Iterator[tuple[int, int]]:
        """The judgments of these purposes in stretches of at most ROWS_IN_A_PART: behind which one,
        by its id, each begins, and how many are in it. Without judgments there is one, of none."""
        found = all_judgments(self.campaign, population=self.population, until=self.until)
        ids = found.filter(assignment__purpose__in=purposes).order_by("id")
        left, after = sum(self.count(purposes).values()), 0
        while True:
            rows = min(left, ROWS_IN_A_PART)
            yield after, rows
            left -= rows
            if not left:
                return
            after = ids.filter(id__gt=after).values_list("id", flat=True)[rows - 1]

    def records(self, *, after: int = 0, rows: int | None = None) -> Iterator[JudgmentRecord]:
        """The judgments of a file of comparisons or rankings: all, or so many behind one."""
        found = judgment_records(
            self.campaign, population=self.population, until=self.until, after=after
        )
        wanted = (each for each in found if not each.is_gold or Purpose.GOLD in self.compared)
        read = 0
        for each in islice(wanted, rows):
            yield each
            read += 1
            if read == 1000:
                self.tell(read)
                read = 0
        self.tell(read)

    def pairs(self, **of: Any) -> Iterator[Pair]:
        """The judged pairs. of : population, target_bpp, split, if not all are wanted."""
        return judged_pairs(
            self.campaign, **{"population": self.population, "until": self.until} | of
        )

    def splits(self, population: str) -> set[str]:
        """Those in which a population judged any pair."""
        return judged_splits(self.campaign, population=population, until=self.until)

    def subsets(self) -> Iterator[Iterator[Pair]]:
        """The pairs of one subset after the other, each in one split, of one stratum and judged by
        one population: files can be made of what belongs together, with few pairs in memory.
        Reading them is told of.
        """
        targets = self.campaign.tasks.values_list("target_bpp", flat=True)
        targets = list(targets.order_by("target_bpp").distinct())
        for population, target, split in product(self.populations, targets, SPLITS):
            of = {"population": population, "target_bpp": target, "split": split}
            yield self._told(self.pairs(**of))

    def _told(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        for each in pairs:
            yield each
            self.tell(1)


class Part(NamedTuple):
    """A part of a file, whose bytes are made as they are read, or left out."""

    chunks: Iterable[bytes]
    units: int = 0  # what reading the chunks will tell of, where that is left out


class File(NamedTuple):
    """A file of an export: its name in the folder, and its bytes, made as they are read. Its chunks
    are to be read before the next file is asked for, or not at all.

    parts : the same bytes, where they can be gone on with behind any of these.
    """

    name: str
    chunks: Iterable[bytes]
    units: int = 0  # as of a part
    parts: Iterable[Part] = ()

    @classmethod
    def of_parts(cls, name: str, parts: Iterator[Part], units: int) -> Self:
        return cls(name, (chunk for part in parts for chunk in part.chunks), units, parts)


class Column(NamedTuple):
    """A column of a table, as the data card tells of it."""

    name: str
    type: str
    unit: str
    what: str


class Format(Protocol):
    """One way to lay out an export."""

    name: str
    label: str
    what: str
    loader: str  # lines of Python that read the folder FOLDER; {who} names the population
    is_of_pairs: bool = False  # whether it holds pairs with pictures; else it is of judgments

    def purposes(self, contents: Contents) -> tuple[str, ...]:
        """Why what it holds was judged: annotation.models.Purpose."""
        return (Purpose.MEASURE,) if self.is_of_pairs else tuple(Purpose)

    def units(self, contents: Contents) -> int:
        """How many judgments and pairs reading its files tells of."""
        return contents.n_pairs

    def files(self, contents: Contents) -> Iterator[File]:
        """All files but the data card."""

    def tables(self, contents: Contents) -> Mapping[str, list[Column]]:
        """The columns of its tables, by their files' names."""

    def loader_of(self, population: str) -> str:
        """Of an export of a population; of pairs by BOTH, those by people, which are apart."""
        who = PEOPLE if self.is_of_pairs and population == BOTH else FILE_NAMES[population]
        return self.loader.format(who=who)

    def head(self, contents: Contents) -> Mapping[str, Any] | None:
        """What stands as YAML above the data card for people, if anything does."""
        return None
