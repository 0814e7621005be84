"""What a study is asked to be: a TOML file or a form, checked by one piece of code."""

import contextlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from django.utils.text import slugify

from annotation.checks import Checks
from annotation.kinds import KINDS
from annotation.options import LONGEST_TEXT, SIDE_BY_SIDE, Options
from codecs_registry.codecs import all_codecs
from codecs_registry.models import stratum_name

DEFAULT_BPP = ("0.23", "0.37", "0.67", "1.0")
LONGEST_NAME = 100
BALANCED, ACTIVE = SAMPLINGS = ("balanced", "active")
LARGEST_SHARE = 0.5  # of what an annotator is given, for gold tasks, and for repeats
TARGET_WIDTHS = (0.05, 20.0)  # log-odds; narrower takes more judgments than anybody gives
GOLD_RATIO = 2.5  # between the highest and the lowest bit rate, that answers may be certain


class InvalidStudy(Exception):
    """What is wrong with a study, field by field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


@dataclass(frozen=True)
class StudySpecification:
    """A study as asked for.

    bpp : exact decimals as text, in rising order.
    budget : the most judgments that people give in all.
    closes_at : ISO 8601 with the time zone; nothing is served after it.
    licence : of the data, told with each export.
    not_after : names of studies whose annotators may not take part.
    target_width : the study closes by itself when no codec's interval is wider, in log-odds.
    options : its parts are keys and tables of their own in a study file, and in as_dict().
    """

    name: str
    images: str
    codecs: list[str]
    bpp: list[str] = field(default_factory=lambda: list(DEFAULT_BPP))
    task: str = "2afc"
    allow_ties: bool = False
    source_distance: int = 2
    judgments_per_task: int = 3
    judgments_per_annotator: int | None = None
    budget: int | None = None
    closes_at: str | None = None
    target_width: float | None = None
    not_after: list[str] = field(default_factory=list)
    sampling: str = BALANCED
    gold_share: float = 0.0
    repeat_share: float = 0.0
    seed: int = 0
    licence: str = ""
    instructions: str = ""
    options: Options = field(default_factory=Options)

    @classmethod
    def from_mapping(cls, given: Mapping) -> "StudySpecification":
        """Check what was given, all of it. Raises InvalidStudy naming every field in question."""
        checks = _Checks(given)
        problems = checks.problems
        parts = [each.name for each in fields(Options)]
        keys = [name for name in cls.__dataclass_fields__ if name != "options"]
        checks.known([*keys, *parts], of="a study")
        values = {
            "name": checks.text("name", longest=LONGEST_NAME),
            "images": checks.text("images"),
            "codecs": checks.codecs(),
            "bpp": checks.bpp(),
            "task": checks.one_of("task", KINDS, "2afc"),
            "allow_ties": checks.truth("allow_ties"),
            "source_distance": checks.whole("source_distance", 2, 0, 1000),
            "judgments_per_task": CHANGEABLE_CHECKS["judgments_per_task"](checks),
            "judgments_per_annotator": CHANGEABLE_CHECKS["judgments_per_annotator"](checks),
            "budget": CHANGEABLE_CHECKS["budget"](checks),
            "closes_at": CHANGEABLE_CHECKS["closes_at"](checks),
            "target_width": CHANGEABLE_CHECKS["target_width"](checks),
            "not_after": checks.texts("not_after", what="of names of studies"),
            "sampling": checks.one_of("sampling", SAMPLINGS, BALANCED),
            "gold_share": checks.number("gold_share", 0.0, 0, LARGEST_SHARE),
            "repeat_share": checks.number("repeat_share", 0.0, 0, LARGEST_SHARE),
            "seed": checks.whole("seed", 0, 0, 2**63 - 1),
            "licence": checks.text("licence", default="", longest=200),
            "instructions": CHANGEABLE_CHECKS["instructions"](checks),
        }
        values["options"] = Options.read(checks)
        checks.gold(values["options"], values)
        if values["sampling"] == ACTIVE and values["task"] != "2afc":
            checks.problem("sampling", "is active for pairs alone (task = '2afc')")
        slug = slugify(values["name"])
        if values["name"] and not slug:
            problems["name"] = "needs a letter from a to z or a digit"
        elif len(slug) > LONGEST_NAME:
            problems.setdefault(
                "name", f"is longer than {LONGEST_NAME} characters in its page's address"
            )
        if problems:
            raise InvalidStudy(problems)
        return cls(**values)

    @classmethod
    def defaults(cls) -> dict:
        """The values of what need not be said."""
        values = {
            each.name: each.default if each.default is not MISSING else each.default_factory()
            for each in fields(cls)
            if each.default is not MISSING or each.default_factory is not MISSING
        }
        return values | values.pop("options").as_dict()

    def as_dict(self) -> dict:
        values = asdict(self)
        return values | values.pop("options")


def read_study_file(path: Path) -> StudySpecification:
    """Read STUDY.toml. A folder of images is taken relative to the file.

    Raises InvalidStudy, also for a file that cannot be read or is no TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidStudy({str(path): f"cannot be read ({error})"}) from None
    given = parse(content, name=str(path))
    images = given.get("images")
    if images and isinstance(images, str):
        # A name that no folder can have (too long, an unknown ~user) may be a collection's.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            folder = path.parent / Path(images).expanduser()
            if folder.is_dir():
                given["images"] = str(folder.resolve())
    return StudySpecification.from_mapping(given)


