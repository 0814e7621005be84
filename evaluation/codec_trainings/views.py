"""The pages of the learned codec's trainings: the list, one of them, its pictures and files."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from codecs_registry.responses import immutable, live_page
from evaluation.codec_trainings import reading
from evaluation.codec_trainings.reading import CODEC, LOG, Training
from perceptual.codec.training.held_out_pictures import ORIGINAL, Reconstruction, Shown, Watching


@login_required
@never_cache
@require_GET
def trainings(request: HttpRequest) -> HttpResponse:
    """All trainings. htmx asks for the list alone: 204 while it is as the page has it."""
    found = reading.trainings(time.time())
    context = {
        "trainings": found,
        "folder": settings.CLOSER_CODEC_TRAININGS,
        "is_moving": any(each.is_running for each in found),
    }
    live = render_to_string("evaluation/codec_trainings_list.html", context)
    return _live(request, "evaluation/codec_trainings.html", live, context)


@login_required
@never_cache
@require_GET
def training(request: HttpRequest, training_name: str) -> HttpResponse:
    """How far one is and what it made. htmx asks for what moves: 204 while it is as the page has
    it."""
    found = _found(training_name)
    shown = found.pictures()
    newest = str(shown[-1].step) if shown else ""
    of_page = request.GET.get("shown", newest) if request.htmx else newest
    context: dict[str, Any] = {
        "training": found,
        "is_moving": found.is_running,
        "has_newer": of_page != newest,
        "newest": shown[-1].step if shown else None,
        "model": found.model(),
        **_plots(found),
    }
    live = render_to_string("evaluation/codec_training_live.html", context, request)
    if not request.htmx:
        context["viewer"] = viewer_of(found, shown, request) if shown else None
        context["use"] = f"CLOSER_CODEC_MODEL={shlex.quote(str(found.folder / CODEC))}"
    of_next = {"picture": request.GET["picture"]} if "picture" in request.GET else {}
    return _live(request, "evaluation/codec_training.html", live, context, shown=of_page, **of_next)


def _live(
    request: HttpRequest, template: str, live: str, context: dict[str, Any], **of_page: str
) -> HttpResponse:
    """A page with its part that moves, or to htmx that part alone, if the page has another."""
    part = "evaluation/codec_trainings_live.html"
    return live_page(request, live, context, page=template, part=part, **of_page)


def _plots(found: Training) -> dict[str, str | None]:
    # Imported here: Altair takes half a second, which only this page needs.
    from evaluation.codec_trainings import plots

    return {
        "loss_plot": plots.loss_plot(found.log),
        "held_out_plot": plots.held_out_plot(found.watchings),
        "along_plot": plots.along_plot(found.watchings),
    }


# --- pictures -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A picture that the viewer can show.

    value : in the page's address.   step : '' for the original.   place : of its lambda, from 1.
    """

    value: str
    label: str
    address: str
    facts: str = ""
    step: str = ""
    place: int = 0


def viewer_of(found: Training, watchings: list[Watching], request: HttpRequest) -> dict[str, Any]:
    """What the viewer shows: a picture (?picture=, a number), of which two versions are flipped
    (?a= and ?b=, values of Choice)."""
    newest = watchings[-1]
    number = _number(request.GET.get("picture", ""), len(newest.pictures))
    picture = newest.pictures[number - 1]
    # The first watching, where it shows the same part of the same picture.
    others = [
        each
        for each in watchings[:1]
        if each is not newest
        and number <= len(each.pictures)
        and _is_same_part(each.pictures[number - 1], picture)
    ]
    groups = [
        {"title": title, "choices": _choices(found, each, number)}
        for title, each in (("now", newest), *(("first", each) for each in others))
    ]
    original = Choice(ORIGINAL, "Original", _address(found, newest, number, ORIGINAL))
    every = [original, *(choice for group in groups for choice in group["choices"])]
    values = [each.value for each in every]
    middle = groups[0]["choices"][len(groups[0]["choices"]) // 2].value
    a, b = (
        asked if (asked := request.GET.get(side)) in values else otherwise
        for side, otherwise in (("a", ORIGINAL), ("b", middle))
    )
    return {
        "picture": picture,
        "number": number,
        "step": newest.step,
        "original": original,
        "groups": groups,
        "sides": (("a", a), ("b", b)),
        "shown": next(each for each in every if each.value == b),
        "rows": [_row(found, newest, place) for place in range(1, len(newest.pictures) + 1)],
        "prices": [each.price for each in picture.reconstructions],
    }


def _row(found: Training, watching: Watching, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "picture": watching.pictures[number - 1],
        "original": _address(found, watching, number, ORIGINAL),
        "choices": _choices(found, watching, number),
    }


def _choices(found: Training, watching: Watching, number: int) -> list[Choice]:
    return [
        Choice(
            value=f"{watching.step}-{place}",
            label=f"λ {each.price:g}, step {watching.step:,}",
            address=_address(found, watching, number, str(place)),
            facts=_facts(each),
            step=str(watching.step),
            place=place,
        )
        for place, each in enumerate(watching.pictures[number - 1].reconstructions, start=1)
    ]


def _facts(made: Reconstruction) -> str:
    return f"{made.bpp:.3f} bpp, {made.psnr:.2f} dB"


def _is_same_part(one: Shown, other: Shown) -> bool:
    return (one.name, one.width, one.height) == (other.name, other.width, other.height)


def _number(asked: str, most: int) -> int:
    """Of a picture, from 1; the first where another is asked for than there is."""
    is_one = asked.isascii() and asked.isdigit() and len(asked) < 4 and 1 <= int(asked) <= most
    return int(asked) if is_one else 1


def _address(found: Training, watching: Watching, number: int, which: str) -> str:
    path = reverse("codec-training-picture", args=[found.name, watching.step, number, which])
    return f"{path}?{watching.changed}"


@login_required
@require_GET
def picture(
    request: HttpRequest, training_name: str, step: int, number: int, which: str
) -> HttpResponse:
    """A picture held out, or what was made of it, as WebP."""
    found = _found(training_name)
    watching = next((each for each in found.pictures() if each.step == step), None)
    file = watching.file(number, which) if watching else None
    try:
        content = file.read_bytes() if file else None
    except OSError:  # newer ones took their place meanwhile
        content = None
    if content is None:
        raise Http404
    return immutable(HttpResponse(content, content_type="image/webp"))


# --- files ----------------------------------------------------------------------------------------


@login_required
@never_cache
@require_GET
def log(request: HttpRequest, training_name: str) -> HttpResponse:
    """The log as it is."""
    found = _found(training_name)
    try:
        content = (found.folder / LOG).read_bytes()  # at once: it grows while it is sent
    except OSError:
        raise Http404 from None
    name = content_disposition_header(True, f"{found.name}-{LOG}")
    return HttpResponse(
        content, content_type="application/x-ndjson", headers={"Content-Disposition": name}
    )


@login_required
@never_cache
@require_GET
def codec(request: HttpRequest, training_name: str) -> FileResponse:
    """The codec as it was last kept."""
    found = _found(training_name)
    try:
        file = (found.folder / CODEC).open("rb")
    except OSError:
        raise Http404 from None
    return FileResponse(
        file,
        content_type="application/octet-stream",
        as_attachment=True,
        filename=f"{found.name}-{CODEC}",
    )


def _found(name: str) -> Training:
    if found := reading.training(name, time.time()):
        return found
    raise Http404
