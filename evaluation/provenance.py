"""What made a result: the code and the libraries, by version."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "Django", "pillow")


@cache
def provenance() -> dict:
    """Versions of Closer (with its commit, where it runs from a checkout) and of the libraries."""
    return {
        "closer": importlib.metadata.version("closer"),
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def training_provenance() -> dict:
    """As `provenance`, with the libraries that training adds."""
    found = provenance()
    more = {name: importlib.metadata.version(name) for name in ("torch", "safetensors")}
    return found | {"libraries": found["libraries"] | more}


def _commit() -> str | None:
    if built_from := os.environ.get("CLOSER_COMMIT"):
        return built_from
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
