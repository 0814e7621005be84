"""Requests that are carried out once, however often they are sent.

The key's row is written first, in the transaction that does what is asked: a second request with
the key waits for the row, and then finds the answer in it. What fails leaves no row, and may be
sent again.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from codecs_registry import clock
from evaluation.api.problems import KeyUsed
from evaluation.api_models import KeptAnswer

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
LONGEST = 200
VISIBLE = re.compile("[!-~]+")
KEPT_HEADERS = ("Location",)


def once(method: Callable[..., Response]) -> Callable[..., Response]:
    """An endpoint's method that answers a key with what it answered it before."""

    @wraps(method)
    def answered(endpoint, request, *args: object, **kwargs: object) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return method(endpoint, request, *args, **kwargs)
        if len(key) > LONGEST or not VISIBLE.fullmatch(key):
            raise ValidationError({HEADER: [f"Takes 1 to {LONGEST} visible ASCII characters."]})
        asked = _digest(request)
        with transaction.atomic():
            mine = KeptAnswer.objects.filter(user=request.user, key=key)
            mine.filter(at__lte=clock.now() - KEPT).delete()
            kept, is_new = KeptAnswer.objects.get_or_create(
                user=request.user, key=key, defaults={"digest": asked}
            )
            if not is_new:
                return _again(kept, asked)
            response = method(endpoint, request, *args, **kwargs)
            kept.status = response.status_code
            kept.body = JSONRenderer().render(response.data).decode()
            kept.headers = {
                name: response[name] for name in KEPT_HEADERS if response.has_header(name)
            }
            kept.save()
        return response

    return answered


def _again(kept: KeptAnswer, asked: str) -> Response:
    if kept.digest != asked:
        raise KeyUsed
    body = json.loads(kept.body) if kept.body else None
    return Response(body, kept.status, headers=kept.headers | {"Idempotent-Replayed": "true"})


def _digest(request) -> str:
    """SHA-256 of where a request goes and what it brings, however it was written."""
    found = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    data = request.data
    if hasattr(data, "lists"):  # a form, with files
        for name, values in sorted(data.lists()):
            for value in values:
                found.update(f"{name}\n".encode(errors="replace"))
                found.update(_content(value))
    else:
        found.update(json.dumps(data, sort_keys=True).encode())
    return found.hexdigest()


def _content(value: object) -> bytes:
    if not isinstance(value, UploadedFile):
        return str(value).encode(errors="replace")
    found = hashlib.sha256(value.name.encode(errors="replace"))
    for chunk in value.chunks():
        found.update(chunk)
    value.seek(0)
    return found.digest()


def forget_kept(*, now: datetime) -> int:
    """Delete the answers that are kept for no one any more."""
    return KeptAnswer.objects.filter(at__lte=now - KEPT).delete()[0]
