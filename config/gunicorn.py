"""How gunicorn serves: `gunicorn --config python:config.gunicorn config.wsgi`."""

import os
import shutil
import tempfile

from config.environment import Environment
from config.logs import configuration

_env = Environment(os.environ)

bind = _env.read("CLOSER_BIND")
worker_class = "gthread"
workers = _env.read("WEB_CONCURRENCY")
threads = _env.read("CLOSER_WEB_THREADS")
preload_app = True  # so that what it refuses is told once
control_socket_disable = True
graceful_timeout = 5
logconfig_dict = {
    **configuration(_env.read("LOG_LEVEL"), _env.read("CLOSER_LOG_FORMAT")),
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
}

# Each process keeps its counts in a file here, and whoever is asked adds them up.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="closer-metrics-")


def child_exit(server, worker) -> None:
    from prometheus_client import multiprocess  # which looks at the folder when it is loaded

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
