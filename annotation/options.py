"""What a campaign asks for besides its tasks: how pictures are viewed, who may take part, what is
practised, what happens when answers look careless, and how people come and go.

A study file's tables of the same names hold it (docs/annotators.md); a campaign stores it as JSON.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Self

from annotation.checks import Checks
from annotation.platforms import PLATFORMS

SIDE_BY_SIDE, FLIP, INSPECT = "side by side", "flip", "inspect"
VIEWS = (SIDE_BY_SIDE, FLIP, INSPECT)
GAMUTS = ("srgb", "p3", "rec2020")  # as CSS media queries name them, each within the next
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
CHECKS = ("gold", "repeats", "side bias", "too fast")
ACTIONS = ("warn", "practice", "stop", "flag")
LONGEST_TEXT = 20_000


@dataclass(frozen=True)
class Viewing:
    """How pictures are shown.

    views : the ways to view that an annotator can switch between; the page begins with the first.
    crop : width and height in image pixels of the part of each picture that is shown, the same
        part in all pictures of a task; none: they are shown whole.
    crops_per_image : how many such parts are asked about, each in tasks of its own.
    minimum_s, limit_s : seconds before which no answer is taken, and after which the pictures are
        covered; the answer may still be given then.
    confidence, remark : whether each answer is followed by how sure one is (1 to 3), and whether
        a remark can be left with it.
    """

    views: list[str] = field(default_factory=lambda: [SIDE_BY_SIDE])
    crop: list[int] | None = None
    crops_per_image: int = 1
    minimum_s: float = 0.0
    limit_s: float | None = None
    confidence: bool = False
    remark: bool = False

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="viewing")
        minimum_s = checks.number("minimum_s", 0.0, 0, 600) or 0.0
        limit_s = checks.number("limit_s", None, 0.2, 3600)
        if limit_s is not None and limit_s < minimum_s:
            checks.problem("limit_s", "is before minimum_s")
        return cls(
            views=checks.some_of("views", VIEWS, [SIDE_BY_SIDE], fewest=1),
            crop=_crop(checks),
            crops_per_image=checks.whole("crops_per_image", 1, 1, 100) or 1,
            minimum_s=minimum_s,
            limit_s=limit_s,
            confidence=checks.truth("confidence"),
            remark=checks.truth("remark"),
        )


def _crop(checks: Checks) -> list[int] | None:
    """[width, height] from one number (a square) or two."""
    given = checks.given.get("crop")
    if given is None:
        return None
    sides = given if isinstance(given, list) else [given, given]
    is_whole = all(isinstance(each, int) and not isinstance(each, bool) for each in sides)
    if len(sides) != 2 or not is_whole or not all(16 <= each <= 8192 for each in sides):
        checks.problem("crop", "must be a whole number from 16 to 8192, or [width, height]")
        return None
    return sides


@dataclass(frozen=True)
class Requirements:
    """Who may take part, and on what screen. 0 and "" ask for nothing.

    window_width, window_height : of the browser's window, in CSS pixels.
    screen_width, screen_height : of the screen, in CSS pixels.
    gamut : the colours that the screen must reach.
    most_zoom : the largest zoom of the page, in percent of the screen's own scale; browsers tell it
        on computers only.
    size_calibration, contrast_check : whether the screen is measured with a bank card, and whether
        the darkest and the brightest patches must be told apart, before one begins.
    phones : whether a phone is served, by the flip view, or told to come back on a computer.
    languages : one of which the browser must ask for, as "en" or "pt-BR".
    """

    window_width: int = 0
    window_height: int = 0
    screen_width: int = 0
    screen_height: int = 0
    gamut: str = ""
    most_zoom: int = 0
    size_calibration: bool = False
    contrast_check: bool = False
    phones: bool = True
    languages: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="requirements")
        return cls(
            **{
                name: checks.whole(name, 0, 0, 20_000) or 0
                for name in ("window_width", "window_height", "screen_width", "screen_height")
            },
            gamut=checks.one_of("gamut", ("", *GAMUTS), ""),
            most_zoom=checks.whole("most_zoom", 0, 0, 500) or 0,
            size_calibration=checks.truth("size_calibration"),
            contrast_check=checks.truth("contrast_check"),
            phones=checks.truth("phones", default=True),
            languages=checks.texts(
                "languages",
                is_valid=lambda each: bool(LANGUAGE.fullmatch(each)),
                what='of languages, as in ["en", "pt-BR"]',
            ),
        )


@dataclass(frozen=True)
class Practice:
    """What comes before the first judgment that counts: tasks whose answer is known.

    tasks : with feedback after each.
    quiz, quiz_pass, quiz_attempts : tasks without feedback, the share of right answers that
        passes, and how often one may try.
    """

    tasks: int = 0
    quiz: int = 0
    quiz_pass: float = 0.8
    quiz_attempts: int = 2

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="practice")
        return cls(
            tasks=checks.whole("tasks", 0, 0, 50) or 0,
            quiz=checks.whole("quiz", 0, 0, 50) or 0,
            quiz_pass=checks.number("quiz_pass", 0.8, 0.01, 1) or 0.8,
            quiz_attempts=checks.whole("quiz_attempts", 2, 1, 10) or 2,
        )


@dataclass(frozen=True)
class Rule:
    """What happens when an annotator's answers look careless.

    check : what is counted. "gold": gold tasks answered wrongly; "repeats": repeated tasks answered
        otherwise; "side bias": pairs whose more often chosen side was chosen; "too fast": answers
        given before `too_fast_s`.
    share : the rule applies when more than this share of them is so;
    at_least : of at least so many.
    action : "warn" shows a kind word, "practice" adds three practice tasks, "stop" serves no more,
        "flag" tells the researcher alone. Judgments are kept, whatever it is.
    """

    check: str
    action: str
    share: float
    at_least: int = 5
    too_fast_s: float = 1.0

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="a rule")
        return cls(
            check=checks.one_of("check", CHECKS, None),
            action=checks.one_of("action", ACTIONS, None),
            share=_required_share(checks),
            at_least=checks.whole("at_least", 5, 1, 10_000) or 5,
            too_fast_s=checks.number("too_fast_s", 1.0, 0.3, 600) or 1.0,
        )


def _rules(checks: Checks) -> list["Rule"]:
    rules: list[Rule] = []
    for part in checks.parts("rules"):
        rule = Rule.read(part)
        if rule in rules:  # it would apply twice at once
            part.problem("check", "and all else of this rule are those of an earlier one")
        rules.append(rule)
    return rules


def _required_share(checks: Checks) -> float:
    if "share" not in checks.given:
        checks.problem("share", "is missing; it is a number from 0 to 1")
    return checks.number("share", 0.0, 0, 1) or 0.0


@dataclass(frozen=True)
class Crowd:
    """Where annotators come from, how they are sent back, and what they are paid.

    platform : whose query parameters name an annotator; "" for none.
    completed, screened_out, full : completion codes, for who has finished, who may not take part,
        and who came when all was done.
    pay : for each judgment that counts, in units of the currency, as exact text; "" for nothing.
    bonus : the same on top of it, for each judgment of who earned it: who answered at least the
        share `bonus_gold` of their gold tasks rightly, and was not stopped.
    """

    platform: str = ""
    completed: str = ""
    screened_out: str = ""
    full: str = ""
    pay: str = ""
    bonus: str = ""
    bonus_gold: float = 0.8
    currency: str = ""

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="crowd")
        platform = checks.one_of("platform", ("", *PLATFORMS), "")
        codes = {
            name: checks.text(name, default="", longest=64)
            for name in ("completed", "screened_out", "full")
        }
        for name, code in codes.items():
            if code and not re.fullmatch(r"[A-Za-z0-9_-]+", code):
                checks.problem(name, "must be letters, digits, - and _")
        if platform and not codes["completed"]:
            checks.problem("completed", f"is missing; {platform} needs a completion code")
        return cls(
            platform=platform,
            **codes,
            pay=_amount(checks, "pay"),
            bonus=_amount(checks, "bonus"),
            bonus_gold=checks.number("bonus_gold", 0.8, 0, 1),
            currency=checks.text("currency", default="", longest=10),
        )


def _amount(checks: Checks, name: str) -> str:
    """An amount of money as exact text; "" if none is given."""
    given = checks.given.get(name, "")
    if given == "":
        return ""
    try:
        amount = Decimal(str(given))
        is_amount = 0 <= amount <= 1000 and not isinstance(given, bool)
    except InvalidOperation:
        is_amount = False
    if not is_amount:
        checks.problem(name, "must be a number from 0 to 1000, for each judgment")
        return ""
    return f"{amount:f}"


@dataclass(frozen=True)
class Wording:
    """A campaign's own words in one language."""

    instructions: str = ""
    consent: str = ""

    @classmethod
    def read(cls, checks: Checks) -> Self:
        checks.known(_names(cls), of="a translation")
        return cls(
            **{name: checks.text(name, default="", longest=LONGEST_TEXT) for name in _names(cls)}
        )


