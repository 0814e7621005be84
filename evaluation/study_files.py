"""What a study is asked to be: a TOML file or a form, checked by one piece of code."""

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path

from django.utils.text import slugify

from annotation.kinds import KINDS
from codecs_registry.codecs import all_codecs
from codecs_registry.models import stratum_name

DEFAULT_BPP = ("0.23", "0.37", "0.67", "1.0")
LONGEST_NAME = 100


class InvalidStudy(Exception):
    """What is wrong with a study, field by field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


@dataclass(frozen=True)
class StudySpecification:
    """A study as asked for. `bpp` holds exact decimals as text, in rising order."""

    name: str
    images: str
    codecs: list[str]
    bpp: list[str] = field(default_factory=lambda: list(DEFAULT_BPP))
    task: str = "2afc"
    allow_ties: bool = False
    source_distance: int = 2
    judgments_per_task: int = 3
    judgments_per_annotator: int | None = None
    sampling: str = "balanced"
    gold_share: float = 0.0
    repeat_share: float = 0.0
    seed: int = 0
    instructions: str = ""

    @classmethod
    def from_mapping(cls, given: Mapping) -> "StudySpecification":
        """Check what was given, all of it. Raises InvalidStudy naming every field in question."""
        problems: dict[str, str] = {}
        known = cls.__dataclass_fields__
        for name in given:
            if name not in known:
                problems[name] = f"is not known; a study has {', '.join(known)}"
        checks = _Checks(given, problems)
        values = {
            "name": checks.text("name", longest=LONGEST_NAME),
            "images": checks.text("images"),
            "codecs": checks.codecs(),
            "bpp": checks.bpp(),
            "task": checks.one_of("task", KINDS, "2afc"),
            "allow_ties": checks.truth("allow_ties"),
            "source_distance": checks.whole("source_distance", 2, 0, 1000),
            "judgments_per_task": checks.whole("judgments_per_task", 3, 1, 1000),
            "judgments_per_annotator": checks.whole("judgments_per_annotator", None, 1, 1_000_000),
            "sampling": checks.one_of("sampling", ["balanced"], "balanced"),
            "gold_share": checks.share("gold_share"),
            "repeat_share": checks.share("repeat_share"),
            "seed": checks.whole("seed", 0, 0, 2**63 - 1),
            "instructions": checks.text("instructions", default="", longest=5000),
        }
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
        return {
            each.name: each.default if each.default is not MISSING else each.default_factory()
            for each in fields(cls)
            if each.default is not MISSING or each.default_factory is not MISSING
        }

    def as_dict(self) -> dict:
        return asdict(self)


def read_study_file(path: Path) -> StudySpecification:
    """Read STUDY.toml. A folder of images is taken relative to the file.

    Raises InvalidStudy, also for a file that cannot be read or is no TOML.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidStudy({str(path): f"cannot be read ({error})"}) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is no TOMLDecodeError
        raise InvalidStudy({str(path): f"is not TOML ({error})"}) from None
    images = given.get("images")
    if images and isinstance(images, str):
        # A name that no folder can have (too long, an unknown ~user) may be a collection's.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            folder = path.parent / Path(images).expanduser()
            if folder.is_dir():
                given["images"] = str(folder.resolve())
    return StudySpecification.from_mapping(given)


class _Checks:
    """Reads one field after another, noting what is wrong with each."""

    def __init__(self, given: Mapping, problems: dict[str, str]) -> None:
        self.given = given
        self.problems = problems

    def text(self, name: str, *, default: str | None = None, longest: int = 1000) -> str:
        value = self.given.get(name, default)
        if value is None:
            self.problems[name] = "is missing"
            return ""
        if not isinstance(value, str):
            self.problems[name] = "must be text"
            return ""
        value = value.strip()
        if default is None and not value:
            self.problems[name] = "is missing"
        elif len(value) > longest:
            self.problems[name] = f"is longer than {longest} characters"
        elif "\0" in value:  # PostgreSQL stores none
            self.problems[name] = "holds a NUL character"
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int | None:
        value = self.given.get(name, default)
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problems[name] = f"must be a whole number from {low} to {high}"
        return value

    def truth(self, name: str) -> bool:
        value = self.given.get(name, False)
        if not isinstance(value, bool):
            self.problems[name] = "must be true or false"
            return False
        return value

    def share(self, name: str) -> float:
        value = self.given.get(name, 0)
        if value != 0:
            self.problems[name] = "is not served by this version yet; leave it out or set it to 0"
        return 0.0

    def one_of(self, name: str, choices, default: str) -> str:
        value = self.given.get(name, default)
        if value not in list(choices):
            self.problems[name] = f"must be one of {', '.join(choices)} in this version"
        return value

    def codecs(self) -> list[str]:
        value = self.given.get("codecs")
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.problems["codecs"] = "must be a list of codec names"
            return []
        known = all_codecs()
        for name in value:
            if name not in known:
                self.problems["codecs"] = f"{name!r} is not one of {', '.join(known)}"
            elif reason := known[name].unavailable():
                self.problems["codecs"] = f"{name} is not available here: {reason}"
        kind = KINDS.get(str(self.given.get("task", "2afc")), KINDS["2afc"])
        if len(set(value)) < kind.fewest:
            words = {2: "two", 3: "three"}[kind.fewest]
            self.problems.setdefault("codecs", f"needs {words} or more different codecs to compare")
        if len(set(value)) > kind.most:
            self.problems.setdefault("codecs", f"takes at most {kind.most} codecs to rank")
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
                self.problems["bpp"] = "must be a list of bits per pixel from 0.01 to 24"
                return []
            if target != round(target, 4):
                self.problems["bpp"] = "takes at most four decimals"
                return []
            targets.add(target)
        if not targets:
            self.problems["bpp"] = "needs at least one bit rate"
        return [stratum_name(target) for target in sorted(targets)]
