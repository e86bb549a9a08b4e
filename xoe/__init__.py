"""Xoe-NovAi: a private assistant that answers from a person's own documents."""

__version__ = "0.1.0"
