/* SPDX-License-Identifier: MIT */
/*
 * Powers of two are cut from chunks, and wait in a list each for their next use; what is larger has
 * a mapping of its own.
 */
#include "base/secret.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    LEAST_BITS = 6,
    MOST_BITS = 14,
    CHUNK_SIZE = 256 * 1024,
};

#ifdef __SANITIZE_ADDRESS__
enum { BY_MALLOC = 1 }; /* it knows the bounds of malloc()'s memory alone */
#else
enum { BY_MALLOC = 0 };
#endif

struct piece {
    struct piece *next;
};

static struct piece *waiting[MOST_BITS - LEAST_BITS + 1];
static uint8_t *chunk, *chunk_end; /* what is not cut yet */

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_DONTDUMP); /* where it fails it is memory like other */
    return memory;
}

static unsigned bits_of(size_t size)
{
    return size <= (size_t)1 << LEAST_BITS ? LEAST_BITS : 64 - (unsigned)__builtin_clzl(size - 1);
}

/* What is left of the last chunk is less than a piece: it is forgotten. */
static void *cut(size_t size)
{
    if ((size_t)(chunk_end - chunk) < size) {
        uint8_t *fresh = map(CHUNK_SIZE);
        if (fresh == NULL)
            return NULL;
        chunk = fresh;
        chunk_end = fresh + CHUNK_SIZE;
    }
    void *piece = chunk;
    chunk += size;
    return piece;
}

void *secret_alloc(size_t size)
{
    unsigned bits = bits_of(size);
    if (BY_MALLOC)
        return malloc(size);
    if (bits > MOST_BITS)
        return map(size);
    struct piece *piece = waiting[bits - LEAST_BITS];
    if (piece == NULL)
        return cut((size_t)1 << bits);
    waiting[bits - LEAST_BITS] = piece->next;
    return piece;
}

void secret_free(void *memory, size_t size)
{
    unsigned bits = bits_of(size);
    if (memory == NULL)
        return;
    if (!BY_MALLOC && bits > MOST_BITS) { /* the kernel shows its pages to nobody */
        munmap(memory, size);
        return;
    }
    explicit_bzero(memory, size);
    if (BY_MALLOC) {
        free(memory);
        return;
    }
    struct piece *piece = memory;
    piece->next = waiting[bits - LEAST_BITS];
    waiting[bits - LEAST_BITS] = piece;
}
