"""The study builder's form: every key of a study file as a field, and back.

A field is named as the key is told in problems ("viewing.crop", "rules.1.check"), so what
StudySpecification says of a file and of a form comes to the same place. Fields only read: what a
study may be, the specification decides.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django import forms
from django.utils.datastructures import MultiValueDict

from annotation.kinds import KINDS
from annotation.options import ACTIONS, CHECKS, GAMUTS, VIEWS
from annotation.platforms import PLATFORMS
from codecs_registry.codecs import all_codecs
from codecs_registry.models import Collection
from evaluation.study_files import SAMPLINGS, InvalidStudy, StudySpecification

USUAL_CODECS = ["jpeg", "jpeg2000", "webp", "avif"]  # every further one adds a pair for each
MOST_ROWS = 50  # of rules, of translations: what is posted makes no form without end
RULE, TRANSLATION = "rules", "translations"
MISSING = "missing"
# Problems go on from the name of a field: "must be text", "is missing".
_PREDICATES = {"is", "must", "needs", "takes", "holds", "shows", "and"}


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


def _fields() -> dict[str, forms.Field]:
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
        "seed": forms.IntegerField(help_text="Of task order, sides and the dataset's split."),
        "source_distance": _whole(
            "Pictures in between", "Others that come before the same picture again."
        ),
    }


def _rule_fields(n: int) -> dict[str, forms.Field]:
    return {
        f"{RULE}.{n}.check": _one_of("When", [("", "–"), *((each, each) for each in CHECKS)]),
        f"{RULE}.{n}.share": _number("fails in more than", "0 to 1"),
        f"{RULE}.{n}.at_least": _whole("of at least", "5 if empty"),
        f"{RULE}.{n}.too_fast_s": _number("too fast: before", "1 s if empty"),
        f"{RULE}.{n}.action": _one_of("then", [("", "–"), *((each, each) for each in ACTIONS)]),
    }


def _translation_fields(n: int) -> dict[str, forms.Field]:
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
    return tuple(name for name in _fields() if name.startswith(f"{table}."))


COMMON = (
    Group("Photographs", "", ("images",)),
    Group("Codecs and bit rates", "", ("codecs", "bpp")),
    Group("Question", "", ("task", "sampling", "allow_ties", "instructions"), layout="grid"),
    Group(
        "Judgments",
        "",
        (
            *("judgments_per_task", "judgments_per_annotator", "budget"),
            *("gold_share", "repeat_share"),
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
    Group("End, order and chance", "", ("closes_at", "source_distance", "seed")),
)


def element_id(name: str) -> str:
    """Of a field's control."""
    return f"id_{name.replace('.', '-')}"


