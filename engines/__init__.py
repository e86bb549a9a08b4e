"""The processes that native engines live in, and their protocol."""
