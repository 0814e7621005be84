"""What annotators will see, for researchers: the judging page on questions of a study, of which
nothing is leased, stored or counted."""

import json
import random
from dataclasses import asdict

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from annotation.kinds import KINDS
from annotation.models import Assignment, Task
from annotation.stimuli import ORIGINAL, image_file, shown_size
from evaluation.access import study_of
from evaluation.models import Study

AHEAD = 2
MOST = 20  # questions that one can walk through


@login_required
@never_cache
@require_GET
def preview(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The very judging page, beginning with a question by its number from 1 on."""
    study = study_of(request, slug)
    tasks = _tasks(study)
    if not 1 <= number <= len(tasks):
        raise Http404
    campaign = study.campaign
    settings = {
        "viewing": asdict(campaign.options.viewing),
        "requirements": asdict(campaign.options.requirements),
    }
    context = {
        "page": f"annotation/judge_{campaign.kind}.html",
        "study": study,
        "campaign": campaign,
        "total": len(tasks) - number + 1,
        "address": reverse("preview", args=[slug, number]),
        "settings": json.dumps(settings),
    }
    return render(request, "evaluation/preview.html", context)


@csrf_exempt  # the judging page sends no token, and there is nothing here to forge
@login_required
@require_POST
def next_questions(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    return _questions(study_of(request, slug), number, answered=0)


@csrf_exempt
@login_required
@require_POST
def answer(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Goes on with the question after the one that is answered. Nothing is kept."""
    study = study_of(request, slug)
    try:
        given = json.loads(request.body)
        last = int(given["assignment"].removeprefix(TOKEN))
    except (ValueError, KeyError, TypeError, AttributeError):
        return JsonResponse({"detail": "An answer names its question."}, status=400)
    return _questions(study, number, answered=last)


@csrf_exempt
@login_required
@require_POST
def give_back(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    study_of(request, slug)
    return HttpResponse(status=204)


@login_required
@never_cache
@require_GET
def stimulus(request: HttpRequest, slug: str, task_id: int, position: str) -> HttpResponse:
    """An image as annotators are sent it."""
    study = study_of(request, slug)
    tasks = study.campaign.tasks.select_related("source", "campaign")
    task = get_object_or_404(tasks, id=task_id)
    shown = _shown(task)
    names = KINDS[study.campaign.kind].positions(len(shown))
    if position not in (ORIGINAL, *names):
        raise Http404
    index = None if position == ORIGINAL else names.index(position)
    content = image_file(Assignment(task=task, shown=shown), index)
    return HttpResponse(content, content_type=f"image/{task.delivery_format}")


TOKEN = "preview-"  # noqa: S105  (what stands where an assignment's token does)


def _tasks(study: Study) -> list[int]:
    """Ids of the questions that are shown, one of another picture after the other where there are
    several. Empty before they are made."""
    ids = list(study.campaign.measured_tasks.order_by("id").values_list("id", flat=True)[:2000])
    random.Random(study.campaign.seed).shuffle(ids)  # noqa: S311
    return ids[:MOST]


def _shown(task: Task) -> list[int]:
    shown = list(task.parts.order_by("id").values_list("reconstruction", flat=True))
    random.Random(task.id).shuffle(shown)  # noqa: S311
    return shown


def _questions(study: Study, number: int, *, answered: int) -> JsonResponse:
    """What the judging page needs to go on; answered : the number of the last question that was."""
    begin = max(number, answered + 1)
    ids = _tasks(study)
    tasks = Task.objects.select_related("source").in_bulk(ids)
    numbered = list(enumerate(ids, start=1))[begin - 1 : begin - 1 + AHEAD]
    return JsonResponse(
        {
            "judged": begin - number,
            "ending": None if numbered else {"outcome": "completed", "code": "", "back": ""},
            "stage": None,
            "warnings": [],
            "is_open": True,
            "recorded": True,
            "feedback": None,
            "assignments": [_present(study, tasks[id_], place) for place, id_ in numbered],
        }
    )


def _present(study: Study, task: Task, number: int) -> dict:
    width, height = shown_size(task)
    names = KINDS[study.campaign.kind].positions(len(_shown(task)))
    return {
        "token": f"{TOKEN}{number}",
        "width": width,
        "height": height,
        "images": {
            name: reverse("preview-stimulus", args=[study.slug, task.id, name])
            for name in (ORIGINAL, *names)
        },
    }
