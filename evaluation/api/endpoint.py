"""What every endpoint does alike: who calls, whether they may, how often, and what can go wrong."""

import contextlib

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, MethodNotAllowed, NotAuthenticated
from rest_framework.exceptions import PermissionDenied as Refused
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from evaluation.access import study_of
from evaluation.api import problems
from evaluation.api.authentication import TokenAuthentication, token_of
from evaluation.api.etags import etag, is_named
from evaluation.api.operations import Operation
from evaluation.api.parsers import JSONParser
from evaluation.api.schema import ApiSchema
from evaluation.api.throttles import PerCaller
from evaluation.models import Study
from projects.access import projects_of, require
from projects.models import Project
from projects.roles import Role


class Endpoint(APIView):
    """A part of the API. Its methods carry @operation; `tag` is its chapter of the document."""

    tag = ""
    most_bytes = 1_000_000
    schema = ApiSchema()
    metadata_class = None
    format_kwarg = None  # what is wanted stands in Accept
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]

    @property
    def operation(self) -> Operation:
        return getattr(self, self.request.method.lower().replace("head", "get")).operation

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        if not hasattr(getattr(self, request.method.lower(), None), "operation"):
            raise MethodNotAllowed(request.method)
        if request.method not in ("GET", "HEAD"):
            self._refuse_large(request)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
            request
        )
        failed: APIException | None = None
        try:
            self.perform_authentication(request)
        except APIException as error:
            failed = error  # whoever guesses is counted, too
        self.check_throttles(request)
        if failed:
            raise failed
        self._require_scope(request)
        self.find()

    def find(self) -> None:
        """Look up what the address names, and whether who calls may: before anything is read."""

    def _refuse_large(self, request: Request) -> None:
        with contextlib.suppress(ValueError):
            if int(request.META.get("CONTENT_LENGTH") or 0) > self.most_bytes:
                raise problems.TooLarge(f"At most {self.most_bytes / 1e6:g} MB are taken.")

    def _require_scope(self, request: Request) -> None:
        if not request.user.is_authenticated:
            raise NotAuthenticated
        token, scope = token_of(request), self.operation.scope
        if token and scope and scope not in token.scopes:
            raise Refused(f"This takes a token with the scope {scope}.")

    def check_throttles(self, request: Request) -> None:
        self.throttle = PerCaller()
        if not self.throttle.allow_request(request, self):
            self.throttled(request, self.throttle.wait())

    def get_exception_handler(self):
        return problems.handle

    def finalize_response(self, request, response, *args: object, **kwargs: object):
        response = super().finalize_response(request, response, *args, **kwargs)
        if throttle := getattr(self, "throttle", None):
            for name, value in throttle.headers().items():
                response[name] = value
        response["Cache-Control"] = "private, no-cache"
        response["Vary"] = "Accept, Authorization, Cookie"
        is_read = request.method in ("GET", "HEAD") and response.status_code == 200
        if is_read and not response.streaming:  # a file brings a tag of its own
            if isinstance(response, Response):
                response.render()
            response["ETag"] = etag(response.content)
            if is_named(response["ETag"], request.headers.get("If-None-Match", "")):
                response.status_code, response.content = 304, b""
                del response["Content-Type"]
        return response

    # --- what views ask of it -----------------------------------------------------------------

    @property
    def user(self):
        return self.request.user

    def query(self) -> dict:
        """What the query of the address says. Raises ValidationError."""
        given = self.operation.query(data=self.request.query_params)
        given.is_valid(raise_exception=True)
        return given.validated_data

    def given(self, **more: object) -> dict:
        """What the body says. Raises ValidationError."""
        given = self.operation.takes(data=self.request.data, **more)
        given.is_valid(raise_exception=True)
        return given.validated_data

    def projects(self, role: Role = Role.VIEWER) -> QuerySet[Project]:
        """Those in which who calls has at least this role, and which the token opens."""
        found = projects_of(self.user, role)
        token = token_of(self.request)
        return found.filter(id=token.project_id) if token and token.project_id else found

    def require_project(self, project: Project, role: Role) -> None:
        """Raises Http404 and PermissionDenied as projects.access.require does."""
        token = token_of(self.request)
        if token and token.project_id not in (None, project.id):
            raise Http404
        require(self.user, project, role)


class ProjectEndpoint(Endpoint):
    """Of the project that the address names."""

    project: Project

    def find(self) -> None:
        self.project = get_object_or_404(Project, slug=self.kwargs["slug"])
        self.require_project(self.project, self.operation.role)


class StudyEndpoint(Endpoint):
    """Of the study that the address names."""

    study: Study

    def find(self) -> None:
        self.study = study_of(self.request, self.kwargs["slug"], self.operation.role)
        self.require_project(self.study.project, self.operation.role)
