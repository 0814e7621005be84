from django.urls import path

from annotation import views

urlpatterns = [
    path("c/<str:token>/", views.welcome, name="welcome"),
    path("judge/<str:token>/", views.judge, name="judge"),
    path("judge/<str:token>/next", views.NextAssignments.as_view(), name="next-assignments"),
    path("judge/<str:token>/judgments", views.Judge.as_view(), name="judgments"),
    path("judge/<str:token>/give-back", views.GiveBack.as_view(), name="give-back"),
    path("stimuli/<str:token>/<str:position>.png", views.stimulus, name="stimulus"),
]
