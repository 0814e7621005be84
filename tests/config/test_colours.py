"""The colours of closer.css: what is read has the contrast that WCAG 2.2 AA asks for."""

import re
from pathlib import Path

import pytest

STYLES = Path(__file__).resolve().parents[2] / "static" / "closer.css"
TOKENS = dict(re.findall(r"--([\w-]+): light-dark\((.+?)\);", STYLES.read_text()))
SURFACES = ("surface", "raised", "hover")
READ = ("text", "quiet", "accent", "good", "warning", "bad")
SEEN = ("edge", "focus", *(f"series-{i}" for i in range(1, 7)))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb in sRGB, from 0 to 1 (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str, *, by_night: bool) -> float:
    """Contrast ratio of two tokens, from 1 to 21 (WCAG 2.2)."""
    pair = [luminance(TOKENS[name].split(", ")[by_night]) for name in (one, other)]
    return (max(pair) + 0.05) / (min(pair) + 0.05)


@pytest.mark.parametrize("by_night", [False, True])
def test_all_that_is_read_or_seen_stands_out_from_what_is_behind_it(by_night):
    wanted = [(name, on, 4.5) for name in READ for on in SURFACES]
    wanted += [(name, on, 3.0) for name in SEEN for on in ("surface", "raised")]
    wanted += [("on-accent", "accent", 4.5), ("text", "warning-surface", 4.5)]
    wanted += [("warning", "warning-surface", 4.5)]
    ratios = {
        f"{name} on {on}": (contrast(name, on, by_night=by_night), least)
        for name, on, least in wanted
    }
    assert {pair: ratio for pair, (ratio, least) in ratios.items() if ratio < least} == {}


def test_a_colour_is_written_in_a_token_and_nowhere_else():
    """Else it would be the same by day and by night."""
    rules = STYLES.read_text().split("/* --- base elements")[1]
    rules = re.sub(r"/\*.*?\*/", "", rules, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,8}\b", rules) == []