class StudyForm(forms.Form):
    """A study as it is being built.

    data : what was posted; without it, all is as by default.

    After is_valid(): `given`, the mapping that a study file would have; `specification`, None while
    there are problems; `missing`, names of fields that are still to be filled in, once
    `forgive_missing` took these out of the errors.
    """

    def __init__(self, data: Mapping | None = None) -> None:
        super().__init__(data_of(starting_point()) if data is None else data)
        self.fields.update(_fields())
        self.rows = {RULE: [], TRANSLATION: []}
        for table, make in ((RULE, _rule_fields), (TRANSLATION, _translation_fields)):
            for n in _row_numbers(self.data, table):
                made = make(n)
                self.fields.update(made)
                self.rows[table].append(list(made))
        self.codecs = {codec.name: codec.unavailable() for codec in all_codecs().values()}
        self.fields["codecs"].choices = [
            (codec.name, codec.label) for codec in all_codecs().values()
        ]
        for name, field in self.fields.items():
            field.widget.attrs["id"] = element_id(name)
            told = [f"{element_id(name)}_problem"]
            told += [f"{element_id(name)}_help"] if field.help_text else []
            field.widget.attrs["aria-describedby"] = " ".join(told)
        self.given: dict = {}
        self.specification: StudySpecification | None = None
        self.missing: list[str] = []
        self._places: dict[str, str] = {}

    def clean(self) -> dict:
        values = super().clean()
        self.given, self._places = self._mapping(values)
        try:
            specification = StudySpecification.from_mapping(self.given)
        except InvalidStudy as error:
            self.add_problems(error.problems)
        else:
            self.specification = None if self.errors else specification
        return values

    def add_problems(self, problems: Mapping[str, str]) -> None:
        """Put what a specification says at its fields; what has none stands above all."""
        if problems:
            self.specification = None
        for key, problem in problems.items():
            name = self._places.get(key, key)
            if name not in self.fields:
                self.add_error(None, f"{key}: {problem}.")
            elif name not in self.errors:  # the field itself may have said what is wrong
                code = MISSING if problem.startswith("is missing") else "invalid"
                self.add_error(name, forms.ValidationError(_sentence(problem), code=code))

    def forgive_missing(self) -> None:
        """Take out what is only not filled in yet: nobody has asked to launch."""
        for name in list(self.errors):
            codes = {each.code for each in self.errors.as_data()[name]}
            if codes <= {"required", MISSING}:
                self.missing.append(name)
                del self.errors[name]

    def nearest(self) -> StudySpecification | None:
        """The specification without what is wrong or missing, to reckon with; None where too little
        is left."""
        if self.specification:
            return self.specification
        given = dict(self.given)
        for name in (*self.errors, *self.missing):
            table, *rest = name.split(".")
            if len(rest) == 1 and isinstance(given.get(table), Mapping):
                given[table] = {k: v for k, v in given[table].items() if k != rest[0]}
            else:
                given.pop(table, None)
        try:
            return StudySpecification.from_mapping({"name": "no name", "images": "none"} | given)
        except InvalidStudy:
            return None

    def _mapping(self, values: Mapping) -> tuple[dict, dict[str, str]]:
        """(what a study file would say, the fields of keys that are named otherwise)."""
        given: dict = {}
        places = {}
        for name in _fields():
            value = self._read(name, values)
            if value is not None:
                table, _, key = name.rpartition(".")
                (given.setdefault(table, {}) if table else given)[key or name] = value
        rules = []
        for fields in self.rows[RULE]:
            rule = self._row(fields, values)
            # What only qualifies a rule makes none.
            if rule.keys() & {"check", "action", "share"}:
                rules.append(rule)
                places |= {f"{RULE}.{len(rules)}.{_last(name)}": name for name in fields}
        if rules:
            given[RULE] = rules
        translations = {}
        for fields in self.rows[TRANSLATION]:
            wording = self._row(fields, values)
            language = wording.pop("language", "")
            if not language and not wording:
                continue
            where = fields[0]
            if not language:
                self.add_error(where, forms.ValidationError("This is missing.", code=MISSING))
            elif language.lower() in (each.lower() for each in translations):
                self.add_error(where, "This language has its words already.")
            else:
                translations[language] = wording
                places[f"{TRANSLATION}.{language}"] = where
                places |= {f"{TRANSLATION}.{language}.{_last(name)}": name for name in fields}
        if translations:
            given[TRANSLATION] = translations
        return given, places

    def _row(self, fields: list[str], values: Mapping) -> dict:
        read = {_last(name): self._read(name, values) for name in fields}
        return {key: value for key, value in read.items() if value is not None}

    def _read(self, name: str, values: Mapping) -> object:
        """A field's value as a study file has it; None if it was left empty."""
        value = values.get(name)
        if value is None or value == "" or value == []:
            return None
        if isinstance(value, Collection):
            return value.name
        if isinstance(value, str):
            value = value.replace("\r\n", "\n")  # as browsers send lines
        read = getattr(self.fields[name], "read", None)
        return read(value) if read else value

    # --- what a page shows ------------------------------------------------------------------------

    def codec_choices(self) -> Iterator[dict]:
        """Every codec, with whether it is chosen, and why it cannot be used here if so."""
        chosen = self["codecs"].value() or []
        for name, label in self.fields["codecs"].choices:
            yield {
                "name": name,
                "label": label,
                "chosen": name in chosen,
                "reason": self.codecs[name],
            }

    def has_unavailable(self) -> bool:
        return any(self.codecs.values())

    def common(self) -> Iterator[dict]:
        return (self._shown(group) for group in COMMON)

    def further(self) -> Iterator[dict]:
        return (self._shown(group) for group in FURTHER)

    def _shown(self, group: Group) -> dict:
        rows = [
            {"kind": group.rows, "number": n, "fields": [self[name] for name in row]}
            for n, row in enumerate(self.rows.get(group.rows, []), start=1)
        ]
        names = [*group.names, *(name for row in self.rows.get(group.rows, []) for name in row)]
        usual = StudySpecification.defaults()
        is_set = [name for name in names if _differs(self.given, usual, name)]
        if group.rows:
            is_set += self.given.get(group.rows, [])
        return {
            "title": group.title,
            "about": group.about,
            "fields": [self[name] for name in group.names],
            "rows": rows,
            "kind": group.rows,
            "layout": group.layout,
            "n_set": len(is_set),
            "has_errors": any(name in self.errors for name in names),
        }

    def new_rows(self) -> list[dict]:
        """The rows that the page which posted this has not: it filled the last."""
        found = []
        for table, rows in self.rows.items():
            posted = max((_row_number(name, table) for name in self.data), default=0)
            found += [
                {"kind": table, "number": n, "fields": [self[name] for name in names]}
                for n, names in enumerate(rows, start=1)
                if posted < n
            ]
        return found

    def shown_fields(self) -> list[forms.BoundField]:
        """Those that the page which posted this has."""
        new = {field.name for row in self.new_rows() for field in row["fields"]}
        return [field for field in self if field.name not in new]

    def problems(self) -> list[dict]:
        """What is wrong, with the label and the control of each field."""
        return [
            {
                "label": self._label(name),
                "id": element_id(name) if name in self.fields else "",
                "text": " ".join(problems),
            }
            for name, problems in self.errors.items()
        ]

    def missing_labels(self) -> list[dict]:
        return [{"label": self._label(name), "id": element_id(name)} for name in self.missing]

    def _label(self, name: str) -> str:
        if name not in self.fields:
            return ""
        label = self[name].label
        table, *rest = name.split(".")
        if table == RULE:
            return f"Rule {rest[0]}, {label}"
        return f"Translation {rest[0]}, {label}" if table == TRANSLATION else label


