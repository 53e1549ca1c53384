"""The kit for those who write plugins: runs with the plugins named, and checks of a plugin."""

from ._clock import Clock, StuckError

__all__ = ["Clock", "StuckError"]
