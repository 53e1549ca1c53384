"""Dashboards and progress."""
