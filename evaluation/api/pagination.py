"""Lists, a page at a time: each page begins after the last row of the one before.

So whatever is added meanwhile, nobody is given a row twice, and nothing that was there is skipped.
"""

import base64
import binascii
from collections.abc import Callable

from django.conf import settings
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

LARGEST_ID = 2**63 - 1


class PageQuery(serializers.Serializer):
    limit = serializers.IntegerField(
        min_value=1, max_value=1000, default=100, help_text="How many on a page."
    )
    cursor = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="Where to go on: from `next` of the page before.",
    )


def paged(item: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """The serializer of a page of these."""
    fields = {
        "items": item(many=True),
        "next": serializers.URLField(
            allow_null=True, help_text="The next page; null: this is the last one."
        ),
    }
    name = item.__name__.removesuffix("Serializer")
    return type(f"{name}PageSerializer", (serializers.Serializer,), fields)


def page(
    request,
    query: dict,
    rows: QuerySet,
    present: Callable[[list], list[dict]],
    *,
    newest_first: bool = False,
) -> Response:
    """A page of rows in the order of their ids. present : a list of rows as plain values."""
    limit, after = query["limit"], cursor_of(query)
    if after is not None:
        rows = rows.filter(**{"id__lt" if newest_first else "id__gt": after})
    found = list(rows.order_by("-id" if newest_first else "id")[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return respond(request, present(found[:limit]), getattr(last, "id", last))


def respond(request, items: list[dict], last: int | None) -> Response:
    """items : of this page.  last : the id of its last one, if there are more."""
    following = None
    if last is not None:
        asked = request.query_params.copy()
        asked["cursor"] = base64.urlsafe_b64encode(f"after {last}".encode()).decode()
        following = f"{settings.CLOSER_URL}{request.path}?{asked.urlencode()}"
    response = Response({"items": items, "next": following})
    if following:
        response["Link"] = f'<{following}>; rel="next"'
    return response


def cursor_of(query: dict) -> int | None:
    """The id after which to go on; None: from the beginning. Raises ValidationError."""
    if not query["cursor"]:
        return None
    try:
        word, after = base64.urlsafe_b64decode(query["cursor"].encode()).decode().split(" ")
        number = int(after)
    except (ValueError, binascii.Error):
        word, number = "", -1
    if word != "after" or not 0 <= number <= LARGEST_ID:
        raise ValidationError({"cursor": ["This is no cursor of a page."]})
    return number
