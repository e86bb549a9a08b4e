"""Text as it is written, turned into text as it is said."""
