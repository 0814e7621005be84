"""Judgments by the thousand, made by the database itself: for what must not grow with them."""

from django.db import connection

from annotation.models import Campaign
from tests import factories

SOURCES = 20
ANNOTATORS = 1000


def judged_in_bulk(judgments: int, *, sources: int = SOURCES) -> Campaign:
    """A campaign of 2AFC tasks with so many judgments by people, of random answers and times."""
    campaign = factories.campaign(judgments_per_task=ANNOTATORS)
    first = [factories.task(campaign, factories.source_image(), made={}) for _ in range(sources)]
    tasks = -(-judgments // ANNOTATORS)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO annotation_task (campaign_id, source_id, target_bpp, places_left,
                   simulated_places_left, priority, order_key, delivery_bytes)
               SELECT campaign_id, source_id, target_bpp, places_left, simulated_places_left,
                   priority, random(), delivery_bytes
               FROM annotation_task, generate_series(1, %s)
               WHERE campaign_id = %s LIMIT %s""",
            [-(-tasks // sources), campaign.id, max(0, tasks - sources)],
        )
        cursor.execute(
            """INSERT INTO annotation_taskreconstruction (task_id, reconstruction_id)
               SELECT t.id, r.id FROM annotation_task t
               JOIN codecs_registry_reconstruction r ON r.source_id = t.source_id
               WHERE t.campaign_id = %s AND t.id > %s""",
            [campaign.id, first[-1].id],
        )
        cursor.execute(
            """INSERT INTO annotation_annotator (campaign_id, token, is_simulated, joined_at)
               SELECT %s, gen_random_uuid(), false, now() FROM generate_series(1, %s)""",
            [campaign.id, ANNOTATORS],
        )
        cursor.execute(
            """INSERT INTO annotation_assignment
                   (token, task_id, annotator_id, shown, leased_at, holds_place, priority)
               SELECT gen_random_uuid(), p.task_id, a.id,
                   CASE WHEN random() < 0.5 THEN p.shown ELSE array_reverse(p.shown) END,
                   now(), true, (random() < 0.3)::int
               FROM annotation_annotator a
               CROSS JOIN (
                   SELECT task_id, array_agg(reconstruction_id) AS shown
                   FROM annotation_taskreconstruction
                   JOIN annotation_task t ON t.id = task_id
                   WHERE t.campaign_id = %s GROUP BY task_id
               ) p
               WHERE a.campaign_id = %s LIMIT %s""",
            [campaign.id, campaign.id, judgments],
        )
        # A trigger looks up each one's assignment, by a plan that was made when there were few.
        cursor.execute("ANALYZE annotation_assignment")
        cursor.execute(
            """INSERT INTO annotation_judgment
                   (assignment_id, ranks, response_ms, viewing, events, judged_at)
               SELECT a.id, CASE WHEN random() < 0.5 THEN '{1,2}' ELSE '{2,1}' END::smallint[],
                   500 + (random() * 5000)::int,
                   '{"device_pixel_ratio": 2, "viewport_width": 1440, "flips": 1}',
                   '[[0, "view-side-by-side"], [700, "original-on"], [900, "original-off"]]', now()
               FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id
               WHERE t.campaign_id = %s""",
            [campaign.id],
        )
        cursor.execute("ANALYZE")  # as the server does by itself by the time that people judged
    return campaign
