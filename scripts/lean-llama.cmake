# Read by llama.cpp's build right after its project() line (see scripts/sync).

# The Python package switches llama.cpp's helper library on by force, though nothing in it is used
# from Python; a normal variable wins over that cache entry, and the build takes half the time.
set(LLAMA_BUILD_COMMON OFF)

# Of the variants for processors those that differ in speed; engines/llama_build.py knows them. Each
# takes half a minute of a core. GCC knows AMX and AVX-VNNI from version 11 on.
set(XOE_VARIANTS
    sapphirerapids cascadelake skylakex alderlake haswell sandybridge sse42
    armv8.6_1 armv8.2_2 armv8.2_1 armv8.0_1)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-mamx-int8 XOE_KNOWS_AMX)
if(NOT XOE_KNOWS_AMX)
    list(REMOVE_ITEM XOE_VARIANTS sapphirerapids)
endif()
check_cxx_compiler_flag(-mavxvnni XOE_KNOWS_AVX_VNNI)
if(NOT XOE_KNOWS_AVX_VNNI)
    list(REMOVE_ITEM XOE_VARIANTS alderlake)
endif()

# The function that adds a variant is first called right after this switch is read. What a function
# of the same name replaces is kept with an underscore before it.
function(xoe_choose_variants variable access)
    if(COMMAND ggml_add_cpu_backend_variant AND NOT COMMAND _ggml_add_cpu_backend_variant)
        function(ggml_add_cpu_backend_variant tag)
            if(tag IN_LIST XOE_VARIANTS)
                _ggml_add_cpu_backend_variant(${tag} ${ARGN})
            endif()
        endfunction()
    endif()
endfunction()
variable_watch(GGML_CPU_ALL_VARIANTS xoe_choose_variants)
