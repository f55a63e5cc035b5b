"""Tests of the download from the archive."""