def parse(content: bytes, *, name: str) -> dict:
    """What a study file says, unchecked. Raises InvalidStudy, which names the file, if it is no
    TOML."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidStudy({name: f"cannot be read ({error})"}) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is no TOMLDecodeError
        raise InvalidStudy({name: f"is not TOML ({error})"}) from None


class _Checks(Checks):
    """A study's own fields."""

    def moment(self, name: str) -> str | None:
        """A date with its time and zone, as TOML or ISO 8601 writes it."""
        value = self.given.get(name)
        if value is None or value == "":
            return None
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            found = None
        if found is None or found.tzinfo is None:
            self.problem(name, "must be a date, a time and its zone, as in 2026-12-31T18:00:00Z")
            return None
        if not 2000 <= found.year <= 9000:  # in UTC it may be in a year that no calendar here has
            self.problem(name, "must be in a year from 2000 to 9000")
            return None
        return found.isoformat()

    def gold(self, options: Options, values: Mapping) -> None:
        """Gold tasks, and rules about them, need something to be made of."""
        practice = options.practice
        wanted = {
            "gold_share": values["gold_share"],
            "practice.tasks": practice.tasks,
            "practice.quiz": practice.quiz,
        }
        bpp = [float(each) for each in values["bpp"]]
        if any(wanted.values()) and bpp and bpp[-1] < GOLD_RATIO * bpp[0]:
            name = next(name for name, value in wanted.items() if value)
            self.problem(
                name,
                "shows the lowest bit rate against the highest, whose answer is certain when that "
                f"is at least {GOLD_RATIO:g} times as much: add such a bit rate to bpp",
            )
        for number, rule in enumerate(options.rules, start=1):
            for check, share in (("gold", "gold_share"), ("repeats", "repeat_share")):
                if rule.check == check and not values[share]:
                    self.problem(f"rules.{number}.check", f"needs a {share} above 0")
            if rule.check == "side bias" and values["task"] != "2afc":
                self.problem(f"rules.{number}.check", "is for pairs (task = '2afc')")
            if rule.action == "practice" and not any(wanted.values()):
                self.problem(
                    f"rules.{number}.action", "needs practice.tasks or a gold_share above 0"
                )
        unable = [each for each in options.viewing.views if each != SIDE_BY_SIDE]
        if values["task"] == "ranking" and unable:
            self.problem("viewing.views", "are for pairs; a ranking has a view of its own")

    def codecs(self) -> list[str]:
        value = self.given.get("codecs")
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.problem("codecs", "must be a list of codec names")
            return []
        known = all_codecs()
        for name in value:
            if name not in known:
                self.problem("codecs", f"{name!r} is not one of {', '.join(known)}")
            elif reason := known[name].unavailable():
                self.problem("codecs", f"{name} is not available here: {reason}")
        kind = KINDS.get(str(self.given.get("task", "2afc")), KINDS["2afc"])
        if len(set(value)) < kind.fewest:
            words = {2: "two", 3: "three"}[kind.fewest]
            self.problem("codecs", f"needs {words} or more different codecs to compare")
        if len(set(value)) > kind.most:
            self.problem("codecs", f"takes at most {kind.most} codecs to rank")
        return sorted(set(value))

    def bpp(self) -> list[str]:
        value = self.given.get("bpp", list(DEFAULT_BPP))
        targets = set()
        for each in value if isinstance(value, list) else [None]:
            try:
                target = Decimal(str(each))
                in_range = Decimal("0.01") <= target <= 24
            except (InvalidOperation, ValueError):
                in_range = False
            if isinstance(each, bool) or not in_range:
                self.problem("bpp", "must be a list of bits per pixel from 0.01 to 24")
                return []
            if target != round(target, 4):
                self.problem("bpp", "takes at most four decimals")
                return []
            targets.add(target)
        if not targets:
            self.problem("bpp", "needs at least one bit rate")
        return [stratum_name(target) for target in sorted(targets)]


CHANGEABLE_CHECKS: dict[str, Callable[[_Checks], object]] = {
    "judgments_per_task": lambda checks: checks.whole("judgments_per_task", 3, 1, 1000),
    "judgments_per_annotator": lambda checks: checks.whole(
        "judgments_per_annotator", None, 1, 1_000_000
    ),
    "budget": lambda checks: checks.whole("budget", None, 1, 2_000_000_000),
    "closes_at": lambda checks: checks.moment("closes_at"),
    "target_width": lambda checks: checks.number("target_width", None, *TARGET_WIDTHS),
    "instructions": lambda checks: checks.text("instructions", default="", longest=LONGEST_TEXT),
}
"""Of those keys that can be changed after the launch, too (evaluation/changes.py)."""


def checked(key: str, value: object) -> object:
    """The value of one of these keys as a study has it. Raises InvalidStudy."""
    checks = _Checks({} if value is None else {key: value})
    found = CHANGEABLE_CHECKS[key](checks)
    if checks.problems:
        raise InvalidStudy(checks.problems)
    return found
