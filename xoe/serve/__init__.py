"""Putting the app together, starting and stopping it."""
