"""Reverse tunnels: how a server at home is reached from outside."""