@dataclass(frozen=True)
class Options:
    """All of it.

    consent : what annotators agree to before they begin; empty: nothing is asked.
    translations : `instructions` and `consent` by language.
    """

    viewing: Viewing = field(default_factory=Viewing)
    requirements: Requirements = field(default_factory=Requirements)
    practice: Practice = field(default_factory=Practice)
    rules: list[Rule] = field(default_factory=list)
    crowd: Crowd = field(default_factory=Crowd)
    consent: str = ""
    translations: dict[str, Wording] = field(default_factory=dict)

    @classmethod
    def read(cls, checks: Checks) -> Self:
        """From the tables of a study file; what is wrong goes to the checks' problems."""
        return cls(
            viewing=Viewing.read(checks.part("viewing")),
            requirements=Requirements.read(checks.part("requirements")),
            practice=Practice.read(checks.part("practice")),
            rules=_rules(checks),
            crowd=Crowd.read(checks.part("crowd")),
            consent=checks.text("consent", default="", longest=LONGEST_TEXT),
            translations=_translations(checks.part("translations")),
        )

    @classmethod
    def stored(cls, value: Mapping) -> Self:
        """What `as_dict` made, by this version or an earlier one."""
        return cls.read(Checks({name: value[name] for name in _names(cls) if name in value}))

    def as_dict(self) -> dict:
        return asdict(self)

    def wording(self, language: str, *, instructions: str) -> Wording:
        """The campaign's words in a language ("pt-br"), or in its main language ("pt"); what is not
        translated is as it was written first."""
        own = self.translations.get(language) or self.translations.get(language.split("-")[0])
        own = own or Wording()
        return Wording(own.instructions or instructions, own.consent or self.consent)


def _translations(checks: Checks) -> dict[str, Wording]:
    found = {}
    for language in checks.given:
        if LANGUAGE.fullmatch(language):
            found[language.lower()] = Wording.read(checks.part(language))
        else:
            checks.problem(language, 'is no language, as "de" or "pt-BR" are')
    return found


def _names(cls: type) -> list[str]:
    return [each.name for each in fields(cls)]
