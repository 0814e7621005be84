"""The OpenAPI document: drf-spectacular's, from what each operation says of itself."""

import re
from functools import lru_cache

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from evaluation.api.idempotency import HEADER, LONGEST
from evaluation.api.operations import Operation
from evaluation.api.problems import KINDS, MEDIA_TYPE, Problem

PREFIX = "/api/v1"
LIMITS = {
    "RateLimit-Limit": "Requests a minute.",
    "RateLimit-Remaining": "How many of them are left.",
    "RateLimit-Reset": "In how many seconds all are back.",
}
ALWAYS = (401, 403, 406, 429)


class ApiSchema(AutoSchema):
    """Describes a method of an Endpoint."""

    @property
    def told(self) -> Operation:
        return self.handler.operation

    @property
    def handler(self):
        return getattr(self.view, self.method.lower())

    def get_operation(self, path, path_regex, path_prefix, method, registry) -> dict:
        found = super().get_operation(path, path_regex, path_prefix, method, registry)
        problem = self.resolve_serializer(Problem, "response").ref
        for status in self.errors():
            kind = KINDS[status]
            found["responses"][str(status)] = {
                "description": f"{kind.title}. {kind.help}".strip(),
                "content": {MEDIA_TYPE: {"schema": problem}},
                "headers": self._headers("Retry-After") if status == 429 else {},
            }
        for status, response in found["responses"].items():
            if status == "401":
                response["headers"] |= _header("WWW-Authenticate", "Bearer")
            else:
                for name, text in LIMITS.items():
                    response.setdefault("headers", {}).update(_header(name, text))
        if self.told.is_ranged:
            for status in ("206", "416"):
                found["responses"][status]["headers"] |= _header(
                    "Content-Range", "Which bytes, of how many.", required=True
                )
        if self.method == "GET":
            found["responses"]["200"]["headers"] |= _header(
                "ETag", "Of the content.", required=True
            )
            found["responses"]["304"] = {"description": "It is what If-None-Match names."}
        if self.told.scope:
            found["x-scope"] = str(self.told.scope)
        if self.told.role:
            found["x-role"] = str(self.told.role)
        return found

    def _headers(self, name: str) -> dict:
        return _header(name, "Seconds.", required=True)

    def errors(self) -> list[int]:
        """Every status of an error that can be answered."""
        told = self.told
        found = {*ALWAYS, *told.errors}
        if "{" in self.path or told.role:
            found.add(404)
        if told.query or told.takes:
            found.add(400)
        if told.takes:
            found |= {413, 415}
        if told.is_conditional:
            found.add(412)
        if told.is_idempotent:
            found |= {400, 413, 415, 422}
        return sorted(found)

    def get_operation_id(self) -> str:
        """As "studies_close_post": of its address and method."""
        words = re.sub(r"\{[^}]*\}", "one", self.path.removeprefix(PREFIX)).strip("/")
        return f"{re.sub('[^a-z]+', '_', words)}_{self.method.lower()}"

    def get_summary(self) -> str:
        return " ".join(_doc(self.handler).partition("\n\n")[0].split())

    def get_description(self) -> str:
        told = self.told
        needs = []
        if told.scope:
            needs.append(f"a token with the scope `{told.scope}`")
        if told.role:
            needs.append(f"the role {told.role} in the project")
        more = [" ".join(each.split()) for each in _doc(self.handler).split("\n\n")[1:]]
        return "\n\n".join([*more, *([f"Needs {' and '.join(needs)}."] if needs else [])])

    def get_tags(self) -> list[str]:
        return [self.view.tag]

    def get_auth(self) -> list[dict]:
        super().get_auth()  # it registers the schemes
        return [{"token": []}, {"cookieAuth": []}]

    def get_request_serializer(self):
        return self.told.takes

    def get_response_serializers(self):
        return {
            (status, self.told.media_type): OpenApiResponse(gives, description=_said(status))
            for status, gives in self.told.gives.items()
        }

    def get_override_parameters(self) -> list:
        told = self.told
        found = [told.query] if told.query else []
        if told.is_idempotent:
            found.append(
                OpenApiParameter(
                    HEADER,
                    {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!-~]+$"},
                    OpenApiParameter.HEADER,
                    description="Sent again with the same key within 24 hours, the request is "
                    "answered as before and not carried out twice.",
                )
            )
        if told.is_conditional:
            found.append(_tag("If-Match", "Change it only if this is still its ETag."))
        if told.is_ranged:
            found.append(_tag("Range", "`bytes=1000-`: from this byte on."))
            found.append(_tag("If-Range", "The whole file if this is not its ETag any more."))
        if self.method == "GET":
            found.append(_tag("If-None-Match", "304 if this is still its ETag."))
        return found


def _doc(handler) -> str:
    import inspect

    return inspect.getdoc(handler) or ""


def _said(status: int) -> str:
    return {
        200: "Done.",
        201: "Made.",
        202: "Taken on.",
        204: "Gone.",
        206: "The range that was asked for.",
    }[status]


def _header(name: str, text: str, *, required: bool = False) -> dict:
    kind = "integer" if name in LIMITS or name == "Retry-After" else "string"
    return {name: {"description": text, "schema": {"type": kind}, "required": required}}


def _tag(name: str, text: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text)


@lru_cache(maxsize=1)
def document() -> dict:
    """The whole OpenAPI document, as plain values. It is made once: nothing in it changes."""
    from evaluation.api.urls import urlpatterns_described

    return SchemaGenerator(patterns=urlpatterns_described()).get_schema(public=True)
