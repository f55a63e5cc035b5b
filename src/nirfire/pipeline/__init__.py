"""Orchestration without numerics: what there is, what is to be done, and doing it."""
