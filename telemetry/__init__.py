"""Seeing inside: logging."""
