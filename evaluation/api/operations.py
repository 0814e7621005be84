"""What a method of an endpoint needs, takes and gives, said once: for who may call it, and for the
document that describes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rest_framework import serializers

from evaluation.api.idempotency import once
from evaluation.api_models import Scope
from projects.roles import Role

Serializer = type[serializers.Serializer]


@dataclass(frozen=True)
class Operation:
    """scope : that a token needs; None: any will do.
    role : in the project that the address, or the body, names; None: anybody's, who sees theirs.
    gives : by status, what the answer holds; None: nothing.
    errors : besides those that every operation has.
    is_conditional : whether it minds If-Match.
    is_ranged : whether it minds Range.
    """

    scope: Scope | None
    role: Role | None = None
    takes: Serializer | None = None
    query: Serializer | None = None
    gives: Mapping[int, Serializer | None] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    is_conditional: bool = False
    is_ranged: bool = False
    is_idempotent: bool = False
    media_type: str = "application/json"


def operation(
    scope: Scope | None,
    role: Role | None = None,
    *,
    gives: Serializer | Mapping[int, Serializer | None] | None,
    changes: bool = False,
    **more: object,
) -> Callable[[Callable], Callable]:
    """Says so of a method.  gives : with status 200, unless it says otherwise.  changes : a POST
    that is to be carried out once."""

    def decorate(method: Callable) -> Callable:
        found = once(method) if changes else method
        answers = gives if isinstance(gives, Mapping) else {200: gives}
        found.operation = Operation(scope, role, gives=answers, is_idempotent=changes, **more)
        return found

    return decorate
