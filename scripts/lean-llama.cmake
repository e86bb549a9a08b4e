# Read by llama.cpp's build right after its project() line (see scripts/sync). The Python package
# switches llama.cpp's helper library on by force, though nothing in it is used from Python; a
# normal variable wins over that cache entry, and the build takes half the time.
set(LLAMA_BUILD_COMMON OFF)
