"""One's own tokens. They are made on a page alone: no token can make others that outlive it."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.response import Response

from evaluation.api.authentication import token_of
from evaluation.api.endpoint import Endpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api_models import ApiToken, Scope
from evaluation.api_tokens import revoke_token


class TokenSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="How its secret begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    project = serializers.CharField(
        source="project.slug", default=None, allow_null=True, help_text="null: all of yours."
    )
    made_at = serializers.DateTimeField()
    used_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class Tokens(Endpoint):
    tag = "tokens"

    @operation(None, query=PageQuery, gives=paged(TokenSerializer))
    def get(self, request) -> Response:
        """Your tokens; asked with a token, that one alone."""
        return page(
            request,
            self.query(),
            own_tokens(self),
            lambda found: TokenSerializer(found, many=True).data,
            newest_first=True,
        )


class OneToken(Endpoint):
    tag = "tokens"

    def find(self) -> None:
        self.token = get_object_or_404(own_tokens(self), id=self.kwargs["id"])

    @operation(None, gives=TokenSerializer)
    def get(self, request, id: int) -> Response:  # noqa: A002
        """A token of yours."""
        return Response(TokenSerializer(self.token).data)

    @operation(None, gives={204: None})
    def delete(self, request, id: int) -> Response:  # noqa: A002
        """Revoke a token; with a token, that one alone."""
        revoke_token(self.token, by=self.user)
        return Response(status=204)


def own_tokens(endpoint: Endpoint) -> QuerySet[ApiToken]:
    """A leaked token tells of no other, and can end itself alone."""
    found = ApiToken.objects.filter(user=endpoint.user).select_related("project")
    token = token_of(endpoint.request)
    return found.filter(id=token.id) if token else found
