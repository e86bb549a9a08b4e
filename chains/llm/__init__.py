"""The local language model: a fair queue, one worker thread, and reuse of what was read."""

import os

# llama.cpp's threads meet some hundred times for each token, and GNU OpenMP lets them spin for
# milliseconds at each meeting. Where anything else wants the processor, the one that is waited
# for cannot run while the other spins: writing fell from 33 to 1–4 tokens a second next to a
# busy process on two cores, and to 14–26 with this; alone, both gave the same. It is read when
# the library is loaded, so it stands here, before anything imports it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
