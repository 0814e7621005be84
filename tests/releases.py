"""What was applied to the databases of earlier releases: the last migration of each app.

A release adds its line (docs/upgrading.md). From the newest on, migrations must let the code of
that release go on while they are applied; databases of all of them must come through.
"""

RELEASES = {
    "0.1.0": {
        "annotation": "0002_judgments_append_only",
        "codecs_registry": "0001_initial",
        "evaluation": "0001_initial",
    },
    # Not numbered, but labs have it: all up to the downstream evaluations.
    "2026-11-30": {
        "annotation": "0010_counts_pause_and_pairs",
        "codecs_registry": "0004_collections_of_projects",
        "evaluation": "0014_downstream_evaluations",
        "projects": "0004_links_to_accounts",
    },
}
NEWEST = list(RELEASES)[-1]

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(app, migration): why it may break the newest release's code while both run."""
