"""Chats that are kept: their messages, citations, search and export."""
