"""A study's specification as the TOML file that makes it again."""

from collections.abc import Iterator, Mapping

from evaluation.study_files import StudySpecification

# Said in every file, that who reads it need not know what is usual.
ALWAYS = ("name", "images", "codecs", "bpp", "task", "judgments_per_task", "sampling", "seed")
_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    ord("\t"): "\\t",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
}
_ESCAPED_IN_LINES = {code: text for code, text in _ESCAPED.items() if code != ord("\n")}


def to_toml(specification: StudySpecification) -> str:
    """STUDY.toml of a specification: what is said in every file, and what is not as by default."""
    values, usual = specification.as_dict(), StudySpecification.defaults()
    asked = {
        key: value for key, value in values.items() if key in ALWAYS or value != usual.get(key)
    }
    return "".join(f"{line}\n" for line in _table(asked, usual, within=""))


def _table(values: Mapping, usual: Mapping, *, within: str) -> Iterator[str]:
    """The lines of a table: first what stands in it, then the tables in it."""
    tables = {}
    for key, value in values.items():
        if isinstance(value, Mapping) or (isinstance(value, list) and _holds_tables(value)):
            tables[key] = value
        elif value is not None:
            yield f"{key} = {_rates(value) if key == 'bpp' else _value(value)}"
    for key, value in tables.items():
        if isinstance(value, list):
            for each in value:
                yield f"\n[[{within}{key}]]"
                yield from _table(each, {}, within=f"{within}{key}.")
            continue
        known = usual.get(key) or {}
        told = {name: each for name, each in value.items() if each != known.get(name, ...)}
        # Without values of its own, a table is there for the tables in it.
        if not told or not all(isinstance(each, Mapping) for each in told.values()):
            yield f"\n[{within}{key}]"
        yield from _table(told, known, within=f"{within}{key}.")


def _holds_tables(value: list) -> bool:
    return bool(value) and all(isinstance(each, Mapping) for each in value)


def _rates(bpp: list[str]) -> str:
    """Bit rates as numbers: their text is TOML's own, and is read to the same decimals."""
    return f"[{', '.join(bpp)}]"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"a study has no {type(value).__name__}")


def _text(value: str) -> str:
    if "\n" in value:  # what was written in lines is read in lines
        return f'"""\n{value.translate(_ESCAPED_IN_LINES)}"""'
    return f'"{value.translate(_ESCAPED)}"'
