import pytest
from django.core.cache import cache

from codecs_registry.models import Collection
from codecs_registry.tasks import encode_owed
from evaluation.api_models import Scope
from evaluation.api_tokens import make_token
from projects.access import default_project
from tests import factories
from tests.evaluation.api.calling import Caller


@pytest.fixture
def call(client, researcher, monkeypatch) -> Caller:
    monkeypatch.setattr(encode_owed, "delay", lambda: None)  # no worker listens
    cache.clear()
    return Caller(client, make_token(researcher, "notebook", list(Scope))[1])


@pytest.fixture
def sea() -> Collection:
    made = Collection.objects.create(name="sea", project=default_project())
    made.sources.add(factories.source_image(), factories.source_image())
    return made