def starting_point() -> dict:
    """What a builder begins with: the defaults, and the codecs that most compare."""
    usual = [name for name in USUAL_CODECS if name in all_codecs()]
    available = [name for name in usual if not all_codecs()[name].unavailable()]
    first = Collection.objects.values_list("name", flat=True).first()
    given = StudySpecification.defaults() | {"codecs": available}
    return given | ({"images": first} if first else {})


def data_of(given: Mapping) -> MultiValueDict:
    """What a browser would post of a form that says this: a study file's mapping, or, as far as
    fields can hold it, one that is wrong."""
    data = MultiValueDict()
    for name, field in _fields().items():
        table, _, key = name.rpartition(".")
        part = given.get(table, {}) if table else given
        if isinstance(part, Mapping) and key in part:
            _put(data, name, field, part[key])
    rules = given.get(RULE, [])
    for n, rule in enumerate(rules if isinstance(rules, list) else [], start=1):
        for name, field in _rule_fields(n).items():
            if isinstance(rule, Mapping) and _last(name) in rule:
                _put(data, name, field, rule[_last(name)])
    translations = given.get(TRANSLATION, {})
    words = translations.items() if isinstance(translations, Mapping) else []
    for n, (language, wording) in enumerate(words, start=1):
        said = {"language": language, **(wording if isinstance(wording, Mapping) else {})}
        for name, field in _translation_fields(n).items():
            if _last(name) in said:
                _put(data, name, field, said[_last(name)])
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


def _row_numbers(data: Mapping, table: str) -> range:
    """Those in which something was said, and an empty one to go on with."""
    said = (_row_number(name, table) for name in data if data.get(name))
    return range(1, min(max(said, default=0), MOST_ROWS) + 2)


def _row_number(name: str, table: str) -> int:
    """Of a field in a row of this table; 0 for others."""
    found = re.fullmatch(rf"{table}\.([0-9]{{1,3}})\.\w+", name)
    return int(found[1]) if found else 0


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _differs(given: Mapping, usual: Mapping, name: str) -> bool:
    table, _, key = name.rpartition(".")
    value = (given.get(table, {}) if table else given).get(key)
    return value is not None and value != (usual.get(table, {}) if table else usual).get(key)


def _sentence(problem: str) -> str:
    first = problem.split(" ", 1)[0]
    if first == "are":
        return f"These {problem}."
    return f"This {problem}." if first in _PREDICATES else f"{problem[0].upper()}{problem[1:]}."
