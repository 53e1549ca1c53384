"""Inputs, and items that are fed while a pipeline runs."""
