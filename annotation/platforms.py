"""The crowd platforms that annotators are sent from, and how they name people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """The query parameters in which a platform names who comes, and what else it says; and where
    it takes who goes back, with a completion code in place of {code}."""

    label: str
    person: str
    more: tuple[str, ...]
    back: str = ""


PLATFORMS = {
    # researcher-help.prolific.com: how ids are recorded, and completion links.
    "prolific": Platform(
        "Prolific",
        "PROLIFIC_PID",
        ("STUDY_ID", "SESSION_ID"),
        "https://app.prolific.com/submissions/complete?cc={code}",
    ),
    # A survey link: the worker pastes the code into the form on MTurk.
    "mturk": Platform("Mechanical Turk", "workerId", ("assignmentId", "hitId")),
}
