"""The OpenAPI document as chapters that a page shows."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of a body. place : path, query, header or body."""

    name: str
    place: str
    kind: str
    is_required: bool
    text: str


@dataclass(frozen=True)
class Described:
    """An operation: its anchor, its address, what is sent and what comes back."""

    anchor: str
    method: str
    path: str
    title: str
    text: str
    scope: str
    role: str
    fields: list[Field]
    answers: list[tuple[str, str, list[Field]]]
    errors: list[str]
    curl: str


def chapters(document: dict, *, address: str) -> list[tuple[str, list[Described]]]:
    """(tag, its operations in the order of their addresses), tags in the order of the document."""
    found: dict[str, list[Described]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            described = _described(document, path, method, operation, address)
            found.setdefault(operation["tags"][0], []).append(described)
    return list(found.items())


def _described(document: dict, path: str, method: str, operation: dict, address: str) -> Described:
    parameters = operation.get("parameters", [])
    fields = [
        Field(
            each["name"],
            each["in"],
            _kind(document, each["schema"]),
            each.get("required", False),
            each.get("description", ""),
        )
        for each in parameters
    ]
    content = operation.get("requestBody", {}).get("content", {})
    body = next(iter(content.values()), {}).get("schema", {})
    fields += _fields(document, body, "body")
    answers, errors = [], []
    for status, response in sorted(operation["responses"].items()):
        if status >= "300":
            errors.append(status)
            continue
        schema = next(iter(response.get("content", {}).values()), {}).get("schema", {})
        answers.append((status, response["description"], _fields(document, schema, "answer")))
    return Described(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation.get("summary", ""),
        text=operation.get("description", "").partition("Needs a token")[0].strip(),
        scope=operation.get("x-scope", ""),
        role=operation.get("x-role", ""),
        fields=fields,
        answers=answers,
        errors=errors,
        curl=_curl(document, path, method, parameters, content, address),
    )


def _resolved(document: dict, schema: dict) -> dict:
    """A schema with its reference followed."""
    for part in (schema, *schema.get("allOf", [])):
        if "$ref" in part:
            return document["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return schema


def _fields(document: dict, schema: dict, place: str) -> list[Field]:
    """The fields of an object; of a page of them, those of an item."""
    found = _resolved(document, schema)
    properties = found.get("properties", {})
    if set(properties) == {"items", "next"} or set(properties) == {"items"}:
        items = _fields(document, properties["items"]["items"], place)
        return [
            Field(f"items[].{each.name}", place, each.kind, each.is_required, each.text)
            for each in items
        ]
    required = found.get("required", [])
    return [
        Field(name, place, _kind(document, inner), name in required, inner.get("description", ""))
        for name, inner in properties.items()
    ]


def _kind(document: dict, schema: dict) -> str:
    found = _resolved(document, schema)
    if "enum" in found:
        return " or ".join(str(each) for each in found["enum"])
    if found.get("type") == "array":
        return f"list of {_kind(document, found['items'])}"
    kind = {"binary": "file", "date-time": "time (ISO 8601)", "uuid": "UUID"}.get(
        found.get("format", ""), found.get("type", "any")
    )
    return f"{kind} or null" if found.get("nullable") else kind


def _curl(
    document: dict, path: str, method: str, parameters: list, content: dict, address: str
) -> str:
    """How it is called from a shell."""
    asked = [
        f"{each['name']}={_example(document, each['schema'])}"
        for each in parameters
        if each["in"] == "query" and each.get("required")
    ]
    target = f"{address}{path}{'?' if asked else ''}{'&'.join(asked)}"
    lines = ['curl -H "Authorization: Bearer $CLOSER_TOKEN"']
    if method != "get":
        lines[0] += f" -X {method.upper()}"
    if "application/json" in content:
        body = _resolved(document, content["application/json"]["schema"])
        required = body.get("required") or list(body.get("properties", {}))[:1]
        example = {name: _example(document, body["properties"][name]) for name in required}
        sent = json.dumps(example, ensure_ascii=False)
        lines.append(f"-H 'Content-Type: application/json' -d '{sent}'")
    elif content:
        body = _resolved(document, next(iter(content.values()))["schema"])
        lines += [f"-F {name}=@picture.png" for name in body.get("required", [])]
    lines.append(f"'{target}'")
    return " \\\n  ".join(lines)


def _example(document: dict, schema: dict) -> object:
    found = _resolved(document, schema)
    if "enum" in found:
        return found["enum"][0]
    kind = found.get("type")
    if kind == "array":
        return [_example(document, found["items"])]
    return {"integer": 1, "number": 0.5, "boolean": True, "object": {}}.get(kind, "…")
