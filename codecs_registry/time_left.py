"""How long a command still takes, at the pace so far."""

from __future__ import annotations

import time


class TimeLeft:
    """Counts what is done of what is owed; as text it is ', 12 min left', '' if nobody knows."""

    def __init__(self, owed: int) -> None:
        self._owed = owed
        self._done = 0
        self._started = time.monotonic()

    def did(self, n: int) -> None:
        self._done += n

    def __str__(self) -> str:
        if not 0 < self._done < self._owed:
            return ""
        pace = (time.monotonic() - self._started) / self._done
        seconds = pace * (self._owed - self._done)
        if seconds < 60:
            return f", {max(1, round(seconds))} s left"
        minutes = round(seconds / 60)
        return f", {minutes} min left" if minutes < 90 else f", {minutes / 60:.1f} h left"
