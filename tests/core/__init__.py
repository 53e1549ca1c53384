"""The tests of antflow-core: by source module, what they share, and the simulation they run on."""

import pytest

# What they share asserts, too: its failures say as much as those of the test modules.
pytest.register_assert_rewrite(
    *(f"{__name__}.{subject}_parts" for subject in ("command", "display", "hook", "run", "telling"))
)
