/* A build of llama.cpp that fails in one way (FAULT) where a real one would: in the first batch of
   more than one token.

   Linked before a real build's library, whose own calls of ggml_graph_compute come here then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

enum { AMX = 1, SEGV = 2, HANG = 3, NONSENSE = 4, KILL = 5 };

struct ggml_tensor;
struct ggml_cgraph;
int ggml_graph_n_nodes(struct ggml_cgraph *graph);
struct ggml_tensor *ggml_graph_node(struct ggml_cgraph *graph, int i);
const char *ggml_op_desc(const struct ggml_tensor *tensor);
int64_t ggml_nrows(const struct ggml_tensor *tensor);
int64_t ggml_nelements(const struct ggml_tensor *tensor);
float *ggml_get_data_f32(const struct ggml_tensor *tensor);

/* The first rows that are fetched are the tokens' embeddings. */
static int reads_several_tokens(struct ggml_cgraph *graph)
{
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++)
        if (!strcmp(ggml_op_desc(ggml_graph_node(graph, i)), "GET_ROWS"))
            return ggml_nrows(ggml_graph_node(graph, i)) > 1;
    return 0;
}

int ggml_graph_compute(struct ggml_cgraph *graph, void *plan)
{
    int (*real)(struct ggml_cgraph *, void *) = dlsym(RTLD_NEXT, "ggml_graph_compute");
    if (!reads_several_tokens(graph))
        return real(graph, plan);
    if (FAULT == AMX) {
#ifdef __x86_64__
        __asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x24"); /* tileloadd (%rsp), %tmm0 */
#else
        __builtin_trap();
#endif
    }
    if (FAULT == SEGV)
        *(volatile int *)8 = 1;
    if (FAULT == KILL)
        raise(SIGKILL);
    while (FAULT == HANG)
        ;
    int status = real(graph, plan);
    if (FAULT == NONSENSE) {
        struct ggml_tensor *last = ggml_graph_node(graph, -1);
        for (int64_t i = 0; i < ggml_nelements(last); i++)
            ggml_get_data_f32(last)[i] = NAN;
    }
    return status;
}
