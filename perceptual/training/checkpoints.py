"""How far a training is, as a file: whole or not there, and of one training."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def save(file: Path, identity: str, state: Mapping[str, Any]) -> None:
    """Write the state of a training; identity : what must be the same for it to go on."""
    aside = file.with_suffix(".writing")
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"identity": identity, **state}, aside)
    aside.replace(file)


def read(file: Path, identity: str, *, device: str | None = None) -> dict[str, Any] | None:
    """The state that the same training saved; None: begin anew.

    device : where its tensors go; None: where they were.
    """
    if not file.exists():
        return None
    try:
        content = io.BytesIO(file.read_bytes())
        saved: dict[str, Any] = torch.load(content, map_location=device, weights_only=True)
    except Exception:  # whatever torch raises for half a file
        return None
    return saved if saved.get("identity") == identity else None
