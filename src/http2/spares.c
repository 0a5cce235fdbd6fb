/* SPDX-License-Identifier: MIT */
#include "http2/spares.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *http2_spares_take(struct http2_spares *spares, size_t size)
{
    void *memory = spares->first;
    if (memory == NULL) {
        assert(size >= sizeof(void *));
        return malloc(size);
    }
    memcpy(&spares->first, memory, sizeof(void *));
    spares->count--;
    return memory;
}

void http2_spares_give(struct http2_spares *spares, void *memory)
{
    if (spares->count == spares->max) {
        free(memory);
        return;
    }
    memcpy(memory, &spares->first, sizeof(void *));
    spares->first = memory;
    spares->count++;
}

void http2_spares_dispose(struct http2_spares *spares)
{
    while (spares->first != NULL) {
        void *memory = spares->first;
        memcpy(&spares->first, memory, sizeof(void *));
        free(memory);
    }
    spares->count = 0;
}
