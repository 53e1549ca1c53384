"""Needs a package that its distribution does not name."""

import no_package_of_this_name  # type: ignore[import-not-found]


class Plugin:
    name = no_package_of_this_name
