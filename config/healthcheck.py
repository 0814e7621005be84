"""`python -m config.healthcheck web` (or `worker`): ends with 0 if the process of this container
does what it is for, else says why not. It asks as little as it can, since it is asked often."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

LONGEST_SILENCE_S = 60.0
PATIENCE_S = 5.0


def problem_of_web(bind: str) -> str:
    """Why the web server at this address is not ready; empty if it is."""
    port = bind.rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S):
            return ""
    except urllib.error.HTTPError as error:
        try:
            parts = json.load(error)
        except ValueError:
            return str(error)
        told = [f"{name}: {value}" for name, value in parts.items() if value != "ok"]
        return "; ".join(told)
    except OSError as error:
        return f"it does not answer: {error}"


def problem_of_worker(heartbeat: str) -> str:
    """Why the process that renews this file seems not to live; empty if it does."""
    try:
        silent_s = time.time() - Path(heartbeat).stat().st_mtime
    except OSError as error:
        return f"no heartbeat: {error}"
    return "" if silent_s < LONGEST_SILENCE_S else f"silent for {silent_s:.0f} s"


def main() -> int:
    asked = sys.argv[1:]
    if asked == ["web"]:
        problem = problem_of_web(os.environ.get("CLOSER_BIND", "127.0.0.1:8000"))
    elif asked == ["worker"]:
        problem = problem_of_worker(os.environ.get("CLOSER_HEARTBEAT", ""))
    else:
        problem = "say web or worker"
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
