"""The Celery application: `celery -A config worker`."""

import os
import sys
from typing import Any

from celery import Celery, signals
from celery.loaders.app import AppLoader
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Loader(AppLoader):
    """Has workers and the scheduler refuse what web servers refuse, and in the same words."""

    def config_from_object(self, obj: object, silent: bool = False) -> bool:
        try:
            return super().config_from_object(obj, silent=silent)
        except ImproperlyConfigured as error:
            sys.exit(str(error))

    def on_worker_init(self) -> None:
        from config.checks import refuse_unsafe

        refuse_unsafe()


app = Celery("closer", loader="config.celery:Loader")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def leave_logging_alone(**_about: Any) -> None:
    """Where somebody listens here, Celery changes no logger: LOGGING of the settings has them all,
    and LOG_LEVEL is that of workers, too."""
