"""Links to results: whoever has one sees them without signing in, until it is revoked."""

from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.response import Response

from codecs_registry import clock
from evaluation import sharing
from evaluation.api.endpoint import StudyEndpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api.problems import Conflict
from evaluation.api.results import BeingAnalysed
from evaluation.api_models import Scope
from evaluation.links import shared_page
from evaluation.models import SharedLink
from evaluation.populations import POPULATIONS
from projects.roles import Role

AS_OF_NOW, NEWEST = SHOWS = ("as of now", "newest")


class SharedLinkSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    address = serializers.SerializerMethodField(help_text="Whoever has it sees the results.")
    population = serializers.ChoiceField(choices=POPULATIONS, help_text="Whose judgments.")
    shows = serializers.SerializerMethodField(help_text="as of now: as they were when it was made.")
    made_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    made_at = serializers.DateTimeField(source="created_at")
    revoked_at = serializers.DateTimeField(allow_null=True)

    def get_address(self, link: SharedLink) -> str:
        return shared_page(link)

    def get_shows(self, link: SharedLink) -> str:
        return AS_OF_NOW if link.is_frozen else NEWEST


class NewLinkSerializer(serializers.Serializer):
    population = serializers.ChoiceField(choices=POPULATIONS, help_text="Whose judgments.")
    shows = serializers.ChoiceField(
        choices=SHOWS,
        default=AS_OF_NOW,
        help_text="The results as they are now whatever is judged later, or always the newest.",
    )


class SharedLinks(StudyEndpoint):
    tag = "sharing"

    @operation(Scope.READ, Role.VIEWER, query=PageQuery, gives=paged(SharedLinkSerializer))
    def get(self, request, slug: str) -> Response:
        """The links to a study's results, the newest first; those that were revoked, too."""
        found = self.study.shared_links.select_related("created_by").defer("document_text")
        return page(
            request,
            self.query(),
            found,
            lambda rows: SharedLinkSerializer(rows, many=True).data,
            newest_first=True,
        )

    @operation(
        Scope.WRITE,
        Role.RESEARCHER,
        takes=NewLinkSerializer,
        gives={201: SharedLinkSerializer},
        errors=(409, 503),
        changes=True,
    )
    def post(self, request, slug: str) -> Response:
        """Make a link to a study's results: whoever has it sees them without signing in.

        409 if there are no judgments.
        """
        given = self.given()
        try:
            made = sharing.share_results(
                self.study,
                population=given["population"],
                freezes=given["shows"] == AS_OF_NOW,
                now=clock.now(),
                by=self.user,
            )
        except sharing.NothingToShare as error:
            raise Conflict(f"{error}.") from None
        except sharing.NotAnalysed:
            raise BeingAnalysed from None
        return Response(SharedLinkSerializer(made).data, 201)


class RevokeLink(StudyEndpoint):
    tag = "sharing"

    def find(self) -> None:
        super().find()
        self.link = get_object_or_404(self.study.shared_links, id=self.kwargs["id"])

    @operation(Scope.WRITE, Role.RESEARCHER, gives=SharedLinkSerializer, changes=True)
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Have a link show nothing any more, for good."""
        sharing.revoke(self.link, by=self.user)
        self.link.refresh_from_db()
        return Response(SharedLinkSerializer(self.link).data)
