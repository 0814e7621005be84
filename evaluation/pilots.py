"""A study's pilot: its questions put to people before it opens, in a campaign of their own.

So nothing that is asked, answered or counted in the study (places, budget, annotators, gold tasks,
results, datasets, trainings) can hold any of it. It asks at most MOST_TASKS of the study's tasks,
drawn at random, and all gold tasks, under the study's instructions and rules, without its budget
and closing date.
"""

from annotation.models import Campaign, Task, TaskReconstruction
from evaluation.changes import NotAllowed
from evaluation.models import Study

MOST_TASKS = 2000

COPIED = (
    *("kind", "instructions", "allows_ties", "judgments_per_task", "judgments_per_annotator"),
    *("source_distance", "gold_share", "repeat_share", "stored_options", "seed"),
)


def start_pilot(study: Study) -> None:
    """Open the study's pilot; one that was ended goes on. The caller has locked the study.

    Raises NotAllowed if it was begun under other instructions: they are a condition.
    """
    pilot = study.pilot
    if pilot is None:
        pilot = _make(study)
        Study.objects.filter(id=study.id).update(pilot=pilot)
        study.pilot = pilot
    elif pilot.instructions != study.campaign.instructions:
        if pilot.annotators.filter(began_at__isnull=False).exists():
            raise NotAllowed(
                f"the pilot of {study} was judged with other instructions, and would mix both; "
                "open the study, or launch another one to try these"
            )
        pilot.instructions = study.campaign.instructions
    pilot.state = Campaign.State.OPEN
    pilot.save(update_fields=["instructions", "state"])


def _make(study: Study) -> Campaign:
    pilot = Campaign.objects.create(**{name: getattr(study.campaign, name) for name in COPIED})
    pilot.excludes.set(study.campaign.excludes.all())
    measured = study.campaign.measured_tasks.order_by("order_key")[:MOST_TASKS]
    tasks = [*measured, *study.campaign.gold_tasks.order_by("id")]
    parts = TaskReconstruction.objects.filter(task__in=[each.id for each in tasks])
    shown = list(parts.order_by("id").values_list("task_id", "reconstruction_id"))
    copies = {}
    for task in tasks:
        places = 0 if task.closest_id else pilot.judgments_per_task
        copies[task.id] = task
        task.pk, task.campaign, task.priority, task.compares = None, pilot, 0.0, ""
        task.places_left = task.simulated_places_left = places
        task._state.adding = True
    Task.objects.bulk_create(tasks, batch_size=2000)
    TaskReconstruction.objects.bulk_create(
        (TaskReconstruction(task=copies[task], reconstruction_id=made) for task, made in shown),
        batch_size=5000,
    )
    return pilot
