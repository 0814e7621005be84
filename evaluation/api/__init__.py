"""The API, /api/v1/: what the pages do, for programs (docs/api.md).

A view here is an Endpoint (endpoint.py) whose methods say by @operation what they need, take and
give. From that alone come who may call it, its place in the OpenAPI document, idempotency and the
documented errors; ETags, limits and problem+json come with the Endpoint.
"""
