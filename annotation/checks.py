"""Reading what people wrote into study files and forms: every mistake is told, with its place."""

from collections.abc import Callable, Iterable, Mapping


class Checks:
    """Reads one field after another of what was given, noting what is wrong with each.

    problems : by field, named as people wrote it ("viewing.crop"); shared with parts that are read
        from the same file.
    """

    def __init__(
        self, given: Mapping, problems: dict[str, str] | None = None, *, within: str = ""
    ) -> None:
        self.given = given
        self.problems = {} if problems is None else problems
        self.within = within

    def problem(self, name: str, text: str) -> None:
        """Note what is wrong with a field; the first word on it stays."""
        self.problems.setdefault(f"{self.within}{name}", text)

    def known(self, names: Iterable[str], *, of: str) -> None:
        """Note what was given under a name that there is none of."""
        names = list(names)
        for name in self.given:
            if name not in names:
                self.problem(str(name), f"is not known; {of} has {', '.join(names)}")

    def part(self, name: str) -> "Checks":
        """The checks of a table inside this one; empty if it was not given."""
        value = self.given.get(name, {})
        if not isinstance(value, Mapping):
            self.problem(name, f"must be a table, as in [{self.within}{name}]")
            value = {}
        return Checks(value, self.problems, within=f"{self.within}{name}.")

    def parts(self, name: str) -> list["Checks"]:
        """The checks of each table of a list, as in [[rules]]."""
        value = self.given.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
            self.problem(name, f"must be a list of tables, as in [[{name}]]")
            value = []
        return [
            Checks(each, self.problems, within=f"{self.within}{name}.{number}.")
            for number, each in enumerate(value, start=1)
        ]

    def text(self, name: str, *, default: str | None = None, longest: int = 1000) -> str:
        value = self.given.get(name, default)
        if value is None:
            self.problem(name, "is missing")
            return ""
        if not isinstance(value, str):
            self.problem(name, "must be text")
            return ""
        value = value.strip()
        if default is None and not value:
            self.problem(name, "is missing")
        elif len(value) > longest:
            self.problem(name, f"is longer than {longest} characters")
        elif "\0" in value:  # PostgreSQL stores none
            self.problem(name, "holds a NUL character")
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int | None:
        value = self.given.get(name, default)
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(name, f"must be a whole number from {low} to {high}")
            return default
        return value

    def number(self, name: str, default: float | None, low: float, high: float) -> float | None:
        value = self.given.get(name, default)
        if value is None and default is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # NaN is in no range
            self.problem(name, f"must be a number from {low:g} to {high:g}")
            return default
        return float(value)

    def truth(self, name: str, *, default: bool = False) -> bool:
        value = self.given.get(name, default)
        if not isinstance(value, bool):
            self.problem(name, "must be true or false")
            return default
        return value

    def one_of(self, name: str, choices: Iterable[str], default: str | None) -> str:
        value = self.given.get(name, default)
        choices = list(choices)
        if value is None:
            self.problem(name, f"is missing; it is one of {', '.join(choices)}")
            return ""
        if value not in choices:
            self.problem(name, f"must be one of {', '.join(choices)}")
            return default or ""
        return value

    def some_of(
        self, name: str, choices: Iterable[str], default: Iterable[str], *, fewest: int = 0
    ) -> list[str]:
        """A list of different choices, in the order in which they were given."""
        return self.texts(
            name,
            default,
            fewest=fewest,
            is_valid=list(choices).__contains__,
            what=f"of {', '.join(choices)}",
        )

    def texts(
        self,
        name: str,
        default: Iterable[str] = (),
        *,
        fewest: int = 0,
        is_valid: Callable[[str], bool] = bool,
        what: str,
    ) -> list[str]:
        value = self.given.get(name, list(default))
        if not isinstance(value, list) or not all(
            isinstance(each, str) and is_valid(each) for each in value
        ):
            self.problem(name, f"must be a list {what}")
            return list(default)
        if len(value) < fewest:
            self.problem(name, f"needs at least {fewest}")
            return list(default)
        return list(dict.fromkeys(value))
