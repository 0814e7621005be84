"""Calls of the API as programs make them."""

import json


class Caller:
    """Calls the API with a token."""

    def __init__(self, client, secret: str) -> None:
        self.client, self.secret = client, secret

    def __call__(self, method: str, path: str, body=None, **headers: str):
        return self.client.generic(
            method,
            f"/api/v1/{path}",
            b"" if body is None else body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.secret}"} | headers,
        )


def problem(response, status: int) -> dict:
    """The problem that a response tells, whose form is right."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status
    assert told["type"].startswith("/api/v1/docs#")
    assert told["title"]
    assert told["detail"]
    return told
