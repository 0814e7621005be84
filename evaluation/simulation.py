"""Simulated annotators: they use the annotators' real endpoints, and are marked for good.

Each fetches the images that it is shown and judges by what it "sees": of two, the side whose
structural similarity to the original is higher, in decibels of 1 - SSIM (Wang et al. 2004), is
chosen with probability 1 / (1 + exp(-sensitivity * difference)). Sensitivity differs between
annotators. It is a stand-in for planning and load, and no model of people.
"""

import hashlib
import io
import math
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx
import numpy as np
from django.urls import reverse
from PIL import Image

from annotation.joining import issue_simulation_pass
from annotation.models import Campaign

AT_ONCE = 20
SENSITIVITY = 2.0  # median, per decibel
SENSITIVITY_SPREAD = 0.4  # standard deviation of its logarithm
RESPONSE_MS = 5000.0  # median
PATIENCE_S = 60.0  # how long a server that does not answer is asked again


class SimulationFailed(Exception):
    """The pages could not be used; the message says what happened."""


@dataclass
class Acknowledged:
    """What the server said it recorded: answers by assignment token."""

    assignments: dict[str, str | list[int]]


def simulate(
    campaign: Campaign,
    *,
    url: str,
    annotators: int,
    judgments: int,
    seed: int,
    progress: Callable[[int], None] = lambda count: None,
) -> list[Acknowledged]:
    """Have `annotators` simulated annotators give up to `judgments` judgments each.

    `url` is where the pages are served. Raises SimulationFailed.
    """
    simulation_pass = issue_simulation_pass(campaign)
    stop = threading.Event()

    def run(index: int) -> Acknowledged:
        with httpx.Client(base_url=url, follow_redirects=True, timeout=30) as client:
            annotator = SimulatedAnnotator(client, np.random.default_rng([seed, index]), stop=stop)
            annotator.join(campaign.token, simulation_pass)
            acknowledged = annotator.judge(judgments)
        progress(len(acknowledged.assignments))
        return acknowledged

    with ThreadPoolExecutor(min(annotators, AT_ONCE)) as pool:
        running = [pool.submit(run, index) for index in range(annotators)]
        try:
            return [each.result() for each in running]
        except BaseException:  # Ctrl-C, too: the others stop after the request that they are in
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class SimulatedAnnotator:
    """One annotator with a browser of its own."""

    def __init__(
        self,
        client: httpx.Client,
        chance: np.random.Generator,
        *,
        stop: threading.Event | None = None,
    ) -> None:
        self.client = client
        self.chance = chance
        self.stop = stop or threading.Event()
        self.sensitivity = SENSITIVITY * math.exp(SENSITIVITY_SPREAD * chance.standard_normal())
        self.page = ""

    def join(self, campaign_token: str, simulation_pass: str) -> None:
        """Press "Start" on the campaign's page, as anybody would."""
        address = reverse("welcome", args=[campaign_token])
        welcome = self._send("GET", address)
        field = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', welcome.text)
        if field is None:
            raise SimulationFailed("the campaign takes no annotators: it is not open")
        judge = self._send(
            "POST",
            address,
            data={"csrfmiddlewaretoken": field[1], "simulation_pass": simulation_pass},
            headers={"Referer": str(welcome.url)},
        )
        if judge.status_code == httpx.codes.CONFLICT:
            raise SimulationFailed("the campaign takes no annotators: it is not open")
        self.page = judge.url.path

    def judge(self, judgments: int) -> Acknowledged:
        """Judge until there is nothing left, or `judgments` are given."""
        acknowledged = Acknowledged({})
        todo = self._send("POST", urljoin(self.page, "next")).json()
        while todo["assignments"] and len(acknowledged.assignments) < judgments:
            assignment = todo["assignments"][0]
            decided = self._decide(assignment["images"])
            answer = self._send(
                "POST",
                urljoin(self.page, "judgments"),
                json={
                    "assignment": assignment["token"],
                    "answer": decided,
                    "response_ms": round(RESPONSE_MS * math.exp(self.chance.normal(0, 0.5))),
                },
            )
            todo = answer.json()
            if todo["recorded"]:
                acknowledged.assignments[assignment["token"]] = decided
        return acknowledged

    def _decide(self, images: dict[str, str]) -> str | list[int]:
        """A side, or of a ranking a rank for each position: the order in which positions come when
        each has its distortion and a Gumbel deviate, which for two is the logistic choice (Luce
        1959, "Individual Choice Behavior")."""
        original, *copies = (self._send("GET", address).content for address in images.values())
        seen = [self.sensitivity * _remembered_db(original, copy) for copy in copies]
        order = np.argsort(np.array(seen) - self.chance.gumbel(size=len(seen)))
        if "left" in images:
            return ("left", "right")[order[0]]
        ranks = np.empty(len(order), dtype=int)
        ranks[order] = np.arange(1, len(order) + 1)
        return ranks.tolist()

    def _send(self, method: str, address: str, **request) -> httpx.Response:
        """Send a request; one that meets a restarting server is sent again, as a browser would."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.stop.is_set():
            try:
                response = self.client.request(method, address, **request)
                if response.status_code < 500:
                    break
                problem = f"{response.status_code}"
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise SimulationFailed(f"{method} {address}: no answer ({problem})")
            self.stop.wait(0.2)
        else:
            raise SimulationFailed("it was stopped")
        if response.is_error and response.status_code != httpx.codes.CONFLICT:
            raise SimulationFailed(f"{method} {response.url}: {response.status_code}")
        return response


_distortions: dict[tuple[bytes, bytes], float] = {}


def _remembered_db(original: bytes, reconstruction: bytes) -> float:
    """`distortion_db`, computed once for all annotators. What is kept is two hashes a pair, and not
    the files themselves: those are megabytes."""
    key = hashlib.sha256(original).digest(), hashlib.sha256(reconstruction).digest()
    if key not in _distortions:
        _distortions[key] = distortion_db(original, reconstruction)
    return _distortions[key]


def distortion_db(original: bytes, reconstruction: bytes) -> float:
    """10 log10(1 - SSIM) between the luma of two PNG files; lower is closer."""
    from skimage.metrics import structural_similarity

    similarity = structural_similarity(_luma(original), _luma(reconstruction), data_range=255.0)
    return 10 * math.log10(max(1 - similarity, 1e-6))


def _luma(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"), dtype=np.float32)
