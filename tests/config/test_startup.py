"""Every process of Closer and every command loads all pages and tasks first: what that takes."""

import subprocess
import sys

HEAVY = ("altair", "av", "imagecodecs", "onnxruntime", "pyarrow", "scipy.linalg", "scipy.special")
LOADED = f"""
import sys, django
django.setup()
import config.celery, config.urls
config.celery.app.loader.import_default_modules()
print(*(name for name in {(*HEAVY, "torch", "vl_convert")} if name in sys.modules))
"""


def test_nothing_heavy_is_loaded_before_somebody_asks_for_it():
    found = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
