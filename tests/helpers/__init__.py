"""What several tests share: an event loop with virtual time, runs, observers and plugins."""

import pytest

# Failures of their asserts are shown in full, like those of test modules.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("channel_script", "displays", "events", "hooks", "runs"))
)
