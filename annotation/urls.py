from django.urls import path, register_converter

from annotation import views


class TokenConverter:
    """What models.new_token makes; anything else is no address of ours."""

    regex = "[A-Za-z0-9_-]{1,40}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(TokenConverter, "token")

urlpatterns = [
    path("c/<token:token>/", views.welcome, name="welcome"),
    path("judge/<token:token>/", views.judge, name="judge"),
    path("judge/<token:token>/next", views.NextAssignments.as_view(), name="next-assignments"),
    path("judge/<token:token>/judgments", views.Judge.as_view(), name="judgments"),
    path("judge/<token:token>/give-back", views.GiveBack.as_view(), name="give-back"),
    path("stimuli/<token:token>/<str:position>.png", views.stimulus, name="stimulus"),
]
