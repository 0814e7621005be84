"""Real images and real human judgments, where they are at hand."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CLOSER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real_data(name: str) -> Path:
    """A file or folder of test data; the test is skipped where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set CLOSER_TEST_DATA to the folder of test data")
    return path
