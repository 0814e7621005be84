from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views import csrf, defaults

from annotation.languages import in_their_language
from config import appearance, health, operations_views
from config.metrics import metrics
from projects.views import SignIn

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("prometheus", metrics, name="prometheus"),
    path("operations", operations_views.page, name="operations"),
    path("operations/retry/<str:kind>", operations_views.retry, name="operations-retry"),
    path("operations/free/<str:kind>", operations_views.free, name="operations-free"),
    path("sign-in", SignIn.as_view(), name="login"),
    path("sign-out", LogoutView.as_view(), name="logout"),
    path("appearance", appearance.choose, name="appearance"),
    path("", include("projects.urls")),
    path("", include("annotation.urls")),
    path("", include("evaluation.urls")),
    # Last, since a codec may have any name: codecs/downstream/ is another page.
    path("", include("codecs_registry.urls")),
]

# Annotators meet these, too.
handler403 = in_their_language(defaults.permission_denied)
handler404 = in_their_language(defaults.page_not_found)
handler500 = in_their_language(defaults.server_error)
csrf_failure = in_their_language(csrf.csrf_failure)
