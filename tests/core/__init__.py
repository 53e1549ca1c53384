"""The tests of antflow-core, a folder for each behaviour; those of the command lie beside them."""

import pytest

# Failures of its asserts are shown in full, like those of test modules.
pytest.register_assert_rewrite(f"{__name__}.command_parts")
