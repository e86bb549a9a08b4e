"""Sharing the running app by a link: a tunnel, the door it leads to, and an invitation."""
