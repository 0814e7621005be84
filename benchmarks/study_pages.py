"""Milliseconds of the pages of a study of a million judgments, and of a round of active sampling.

A study of 6 codecs at 4 bit rates with JUDGMENTS=1000000, three each of so many questions, by 2,000
annotators, written by SQL; fifty more studies beside it. Each page is asked for over Django's test
client (no network, one process), REPEATS times after once for warming up: the median, and how many
queries it takes. What a page no longer waits for, one
analysis of all judgments, is timed once beside them. A round of active sampling is timed at each of
TASKS=100000,1000000 open tasks with nothing judged, and with the judgments above.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from benchmarks import scratch
from codecs_registry import clock

CODECS = ("avif", "hevc", "jpeg", "jpeg2000", "jpegxl", "webp")
BPP = ("0.23", "0.37", "0.67", "1.0")
PAIRS = 15
ANNOTATORS = 2000
PER_TASK = 3
REPEATS = 7
STUDIES = 50
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> list[dict]:
    judgments = int(os.environ.get("JUDGMENTS", "1000000"))
    sizes = [int(each) for each in os.environ.get("TASKS", "100000,1000000").split(",") if each]
    with scratch.database():
        import django

        django.setup()
        rows = _rounds(sizes)
        study = _study("Million", judgments // PER_TASK)
        _judge(study, judgments)
        for number in range(STUDIES):
            _study(f"Small {number}", 60)
        rows += _pages(study)
        rows += _round(study, f"active sampling, {judgments} judgments")
    return rows


def _pages(study) -> list[dict]:
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection, reset_queries
    from django.test import Client
    from django.urls import reverse

    from evaluation.stored_analyses import refresh

    settings.ALLOWED_HOSTS = ["*"]
    begun = time.perf_counter()
    refresh(study, "people", now=clock.now())
    rows = [{"page": "an analysis of all", "s": round(time.perf_counter() - begun, 1)}]
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("bench"))
    for label, name, arguments in (
        ("studies", "studies", []),
        ("study", "study", [study.slug]),
        ("what moves on it", "watch", [study.slug]),
        ("stimuli", "stimuli", [study.slug]),
        ("annotators", "annotators", [study.slug]),
        ("changes", "change-study", [study.slug]),
        ("report", "report", [study.slug]),
        ("results as JSON", "analysis-json", [study.slug]),
    ):
        address = reverse(name, args=arguments) + ("?state=open" if name == "watch" else "")
        taken = []
        for _ in range(REPEATS + 1):
            at = time.perf_counter()
            response = client.get(address)
            if response.streaming:
                b"".join(response.streaming_content)
            taken.append((time.perf_counter() - at) * 1000)
            assert response.status_code == 200, (name, response.status_code)
        settings.DEBUG = True
        reset_queries()
        client.get(address)
        queries = len(connection.queries)
        settings.DEBUG = False
        rows.append(
            {
                "page": label,
                "first ms": round(taken[0]),
                "ms": round(statistics.median(taken[1:]), 1),
                "queries": queries,
            }
        )
    return rows


def _rounds(sizes: list[int]) -> list[dict]:
    return [
        row
        for size in sizes
        for row in _round(_study(f"Tasks {size}", size), f"active sampling, {size} open tasks")
    ]


def _round(study, label: str) -> list[dict]:
    from evaluation.active_sampling import prioritise, queue
    from evaluation.models import Study

    taken = []
    for _ in range(4):
        Study.objects.filter(id=study.id).update(sampled_until=None)
        begun = time.perf_counter()
        assert prioritise(study.id)
        taken.append((time.perf_counter() - begun) * 1000)
    begun = time.perf_counter()
    queue(study)
    queued = (time.perf_counter() - begun) * 1000
    return [
        {
            "page": label,
            "first ms": round(taken[0]),
            "ms": round(statistics.median(taken[1:]), 1),
            "queue ms": round(queued, 1),
        }
    ]


def _study(name: str, tasks: int):
    """An open study with about so many questions, all of its pictures one file."""
    from django.db import connection

    from annotation.models import Campaign
    from codecs_registry import lossless
    from codecs_registry.models import Reconstruction, SourceImage
    from evaluation.models import Study
    from evaluation.study_files import StudySpecification
    from projects.access import default_project

    slug = name.lower().replace(" ", "-")
    file = lossless.store(np.zeros((8, 8, 3), np.uint8)).png
    n_sources = max(1, min(300, tasks // (PAIRS * len(BPP))))
    sources = SourceImage.objects.bulk_create(
        SourceImage(
            sha256=hashlib.sha256(f"{slug}-{number}".encode()).hexdigest(),
            width=512,
            height=512,
            name=f"{slug}-{number}.png",
            png=file,
            png_bytes=1000,
        )
        for number in range(n_sources)
    )
    made = Reconstruction.objects.bulk_create(
        Reconstruction(
            source=source,
            codec=codec,
            codec_version="1",
            target_bpp=Decimal(bpp),
            state="ready",
            bitstream="b",
            decoded=file,
            size_bytes=1,
            decoded_bytes=1000,
            actual_bpp=float(bpp),
        )
        for source in sources
        for codec in CODECS
        for bpp in BPP
    )
    campaign = Campaign.objects.create(
        state="open", kind="2afc", judgments_per_task=PER_TASK, seed=1
    )
    defaults = StudySpecification.defaults()
    study = Study.objects.create(
        project=default_project(),
        name=name,
        slug=slug,
        codecs=list(CODECS),
        targets_bpp=[Decimal(each) for each in BPP],
        campaign=campaign,
        specification=defaults | {"sampling": "active", "codecs": list(CODECS)},
    )
    study.sources.set(sources)
    study.reconstructions.set(made)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMP TABLE pair AS
            SELECT a.source_id, a.target_bpp, a.id AS a_id, b.id AS b_id,
                a.codec || ' ' || b.codec AS compares
            FROM evaluation_study_reconstructions s
            JOIN codecs_registry_reconstruction a ON a.id = s.reconstruction_id
            JOIN codecs_registry_reconstruction b ON b.source_id = a.source_id
                AND b.target_bpp = a.target_bpp AND a.codec < b.codec
            WHERE s.study_id = %(study)s;
            CREATE TEMP TABLE made (id bigint, a_id bigint, b_id bigint);
            WITH wanted AS (
                SELECT nextval(pg_get_serial_sequence('annotation_task', 'id')) AS id, pair.*
                FROM pair, generate_series(1, %(times)s)
            ), written AS (
                INSERT INTO made SELECT id, a_id, b_id FROM wanted
            )
            INSERT INTO annotation_task (id, campaign_id, source_id, target_bpp, places_left,
                simulated_places_left, priority, order_key, delivery_bytes, compares)
            SELECT id, %(campaign)s, source_id, target_bpp, 3, 3, 0, random(), 1000, compares
            FROM wanted;
            INSERT INTO annotation_taskreconstruction (task_id, reconstruction_id)
            SELECT id, a_id FROM made UNION ALL SELECT id, b_id FROM made;
            ANALYZE annotation_task; ANALYZE annotation_taskreconstruction;
            """,
            {
                "study": study.id,
                "campaign": campaign.id,
                "times": max(1, round(tasks / (n_sources * PAIRS * len(BPP)))),
            },
        )
        cursor.execute("SELECT count(*) FROM made")
        study.n_tasks, study.n_gold_tasks = cursor.fetchone()[0], 0
        cursor.execute("DROP TABLE made; DROP TABLE pair")
    study.save()
    return study


