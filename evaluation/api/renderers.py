"""What is not JSON: files, sent as they are."""

from rest_framework.renderers import BaseRenderer


def renderer_of(media_type: str) -> type[BaseRenderer]:
    """By which an endpoint says that it answers in a format; the answer itself is made already."""
    return type("FileRenderer", (BaseRenderer,), {"media_type": media_type, "format": "file"})
