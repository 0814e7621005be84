"""How long a command says that it still takes."""

import pytest

from codecs_registry import time_left
from codecs_registry.time_left import TimeLeft


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [
        (0, 10.0, ""),
        (100, 10.0, ""),
        (50, 0.2, ", 1 s left"),
        (50, 30.0, ", 30 s left"),
        (20, 60.0, ", 4 min left"),
        (1, 100.0, ", 2.8 h left"),
    ],
)
def test_time_left_is_told_at_the_pace_so_far(monkeypatch, done, seconds, said):
    now = iter([5.0, 5.0 + seconds])
    monkeypatch.setattr(time_left.time, "monotonic", lambda: next(now))
    left = TimeLeft(100)
    left.did(done)
    assert str(left) == said
