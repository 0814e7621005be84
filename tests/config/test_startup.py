"""Every process of Closer and every command loads all pages, tasks and codecs first."""

import subprocess
import sys

HEAVY = ("altair", "onnxruntime", "pyarrow", "scipy.linalg", "scipy.special", "torch", "vl_convert")
LOADED = f"""
import sys, django
django.setup()
import config.celery, config.urls
config.celery.app.loader.import_default_modules()
from codecs_registry.codecs import all_codecs
for codec in all_codecs().values(): codec.unavailable()
print(*(name for name in {HEAVY} if name in sys.modules))
"""


def test_nothing_heavy_is_loaded_before_somebody_asks_for_it():
    found = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
