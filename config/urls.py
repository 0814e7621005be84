from django.contrib.auth.views import LogoutView
from django.urls import include, path

from evaluation.views import SignIn

urlpatterns = [
    path("sign-in", SignIn.as_view(), name="login"),
    path("sign-out", LogoutView.as_view(), name="logout"),
    path("", include("codecs_registry.urls")),
    path("", include("annotation.urls")),
    path("", include("evaluation.urls")),
]
