"""The study builder's form: what is typed, as the mapping of a study file, and each problem of that
at its field. A file and a form are checked by the same StudySpecification.
"""

import re
from collections.abc import Iterator, Mapping

from django import forms

from codecs_registry.codecs import all_codecs
from codecs_registry.models import Collection
from evaluation.study_fields import (
    COMMON,
    FURTHER,
    RULE,
    TRANSLATION,
    Group,
    data_of,
    fields,
    last_of,
    rule_fields,
    translation_fields,
)
from evaluation.study_files import InvalidStudy, StudySpecification
from projects.models import Project

USUAL_CODECS = ["jpeg", "jpeg2000", "webp", "avif"]  # every further one adds a pair for each
MOST_ROWS = 50  # of rules, of translations: what is posted makes no form without end
MISSING = "missing"
# Problems go on from the name of a field: "must be text", "is missing".
_PREDICATES = {"is", "must", "needs", "takes", "holds", "shows", "and"}


def element_id(name: str) -> str:
    """Of a field's control."""
    return f"id_{name.replace('.', '-')}"


class StudyForm(forms.Form):
    """A study as it is being built.

    data : what was posted; without it, all is as by default.
    project : whose it will be.

    After is_valid(): `given`, the mapping that a study file would have; `specification`, None while
    there are problems; `missing`, names of fields that are still to be filled in, once
    `forgive_missing` took these out of the errors.
    """

    def __init__(self, data: Mapping | None = None, *, project: Project | None = None) -> None:
        super().__init__(data_of(starting_point(project)) if data is None else data)
        self.fields.update(fields())
        self.fields["images"].queryset = Collection.objects.known_to(project)
        self.rows = {RULE: [], TRANSLATION: []}
        for table, make in ((RULE, rule_fields), (TRANSLATION, translation_fields)):
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
        for name in fields():
            value = self._read(name, values)
            if value is not None:
                table, _, key = name.rpartition(".")
                (given.setdefault(table, {}) if table else given)[key or name] = value
        rules = []
        for row in self.rows[RULE]:
            rule = self._row(row, values)
            # What only qualifies a rule makes none.
            if rule.keys() & {"check", "action", "share"}:
                rules.append(rule)
                places |= {f"{RULE}.{len(rules)}.{last_of(name)}": name for name in row}
        if rules:
            given[RULE] = rules
        translations = {}
        for row in self.rows[TRANSLATION]:
            wording = self._row(row, values)
            language = wording.pop("language", "")
            if not language and not wording:
                continue
            where = row[0]
            if not language:
                self.add_error(where, forms.ValidationError("This is missing.", code=MISSING))
            elif language.lower() in (each.lower() for each in translations):
                self.add_error(where, "This language has its words already.")
            else:
                translations[language] = wording
                places[f"{TRANSLATION}.{language}"] = where
                places |= {f"{TRANSLATION}.{language}.{last_of(name)}": name for name in row}
        if translations:
            given[TRANSLATION] = translations
        return given, places

    def _row(self, names: list[str], values: Mapping) -> dict:
        read = {last_of(name): self._read(name, values) for name in names}
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


def starting_point(project: Project | None = None) -> dict:
    """What a builder begins with: the defaults, and the codecs that most compare."""
    usual = [name for name in USUAL_CODECS if name in all_codecs()]
    available = [name for name in usual if not all_codecs()[name].unavailable()]
    first = Collection.objects.known_to(project).values_list("name", flat=True).first()
    given = StudySpecification.defaults() | {"codecs": available}
    return given | ({"images": first} if first else {})


def _row_numbers(data: Mapping, table: str) -> range:
    """Those in which something was said, and an empty one to go on with."""
    said = (_row_number(name, table) for name in data if data.get(name))
    return range(1, min(max(said, default=0), MOST_ROWS) + 2)


def _row_number(name: str, table: str) -> int:
    """Of a field in a row of this table; 0 for others."""
    found = re.fullmatch(rf"{table}\.([0-9]{{1,3}})\.\w+", name)
    return int(found[1]) if found else 0


def _differs(given: Mapping, usual: Mapping, name: str) -> bool:
    table, _, key = name.rpartition(".")
    value = (given.get(table, {}) if table else given).get(key)
    return value is not None and value != (usual.get(table, {}) if table else usual).get(key)


def _sentence(problem: str) -> str:
    first = problem.split(" ", 1)[0]
    if first == "are":
        return f"These {problem}."
    return f"This {problem}." if first in _PREDICATES else f"{problem[0].upper()}{problem[1:]}."
