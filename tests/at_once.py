"""Things that happen at the same moment, each over a database connection of its own."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth import get_user_model
from django.db import connection, transaction

from annotation.models import Campaign, StoredCrop
from codecs_registry.models import Collection, Encode, Reconstruction, SourceImage
from evaluation.models import ImportedJudgments, Study
from projects.models import Project


@contextlib.contextmanager
def committed_rows(django_db_blocker) -> Iterator[None]:
    """Rows that are committed, and deleted at the end: a test's usual transaction would hide them
    from other connections."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            with transaction.atomic(), connection.cursor() as cursor:
                for table in ("annotation_judgment", "projects_auditentry"):
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                    cursor.execute(f"DELETE FROM {table}")  # noqa: S608 (one of two)
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            models = (Study, Campaign, StoredCrop, Reconstruction, Encode, SourceImage, Collection)
            for model in (*models, ImportedJudgments, Project, get_user_model()):
                model.objects.all().delete()


def at_once(work: Callable, count: int) -> list:
    """Run work(number) in `count` threads that start together; returns what each returned."""
    start = threading.Barrier(count)

    def run(number: int):
        try:
            start.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
