"""The local language model: a fair queue, one worker thread, and reuse of what was read."""
