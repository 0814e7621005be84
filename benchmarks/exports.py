"""Exports of a million judgments as CSV and as Parquet, beside pandas and PyArrow alone.

JUDGMENTS=1000000 are made by the database. Each writer runs in a process of its own, so that its
peak memory is its own: what the process takes at most, less what it takes once all is imported and
the first row could be read. `alone` writes a table that lies in memory already; what it took to
read the judgments into it, by pandas.read_sql, is `with reading`, and that is what an export does,
too. Ours is the whole job: data card, checksums, one .tar, notes of how far it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks import scratch

JUDGMENTS = 1_000_000

# What a researcher would write: the columns of our CSV file, and of our Parquet file.
QUERY = """
    SELECT 'annotator-' || a.annotator_id AS annotator, src.name AS content,
        t.target_bpp::text AS stratum, l.codec AS left, r.codec AS right,
        CASE WHEN j.ranks[1] < j.ranks[2] THEN 'left' ELSE 'right' END AS chosen, '' AS gold,
        j.response_ms, j.judged_at AS submitted_at, false AS repeat, false AS simulated {more}
    FROM annotation_judgment j
    JOIN annotation_assignment a ON a.id = j.assignment_id
    JOIN annotation_task t ON t.id = a.task_id
    JOIN codecs_registry_sourceimage src ON src.id = t.source_id
    JOIN codecs_registry_reconstruction l ON l.id = a.shown[1]
    JOIN codecs_registry_reconstruction r ON r.id = a.shown[2]
    WHERE t.campaign_id = {campaign} ORDER BY j.id
"""
MORE = """, j.id, a.purpose, a.priority, t.id AS task, src.sha256, t.crop, a.shown, j.ranks,
    l.codec_version AS left_version, r.codec_version AS right_version, l.actual_bpp AS left_bpp,
    r.actual_bpp AS right_bpp, j.confidence, j.remark, j.viewing, j.events, a.leased_at"""


def run() -> list[dict]:
    judgments = int(os.environ.get("JUDGMENTS", JUDGMENTS))
    with scratch.database():
        from tests.bulk import judged_in_bulk

        campaign = judged_in_bulk(judgments)
        taken = {
            (form, who): _in_a_process(form, who, campaign.id)
            for form in ("csv", "parquet")
            for who in ("Closer", "alone")
        }
    rows = []
    for form in ("csv", "parquet"):
        ours, theirs = taken[form, "Closer"], taken[form, "alone"]
        peer = "pandas.to_csv" if form == "csv" else "pyarrow.parquet"
        reading = theirs["read_s"] + theirs["write_s"]
        rows += [
            _row(f"Closer, {form}", judgments, ours["write_s"], ours),
            _row(f"{peer} alone", judgments, theirs["write_s"], theirs),
            _row(f"{peer} with reading", judgments, reading, theirs),
            {
                "ratio": form,
                "time, ours / alone": round(ours["write_s"] / theirs["write_s"], 2),
                "time, ours / with reading": round(ours["write_s"] / reading, 2),
                "memory, ours / theirs": round(ours["peak_mb"] / theirs["peak_mb"], 3),
            },
        ]
    return rows


def _row(writer: str, judgments: int, seconds: float, taken: dict) -> dict:
    return {
        "writer": writer,
        "judgments": judgments,
        "seconds": round(seconds, 1),
        "judgments/s": round(judgments / seconds),
        "peak MB": round(taken["peak_mb"]),
        "file MB": round(taken["bytes"] / 2**20, 1),
    }


def _in_a_process(form: str, who: str, campaign: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.exports", form, who, str(campaign)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


# --- in a process of its own ----------------------------------------------------------------------


def _ours(form: str, campaign_id: int) -> dict:
    from annotation import exports
    from annotation.datasets import arrow_tables  # noqa: F401  (as a worker has it)
    from annotation.models import Campaign

    export = exports.request(Campaign.objects.get(id=campaign_id), form, title="bench", about={})
    before = _peak_mb()
    seconds = _timed(exports.make_next)
    export.refresh_from_db()
    assert export.state == "ready", export.error
    return {"write_s": seconds, "peak_mb": _peak_mb() - before, "bytes": export.size_bytes}


def _theirs(form: str, campaign_id: int) -> dict:
    import pandas
    import pyarrow
    import pyarrow.parquet
    from django.conf import settings
    from django.db import connection

    query = QUERY.format(campaign=campaign_id, more="" if form == "csv" else MORE)
    connection.ensure_connection()
    before = _peak_mb()
    table = None

    def read() -> None:
        nonlocal table
        with connection.cursor() as cursor:
            cursor.execute(query)
            names = [each.name for each in cursor.description]
            table = pandas.DataFrame.from_records(cursor.fetchall(), columns=names)

    read_s = _timed(read)
    path = settings.CLOSER_DATA / f"peer.{form}"
    if form == "csv":
        write_s = _timed(lambda: table.to_csv(path, index=False))
    else:
        arrow = pyarrow.Table.from_pandas(table)
        write_s = _timed(lambda: pyarrow.parquet.write_table(arrow, path, compression="zstd"))
    return {
        "read_s": read_s,
        "write_s": write_s,
        "peak_mb": _peak_mb() - before,
        "bytes": path.stat().st_size,
    }


def _timed(work) -> float:
    import time

    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    import django

    django.setup()
    _, form, who, campaign = sys.argv
    print(json.dumps((_ours if who == "Closer" else _theirs)(form, int(campaign))))
