"""Hypothesis for the rules: a busy machine is no failing rule, and no files are left behind."""

from hypothesis import settings

settings.register_profile("rules", deadline=None, database=None)
settings.load_profile("rules")
