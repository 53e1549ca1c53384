"""Tests meet no plugin but those that they bring, and are never too late for a busy machine."""

import os

from hypothesis import settings

os.environ["ANTFLOW_PLUGIN_AUTOLOAD"] = "0"
settings.register_profile("antflow", deadline=None)
settings.load_profile("antflow")
