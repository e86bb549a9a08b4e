"""The voice: audio frames, speech detection, speech to text, text to speech and the call itself."""
