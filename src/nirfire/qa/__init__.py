"""Figures, measures and the HTML report, made from the products on disk."""
