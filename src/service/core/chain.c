/* SPDX-License-Identifier: MIT */
#include "service/core/chain.h"

#include <stdlib.h>

#define STEP_POINTER(step) step,
static chain_step *const steps[] = {CHAIN_STEPS(STEP_POINTER)};
enum { NUM_STEPS = sizeof(steps) / sizeof(steps[0]) };

struct chain {
    struct chain_config config;
    struct grpc_interceptor interceptors[NUM_STEPS];
};

struct chain *chain_create(const struct chain_config *config)
{
    struct chain *chain = calloc(1, sizeof(*chain));
    if (chain == NULL)
        return NULL;
    chain->config = *config;
    for (size_t i = 0; i < NUM_STEPS; i++) {
        struct grpc_interceptor *step = &chain->interceptors[i];
        steps[i](step, &chain->config);
        if (step->start != NULL || step->end != NULL)
            grpc_server_add_interceptor(config->server, step);
    }
    return chain;
}

void chain_destroy(struct chain *chain)
{
    free(chain);
}
