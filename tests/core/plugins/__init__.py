"""Plugins: installed, given, validated and named."""
