"""Which Chromium the tests drive; `python -m tests.e2e.browser` gets one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """CHROMIUM if it is set, else one on the PATH, else the one that Playwright has installed."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for name in NAMES:
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> bool:
    """Debian's package where we may install it, else Playwright's own build; whether one is there
    then."""
    apt = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    playwright = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    may_use_apt = os.geteuid() == 0 and shutil.which("apt-get")
    for way in (apt, playwright) if may_use_apt else (playwright,):
        for command in way:
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if find_chromium():
            return True
    return False


if __name__ == "__main__":
    if not find_chromium():
        sys.stderr.write("There is no Chromium to test with: installing one.\n")
        if not install():
            sys.exit("Install Chromium or Chrome, or name one: CHROMIUM=/path/to/chromium")
