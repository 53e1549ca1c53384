"""Tests meet no plugin but those that they bring, whatever is installed beside antflow."""

import os

os.environ["ANTFLOW_PLUGIN_AUTOLOAD"] = "0"