def _judge(study, judgments: int) -> None:
    """So many judgments of the study, in which codecs later in the alphabet win less often."""
    from django.db import connection

    from annotation.models import Annotator

    Annotator.objects.bulk_create(
        Annotator(campaign=study.campaign, began_at=BEGUN) for _ in range(ANNOTATORS)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMP TABLE who AS
            SELECT id, row_number() OVER (ORDER BY id) - 1 AS n
            FROM annotation_annotator WHERE campaign_id = %(campaign)s;
            INSERT INTO annotation_assignment (token, task_id, annotator_id, shown, leased_at,
                lease_ends, holds_place)
            SELECT md5(t.id::text || '/' || times::text), t.id, who.id,
                CASE WHEN (t.id + times) %% 2 = 0 THEN t.shown ELSE ARRAY[t.shown[2], t.shown[1]]
                END, %(begun)s, NULL, true
            FROM (
                SELECT task_id AS id, array_agg(reconstruction_id ORDER BY reconstruction_id)
                    AS shown, row_number() OVER (ORDER BY task_id) AS n
                FROM annotation_taskreconstruction
                JOIN annotation_task t ON t.id = task_id AND t.campaign_id = %(campaign)s
                GROUP BY task_id
            ) t, generate_series(1, 3) AS times
            JOIN who ON true
            WHERE who.n = (t.n * 7 + times * 131) %% %(annotators)s
            LIMIT %(judgments)s;
            INSERT INTO annotation_judgment (assignment_id, ranks, response_ms, viewing, judged_at)
            SELECT a.id, CASE WHEN random() < 1 / (1 + exp(
                    0.3 * (ascii(left(md5(l.codec), 1)) - ascii(left(md5(r.codec), 1))) / 10.0))
                THEN ARRAY[1, 2] ELSE ARRAY[2, 1] END,
                2000 + (random() * 8000)::int, '{}',
                %(begun)s::timestamptz + random() * interval '20 days'
            FROM annotation_assignment a
            JOIN codecs_registry_reconstruction l ON l.id = a.shown[1]
            JOIN codecs_registry_reconstruction r ON r.id = a.shown[2]
            WHERE a.annotator_id IN (SELECT id FROM who);
            UPDATE annotation_task SET places_left = 0 WHERE campaign_id = %(campaign)s
                AND id %% 100 > 0;
            DROP TABLE who;
            ANALYZE annotation_assignment; ANALYZE annotation_judgment; ANALYZE annotation_task;
            """,
            {
                "campaign": study.campaign_id,
                "annotators": ANNOTATORS,
                "judgments": judgments,
                "begun": BEGUN + timedelta(days=1),
            },
        )
