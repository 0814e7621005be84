"""Label Studio as a peer: its package in an environment of its own, with users and tasks.

LABEL_STUDIO names a folder with a virtual environment that has it; else it is installed into
var/label-studio, once, which takes minutes and a gigabyte.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.web import ROOT, free_port

PACKAGES = ("label-studio==1.23.2", "gunicorn==27.0.1")
OWNER, TOKEN = "owner@example.org", "f" * 40
INSTALL_S, START_S = 900, 180

# Its template "Pairwise classification", with images and the original beside them.
LABELS = """<View><Header value="Which is closer to the original?"/>
<Image name="original" value="$original"/><Pairwise name="closer" toName="left,right"/>
<Image name="left" value="$left"/><Image name="right" value="$right"/></View>"""
ANSWER = {
    "result": [
        {
            "from_name": "closer",
            "to_name": "left,right",
            "type": "pairwise",
            "value": {"selected": "left"},
        }
    ],
    "lead_time": 0.9,
}
MAKE_USERS = """
from organizations.models import Organization, OrganizationMember
from rest_framework.authtoken.models import Token
from users.models import User
org = Organization.objects.get()
names = [f"annotator-{n}" for n in range(COUNT)]
User.objects.bulk_create(
    User(email=f"{each}@example.org", username=each, password="!", active_organization=org)
    for each in names
)
made = User.objects.filter(username__in=names).order_by("id")
OrganizationMember.objects.bulk_create(OrganizationMember(user=u, organization=org) for u in made)
Token.objects.bulk_create(Token(user=u, key=f"{n:040d}") for n, u in enumerate(made))
"""


class Unavailable(Exception):
    """It cannot be had here; the message says why."""


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Token {token}"}


@dataclass(frozen=True)
class LabelStudio:
    """A running one. annotators : tokens of users who can annotate."""

    url: str
    annotators: list[str]

    def make_project(self, tasks: int) -> int:
        """The id of a new project of so many pairs, each to be judged as often as ours are."""
        with httpx.Client(base_url=self.url, headers=by(TOKEN), timeout=300) as client:
            settings = {"title": f"{tasks} pairs", "label_config": LABELS}
            made = client.post("/api/projects", json={**settings, "maximum_annotations": 50})
            project = made.raise_for_status().json()["id"]
            for start in range(0, tasks, 5000):
                pairs = [_pair(number) for number in range(start, min(start + 5000, tasks))]
                client.post(f"/api/projects/{project}/import", json=pairs).raise_for_status()
        return project


def _pair(number: int) -> dict[str, str]:
    sides = ("original", "left", "right")
    return {side: f"https://example.org/{number}/{side}.png" for side in sides}


@contextlib.contextmanager
def served(*, annotators: int) -> Iterator[LabelStudio]:
    """Raises Unavailable."""
    programs = _installed() / "bin"
    data = Path(tempfile.mkdtemp(prefix="label-studio-"))
    package = next(programs.parent.glob("lib/python*/site-packages/label_studio"))
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LOG_LEVEL": "ERROR",
    }

    def do(*command: object, said: str = "") -> None:
        run = subprocess.run(
            [str(each) for each in command],
            cwd=package,
            env=environment,
            input=said,
            text=True,
            capture_output=True,
            check=False,
            timeout=INSTALL_S,
        )
        if run.returncode:
            raise Unavailable(f"{command[:2]} failed: {run.stderr[-500:]}")

    try:
        account = ("--username", OWNER, "--password", "a long password", "--user-token", TOKEN)
        do(programs / "label-studio", "init", "-b", "--data-dir", data, *account)
        do(
            programs / "python",
            "manage.py",
            "shell",
            said=MAKE_USERS.replace("COUNT", str(annotators)),
        )
        command = [str(programs / "gunicorn"), "core.wsgi", f"--bind=127.0.0.1:{port}"]
        options = ["--worker-class=gthread", "--workers=2", "--threads=8", "--preload"]
        with (data / "log").open("w") as log:
            server = subprocess.Popen(
                [*command, *options], cwd=package, env=environment, stdout=log, stderr=log
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/health", server)
            yield LabelStudio(url, [f"{number:040d}" for number in range(annotators)])
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _installed() -> Path:
    """The folder of a virtual environment that has it."""
    if named := os.environ.get("LABEL_STUDIO"):
        return Path(named)
    folder = ROOT / "var" / "label-studio"
    if (folder / "complete").exists():
        return folder
    for command in (
        [sys.executable, "-m", "venv", folder],
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES],
    ):
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
        if run.returncode:
            raise Unavailable(f"it could not be installed: {run.stderr.strip()[-500:]}")
    (folder / "complete").touch()
    return folder


def _wait_for(address: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address).status_code == 200:
                return
        time.sleep(0.5)
    raise Unavailable(f"its server does not answer at {address}")
