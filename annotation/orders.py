"""In which order an annotator sees a task's reconstructions.

Of an annotator's assignments that measure and hold a place, those that show a pair in one order and
those that show it in the other differ by at most one, unless a lease ended in between; where the
annotator is even, the codec comes to the side where they saw it less often in pairs of the same two
codecs, then the side that the task has shown less often is taken, and chance decides the rest. Of
rankings, each codec comes to each place in turn for every annotator, in the order in which the
task has shown them there less often. A repeated task is shown the other way round than
before. Gold tasks, practice and quiz are shown as chance has it, or the right side could be learnt.
"""

import random
from collections import Counter

from annotation.models import Annotator, Assignment, Purpose, Task
from codecs_registry.models import Reconstruction


def order(task: Task, annotator: Annotator, purpose: Purpose) -> list[int]:
    """Ids of the task's reconstructions by position; for all purposes but a repeat's."""
    shown = task.parts.order_by("reconstruction__codec", "reconstruction_id")
    ids = list(shown.values_list("reconstruction_id", flat=True))
    if purpose != Purpose.MEASURE:
        return _shuffled(annotator, ids)
    return _sides(task, annotator, ids) if len(ids) == 2 else _places(task, annotator, ids)


def reversed_order(assignment: Assignment) -> list[int]:
    """The order in which an assignment's repeat is shown."""
    return assignment.shown[::-1]


def chance(annotator: Annotator, what: str) -> random.Random:
    """Random numbers that follow from the campaign's seed and the annotator's history."""
    history = annotator.assignments.count()
    return random.Random(f"{annotator.campaign.seed}/{annotator.id}/{history}/{what}")  # noqa: S311


def _shuffled(annotator: Annotator, ids: list[int]) -> list[int]:
    return chance(annotator, "order").sample(ids, len(ids))


def _places(task: Task, annotator: Annotator, ids: list[int]) -> list[int]:
    """A row of a Latin square over the codecs, another one for each of the annotator's tasks: in
    as many tasks as there are codecs each comes to each place once. Every square is drawn anew, so
    that neighbours change; of its rows that are left, one whose places the task has shown least."""
    own = annotator.assignments.filter(purpose=Purpose.MEASURE).order_by("id")
    square = own.count() // len(ids)
    drawn = random.Random(f"{annotator.campaign.seed}/{annotator.id}/{square}/places")  # noqa: S311
    mixed = drawn.sample(range(len(ids)), len(ids))
    rows = [mixed[row:] + mixed[:row] for row in range(len(ids))]
    given = [_codecs_of(each) for each in own[square * len(ids) :]]
    rows = [row for row in rows if row not in given]
    shown = Counter(
        each
        for order in task.assignments.filter(
            holds_place=True,
            purpose=Purpose.MEASURE,
            annotator__is_simulated=annotator.is_simulated,
        ).values_list("shown", flat=True)
        for each in enumerate(order)
    )
    times = [sum(shown[place, ids[codec]] for place, codec in enumerate(row)) for row in rows]
    left = [row for row, seen in zip(rows, times, strict=True) if seen == min(times)]
    return [ids[codec] for codec in chance(annotator, "row").choice(left)]


def _codecs_of(assignment: Assignment) -> list[int]:
    """What an assignment showed at each place: the numbers of the codecs, in their order."""
    parts = assignment.task.parts.order_by("reconstruction__codec", "reconstruction_id")
    ids = list(parts.values_list("reconstruction_id", flat=True))
    return [ids.index(each) for each in assignment.shown]


def _sides(task: Task, annotator: Annotator, ids: list[int]) -> list[int]:
    first, second = sorted(ids)
    own = annotator.assignments.filter(holds_place=True, purpose=Purpose.MEASURE)
    # Above zero: the lower id has been on the left more often.
    lean = (
        _lean(own)
        or _lean_of_codecs(task, own, first, second)
        or _lean(
            task.assignments.filter(
                holds_place=True,
                purpose=Purpose.MEASURE,
                annotator__is_simulated=annotator.is_simulated,
            )
        )
    )
    if lean == 0:
        lean = 1 if chance(annotator, "side").random() < 0.5 else -1
    return [second, first] if lean > 0 else [first, second]


def _lean_of_codecs(task: Task, own, first: int, second: int) -> int:
    """How much more often the annotator was shown the codec of `first` on the left, of all their
    pairs of these two codecs."""
    codec = dict(task.parts.values_list("reconstruction_id", "reconstruction__codec"))
    pairs = own.filter(task__parts__reconstruction__codec=codec[first]).filter(
        task__parts__reconstruction__codec=codec[second]
    )
    on_left = list(pairs.values_list("shown__0", flat=True))
    of_first = Reconstruction.objects.filter(id__in=on_left, codec=codec[first]).count()
    return 2 * of_first - len(on_left)


def _lean(assignments) -> int:
    return sum(
        1 if left < right else -1 for left, right in assignments.values_list("shown", flat=True)
    )
