"""Text to speech: Piper in windows, espeak-ng as the second engine, clauses out of a stream."""
