"""Exposures from the archive: what a program has, and getting it here whole."""
