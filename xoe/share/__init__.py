"""Sharing the running app by a link: a tunnel, the listener it leads to, and an invitation."""
