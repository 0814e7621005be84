"""Butteraugli, by the program of libjxl where it is installed."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from perceptual.metric import Metric, MetricUnavailable

PROGRAM = "butteraugli_main"
SECONDS = 600  # after which the program counts as hanging

_NORM = re.compile(r"^3-norm: (\S+)$", re.MULTILINE)


class Butteraugli(Metric):
    """The 3-norm of Butteraugli's map of differences: 0 for equal pictures, about 1 where a
    difference is just seen; without bound.

    J. Alakuijala, R. Obryk, O. Stoliarchuk, Z. Szabadka, L. Vandevenne and J. Wassenberg, "Guetzli:
    perceptually guided JPEG encoder", 2017, section 3. Seen on a display of 80 cd/m^2, the
    program's default. Samples are rounded to 8 bits for it.

    Raises MetricUnavailable where the program is not on the PATH.
    """

    name, label = "butteraugli", "Butteraugli"
    low, high = 0.0, math.inf
    smallest_side = 8

    def __init__(self) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise MetricUnavailable(
                f"Butteraugli needs the program {PROGRAM} of libjxl on the PATH (Debian and "
                "Ubuntu: apt install libjxl-devtools)"
            )
        self._program = program
        self.definition = hashlib.sha256(Path(program).read_bytes()).hexdigest()

    def distance(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(N,); see Metric.distance. Raises MetricUnavailable if the program fails."""
        self.check(reference, distorted)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            originals = [_saved(each, folder / f"r{i}.png") for i, each in enumerate(reference)]
            norms = [
                self._norm(
                    originals[i if len(originals) > 1 else 0], _saved(each, folder / "d.png")
                )
                for i, each in enumerate(distorted)
            ]
        return torch.tensor(norms, dtype=distorted.dtype, device=distorted.device)

    def _norm(self, reference: Path, distorted: Path) -> float:
        command = [self._program, str(reference), str(distorted)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MetricUnavailable(f"{PROGRAM} does not run: {error}") from None
        told = _NORM.search(ended.stdout)
        if ended.returncode or told is None:
            said = (ended.stderr or ended.stdout).strip().splitlines()
            raise MetricUnavailable(f"{PROGRAM} failed: {said[-1] if said else 'it says nothing'}")
        return float(told[1])


def _saved(picture: Tensor, file: Path) -> Path:
    samples = (picture.detach() * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    Image.fromarray(samples).save(file, compress_level=1)
    return file
