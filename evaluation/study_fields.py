"""A field for every key of a study file, and what a study file says put into fields.

A field is named as the key is told in problems ("viewing.crop", "rules.1.check"). Fields only read:
what a study may be, the specification decides.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django import forms
from django.utils.datastructures import MultiValueDict

from annotation.kinds import KINDS
from annotation.options import ACTIONS, CHECKS, GAMUTS, VIEWS
from annotation.platforms import PLATFORMS
from codecs_registry.models import Collection
from evaluation.study_files import SAMPLINGS

RULE, TRANSLATION = "rules", "translations"


class Lines(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 2})

    def read(self, text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    def show(self, value: list) -> str:
        return "\n".join(map(str, value))


class Words(forms.CharField):
    """A list of words or numbers, with commas or spaces between."""

    def read(self, text: str) -> list[str]:
        return text.replace(",", " ").split()

    def show(self, value: list) -> str:
        return ", ".join(map(str, value))


class Sides(forms.CharField):
    """A width and a height, or one number for both; what is neither is left as it is."""

    def read(self, text: str) -> object:
        numbers = re.split(r"\s*[,x×*]\s*|\s+", text)
        if not all(re.fullmatch(r"[0-9]{1,9}", each) for each in numbers):
            return text
        sides = [int(each) for each in numbers]
        return sides[0] if len(sides) == 1 else sides

    def show(self, value: object) -> str:
        sides = value if isinstance(value, list) else [value, value]
        return " x ".join(map(str, sides if len(set(map(str, sides))) > 1 else sides[:1]))


class Views(forms.ChoiceField):
    """Ways to view, in their order."""

    def __init__(self, **options) -> None:
        orders = itertools.chain.from_iterable(
            itertools.permutations(VIEWS, n) for n in range(1, len(VIEWS) + 1)
        )
        choices = [(", ".join(each), ", then ".join(each)) for each in orders]
        super().__init__(choices=choices, required=False, **options)

    def read(self, text: str) -> list[str]:
        return text.split(", ")

    def show(self, value: list) -> str:
        return ", ".join(map(str, value))


class YesNo(forms.ChoiceField):
    """Of what is so unless one says otherwise: a box that is not ticked says nothing."""

    def __init__(self, yes: str, no: str, **options) -> None:
        super().__init__(choices=[("true", yes), ("false", no)], required=False, **options)

    def read(self, text: str) -> bool:
        return text == "true"

    def show(self, value: object) -> str:
        return "false" if value is False else "true"


def _area(rows: int = 3) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows})


def _text(label: str, help_text: str = "", **options) -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, **{"required": False, **options})


def _whole(label: str, help_text: str = "", **options) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=help_text, **{"required": False, **options})


def _number(label: str, help_text: str = "", **options) -> forms.FloatField:
    return forms.FloatField(label=label, help_text=help_text, **{"required": False, **options})


def _tick(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, required=False)


def _one_of(label: str, choices: Iterable, help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=list(choices), label=label, help_text=help_text, required=False
    )


def fields() -> dict[str, forms.Field]:
    """All fields but those of rules and translations, of which there may be any number."""
    return {
        "name": forms.CharField(help_text="For you; annotators do not see it."),
        "images": forms.ModelChoiceField(
            Collection.objects,
            to_field_name="name",
            empty_label="Choose a collection",
            label="Photographs",
        ),
        "codecs": forms.MultipleChoiceField(
            widget=forms.CheckboxSelectMultiple,
            help_text="Each further one adds a pair with every other.",
        ),
        "bpp": Words(
            label="Target bits per pixel",
            help_text="Results of different bit rates are kept apart.",
        ),
        "task": _one_of(
            "Question",
            [(kind.name, kind.label) for kind in KINDS.values()],
            "Pairs: which is closer to the original? Rankings: three to eight in order.",
        ),
        "sampling": _one_of(
            "Sampling",
            zip(SAMPLINGS, ("Balanced", "Active"), strict=True),
            "Balanced: all pairs alike. Active: first the pairs that narrow the scale most.",
        ),
        "allow_ties": _tick(
            "Allow ties", "“No difference” is an answer, and places in a ranking may be shared."
        ),
        "judgments_per_task": forms.IntegerField(
            label="Judgments per question", help_text="By different annotators."
        ),
        "judgments_per_annotator": _whole(
            "Questions per annotator", "Then they are thanked. Empty: as many as there are."
        ),
        "budget": _whole("Budget", "The most answers that people give in all. Empty: no limit."),
        "target_width": _number(
            "Stop at intervals of",
            "Log-odds, as 0.5: the study closes by itself when no score's 95 % interval is wider. "
            "Empty: never.",
        ),
        "gold_share": _number(
            "Share of gold tasks", "0 to 0.5 of what each is asked: the answer is known."
        ),
        "repeat_share": _number(
            "Share of repeats", "0 to 0.5: a question of before, the other way round."
        ),
        "instructions": _text(
            "Instructions",
            "Shown to annotators before they begin. Empty: the standard ones alone.",
            widget=_area(),
        ),
        "closes_at": _text("Closes at", "Such as 2026-12-31T18:00:00Z. Empty: never."),
        "not_after": Lines(
            required=False,
            label="Not after",
            help_text="Studies whose annotators may not take part, one a line.",
        ),
        "viewing.views": Views(label="Ways to view", help_text="The page begins with the first."),
        "viewing.crop": Sides(
            required=False,
            label="Part that is shown",
            help_text="256 or 320 x 200 pixels, the same in all copies. Empty: the whole picture.",
        ),
        "viewing.crops_per_image": _whole("Parts of each picture", "Each in questions of its own."),
        "viewing.minimum_s": _number("No answer before", "Seconds."),
        "viewing.limit_s": _number("Pictures covered after", "Seconds. Empty: never."),
        "viewing.confidence": _tick("Ask how sure they are after each answer"),
        "viewing.remark": _tick("Let them leave a remark"),
        "requirements.window_width": _whole("Window width", "CSS pixels; 0: any."),
        "requirements.window_height": _whole("Window height", "CSS pixels; 0: any."),
        "requirements.screen_width": _whole("Screen width", "CSS pixels; 0: any."),
        "requirements.screen_height": _whole("Screen height", "CSS pixels; 0: any."),
        "requirements.gamut": _one_of(
            "Colours of the screen", [("", "any"), *((each, each) for each in GAMUTS)]
        ),
        "requirements.most_zoom": _whole("Largest zoom", "Percent; 0: any."),
        "requirements.languages": Words(
            required=False,
            label="Languages",
            help_text="One of which the browser must ask for: de, pt-BR. Empty: any.",
        ),
        "requirements.phones": YesNo(
            "are served, where views have “flip”",
            "are asked to come back on a computer",
            label="Phones",
        ),
        "requirements.size_calibration": _tick("Measure the screen with a bank card"),
        "requirements.contrast_check": _tick("The darkest and brightest greys must be told apart"),
        "practice.tasks": _whole("Practice questions", "With feedback; they do not count."),
        "practice.quiz": _whole("Quiz questions", "Without feedback; must be passed."),
        "practice.quiz_pass": _number("Quiz passed with", "A share of right answers, as 0.8."),
        "practice.quiz_attempts": _whole("Attempts at the quiz"),
        "crowd.platform": _one_of(
            "Crowd platform",
            [("", "none"), *((name, each.label) for name, each in PLATFORMS.items())],
        ),
        "crowd.completed": _text("Code: completed", "For who has finished."),
        "crowd.screened_out": _text("Code: screened out", "May not take part, or was stopped."),
        "crowd.full": _text("Code: full", "Came when all was judged."),
        "crowd.pay": _text("Pay for a judgment", "As 0.15; counts in the cost. Empty: none."),
        "crowd.bonus": _text("Bonus for a judgment", "On top, for who earned it. Empty: none."),
        "crowd.bonus_gold": _number("Bonus earned by", "A share of right gold answers, as 0.8."),
        "crowd.currency": _text("Currency of pay", "As GBP."),
        "consent": _text(
            "Consent",
            "What annotators agree to before they begin. Empty: nothing is asked.",
            widget=_area(),
        ),
        "licence": _text("Licence of the data", "Told with each export, as CC BY 4.0."),
        "seed": forms.IntegerField(help_text="Of task order, sides and the dataset's split."),
        "source_distance": _whole(
            "Pictures in between", "Others that come before the same picture again."
        ),
    }


def rule_fields(n: int) -> dict[str, forms.Field]:
    return {
        f"{RULE}.{n}.check": _one_of("When", [("", "–"), *((each, each) for each in CHECKS)]),
        f"{RULE}.{n}.share": _number("fails in more than", "0 to 1"),
        f"{RULE}.{n}.at_least": _whole("of at least", "5 if empty"),
        f"{RULE}.{n}.too_fast_s": _number("too fast: before", "1 s if empty"),
        f"{RULE}.{n}.action": _one_of("then", [("", "–"), *((each, each) for each in ACTIONS)]),
    }


def translation_fields(n: int) -> dict[str, forms.Field]:
    return {
        f"{TRANSLATION}.{n}.language": _text("Language", "As de or pt-BR."),
        f"{TRANSLATION}.{n}.instructions": _text("Instructions", widget=_area(2)),
        f"{TRANSLATION}.{n}.consent": _text("Consent", widget=_area(2)),
    }


@dataclass(frozen=True)
class Group:
    """Fields that stand together. rows : those of each rule, or of each translation."""

    title: str
    about: str
    names: tuple[str, ...]
    rows: str = ""
    layout: str = ""


def _within(table: str) -> tuple[str, ...]:
    return tuple(name for name in fields() if name.startswith(f"{table}."))


COMMON = (
    Group("Photographs", "", ("images",)),
    Group("Codecs and bit rates", "", ("codecs", "bpp")),
    Group("Question", "", ("task", "sampling", "allow_ties", "instructions"), layout="grid"),
    Group(
        "Judgments",
        "",
        (
            *("judgments_per_task", "judgments_per_annotator", "budget"),
            *("target_width", "gold_share", "repeat_share"),
        ),
        layout="grid",
    ),
)
FURTHER = (
    Group("How pictures are shown", "", _within("viewing")),
    Group("Practice and quiz", "Questions whose answer is known.", _within("practice")),
    Group(
        "Careless answers",
        "What happens when answers look careless. Judgments are kept, whatever it is.",
        (),
        rows=RULE,
    ),
    Group("Who may take part", "", (*_within("requirements"), "not_after")),
    Group("Crowd platform and pay", "", _within("crowd")),
    Group(
        "Consent and translations",
        "Your own words in other languages; what is not translated is shown as written above.",
        ("consent",),
        rows=TRANSLATION,
    ),
    Group("End, order, chance, licence", "", ("closes_at", "source_distance", "seed", "licence")),
)


def data_of(given: Mapping) -> MultiValueDict:
    """What a browser would post of a form that says this: a study file's mapping, or, as far as
    fields can hold it, one that is wrong."""
    data = MultiValueDict()
    for name, field in fields().items():
        table, _, key = name.rpartition(".")
        part = given.get(table, {}) if table else given
        if isinstance(part, Mapping) and key in part:
            _put(data, name, field, part[key])
    rules = given.get(RULE, [])
    for n, rule in enumerate(rules if isinstance(rules, list) else [], start=1):
        for name, field in rule_fields(n).items():
            if isinstance(rule, Mapping) and last_of(name) in rule:
                _put(data, name, field, rule[last_of(name)])
    translations = given.get(TRANSLATION, {})
    words = translations.items() if isinstance(translations, Mapping) else []
    for n, (language, wording) in enumerate(words, start=1):
        said = {"language": language, **(wording if isinstance(wording, Mapping) else {})}
        for name, field in translation_fields(n).items():
            if last_of(name) in said:
                _put(data, name, field, said[last_of(name)])
    return data


def _put(data: MultiValueDict, name: str, field: forms.Field, value: object) -> None:
    if isinstance(field, forms.BooleanField):
        if value is True:
            data[name] = "on"
    elif value is None or isinstance(value, Mapping):
        return
    elif isinstance(field, forms.MultipleChoiceField):
        data.setlist(name, [str(each) for each in value] if isinstance(value, list) else [])
    elif isinstance(field, Lines | Words | Views) and not isinstance(value, list):
        data[name] = str(value)
    elif hasattr(field, "show"):
        data[name] = field.show(value)
    else:
        data[name] = str(value)


def last_of(name: str) -> str:
    return name.rpartition(".")[2]
