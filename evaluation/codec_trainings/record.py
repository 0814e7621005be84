"""What a training is, as a file in its folder: settings, pictures, code, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "training.json"
FORMAT = 1
STOPPED, FINISHED, FAILED = "stopped", "finished", "failed"
COUNTS = ("watched_every", "averaged_over")
LATEST = 1e11
"""Of times: some thousand years from now."""
PARTS = ("step", "settings", "data", "provenance", "processes", "device", "begins_from")


@dataclass(frozen=True)
class Ended:
    """how : STOPPED, FINISHED or FAILED.   why : of what failed."""

    how: str
    at: float
    why: str = ""


@dataclass(frozen=True)
class Record:
    """A training. Times are seconds since 1970.

    begun_at : its first step.   went_on_at : when it was last started.
    parts : of what held from which step on, as dicts of PARTS; a training may go on with other
        settings, on other pictures, by other code.
    """

    name: str
    begun_at: float
    went_on_at: float
    parts: tuple[dict[str, Any], ...]
    ended: Ended | None = None
    format: int = field(default=FORMAT, kw_only=True)

    @property
    def now(self) -> dict[str, Any]:
        """The part that holds now."""
        return self.parts[-1]

    @property
    def steps(self) -> int:
        """How many it is to make."""
        return self.now["settings"]["steps"]

    def origin(self, steps: int) -> dict[str, Any]:
        """What the card of a codec says that came of so many steps."""
        told = {name: self.now[name] for name in PARTS if name != "step"}
        return told | {"steps": steps, "earlier": list(self.parts[:-1])}


def begin(work: Path, name: str, part: Mapping[str, Any], *, at: float) -> Record:
    """Write down that a training begins, or goes on, in this folder.

    part : of PARTS. What was written of this step and of later ones no longer holds.
    """
    part = json.loads(json.dumps(part))  # as it will be read
    before = read(work) if part["step"] else None
    earlier = [each for each in before.parts if each["step"] < part["step"]] if before else []
    parts = earlier if earlier and _is_same(earlier[-1], part) else [*earlier, part]
    made = Record(name, before.begun_at if before else at, at, tuple(parts))
    _write(work, made)
    return made


def end(work: Path, how: str, *, at: float, why: str = "") -> None:
    """Write down how the training in this folder ended."""
    if found := read(work):
        ended = Ended(how, at, why)
        _write(work, Record(found.name, found.begun_at, found.went_on_at, found.parts, ended))


def read(work: Path) -> Record | None:
    """None: there is no file, or it tells nothing that is known."""
    try:
        told = json.loads((work / FILE).read_bytes())
        if told["format"] != FORMAT:
            return None
        ended = Ended(**told["ended"]) if told["ended"] else None
        parts = tuple({name: each[name] for name in PARTS} for each in told["parts"])
        found = Record(
            str(told["name"]), float(told["begun_at"]), float(told["went_on_at"]), parts, ended
        )
        return found if _is_known(found) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_known(found: Record) -> bool:
    """Whether all is there that pages take for given, and of its kind."""
    times = [found.begun_at, found.went_on_at, *([found.ended.at] if found.ended else [])]
    return (
        bool(found.parts)
        and all(isinstance(each, int | float) and 0 <= each < LATEST for each in times)
        and all(map(_is_known_part, found.parts))
    )


def _is_known_part(part: Mapping[str, Any]) -> bool:
    settings, data = part["settings"], part["data"]
    numbers = [part["step"], *(settings[name] for name in ("steps", *COUNTS))]
    weights = [value for name, value in settings["objective"].items() if name.endswith("_weight")]
    return (
        all(type(each) is int and each >= 0 for each in numbers)
        and all(isinstance(each, int | float) for each in weights)
        and isinstance(data["held_out"], list)
        and isinstance(data["folders"], list)
        and isinstance(part["provenance"]["libraries"], dict)
    )


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in PARTS if name != "step")


def _write(work: Path, record: Record) -> None:
    aside = work / f".{FILE}"
    aside.write_text(json.dumps(asdict(record), indent=1) + "\n")
    aside.replace(work / FILE)
