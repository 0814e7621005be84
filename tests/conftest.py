"""What every test has: a profile for Hypothesis, the test database, a researcher."""

import os

import pytest
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from hypothesis import HealthCheck, settings

from projects.access import default_project
from projects.models import Membership
from projects.roles import Role

everywhere = settings(
    deadline=None,  # machines differ, and no test asserts a time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# `make test` says the same of the same code, every time; `make fuzz` looks where nobody looked yet.
settings.register_profile("closer", everywhere, derandomize=True)
settings.register_profile("fuzz", everywhere)
settings.load_profile(os.environ.get("CLOSER_HYPOTHESIS", "closer"))


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_modify_db_settings, django_db_blocker):
    """The test database, for every test that asks for it.

    pytest-django makes it for tests that are marked; those that commit, and so are not, would write
    to and delete from the real one if they ran alone.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
        if "DATABASE_URL" not in os.environ:
            # It sees none of what a test writes and takes back, so that it would tell the planner
            # that tables are empty; joins of a thousand rows then take minutes.
            with connection.cursor() as cursor:
                cursor.execute("ALTER SYSTEM SET autovacuum = off")
                cursor.execute("SELECT pg_reload_conf()")
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def researcher(django_user_model, settings):
    # The default hasher is slow by design, and no test is about it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    made = django_user_model.objects.create_user("researcher", password="a long password")
    Membership.objects.create(project=default_project(), user=made, role=Role.OWNER)
    return made


@pytest.fixture
def as_researcher(client, researcher):
    """A browser in which the researcher is signed in."""
    client.force_login(researcher)
    return client
