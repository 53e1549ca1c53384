"""The modules of antflow-core that have rules of their own."""

import pytest

# Its failures say as much as those of the test modules.
pytest.register_assert_rewrite(f"{__name__}.channel_script")
