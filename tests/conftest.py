"""The cast that plays in every test: a researcher, two annotators, an outsider."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "closer",
    deadline=None,  # machines differ, and no test asserts a time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("closer")


@pytest.fixture
def researcher(django_user_model, settings):
    # The default hasher is slow by design, and no test is about it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return django_user_model.objects.create_user("researcher", password="a long password")


@pytest.fixture
def as_researcher(client, researcher):
    """A browser in which the researcher is signed in."""
    client.force_login(researcher)
    return client
