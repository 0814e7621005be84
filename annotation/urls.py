from django.urls import path, register_converter

from annotation import endpoints, views
from annotation.links import TokenConverter

register_converter(TokenConverter, "token")

urlpatterns = [
    path("c/<token:token>/", views.welcome, name="welcome"),
    path("judge/<token:token>/", views.judge, name="judge"),
    path("judge/<token:token>/screen", views.screen, name="screen"),
    path("judge/<token:token>/data", views.my_data, name="my-data"),
    path("judge/<token:token>/data.json", views.my_data_json, name="my-data-json"),
    path("judge/<token:token>/next", endpoints.NextAssignments.as_view(), name="next-assignments"),
    path("judge/<token:token>/judgments", endpoints.Judge.as_view(), name="judgments"),
    path("judge/<token:token>/give-back", endpoints.GiveBack.as_view(), name="give-back"),
    path("words.js", views.words, name="words"),
    path("stimuli/<token:token>/<str:position>", views.stimulus, name="stimulus"),
]
