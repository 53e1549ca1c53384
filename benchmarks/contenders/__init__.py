"""The contenders: one small program for each, written as its documentation recommends."""

from benchmarks.contenders.registry import CONTENDERS, Contender

__all__ = ["CONTENDERS", "Contender"]
