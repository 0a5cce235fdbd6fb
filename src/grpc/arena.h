/* SPDX-License-Identifier: MIT */
/*
 * Memory that lives as long as its owner, a call for example. An allocation only moves a pointer;
 * everything is freed at once. The first bytes lie inside the owner, so that an idle call costs no
 * further block. For one thread.
 */
#ifndef ROSTERD_GRPC_ARENA_H
#define ROSTERD_GRPC_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_arena_block;

/** Its members belong to arena.c, but for `allocated` (to read) and `secret` (to set). */
struct grpc_arena {
    uint8_t *next, *end;             /* what is free of the newest block */
    struct grpc_arena_block *blocks; /* newest first */
    uint8_t *first, *first_end;      /* the bytes inside the owner */
    size_t allocated;                /* bytes of all blocks */
    bool secret;                     /* blocks are left out of core dumps (base/secret.h) */
};

enum { GRPC_ARENA_ALIGN = 16 };

/** Makes an empty arena. Its blocks come from malloc(), or from secret_alloc() if the caller sets
 * `secret` before the first allocation.
 * @param first the bytes inside the owner, aligned to GRPC_ARENA_ALIGN; NULL with len 0: none */
void grpc_arena_init(struct grpc_arena *arena, void *first, size_t len);
/** The slow path of grpc_arena_alloc(): allocates a further block. */
void *grpc_arena_alloc_block(struct grpc_arena *arena, size_t size);
/** @return memory aligned to GRPC_ARENA_ALIGN, not zeroed; NULL: out of memory */
static inline void *grpc_arena_alloc(struct grpc_arena *arena, size_t size)
{
    /* The ends of blocks are aligned, so a size that fits also fits when rounded up. */
    if (size > (size_t)(arena->end - arena->next))
        return grpc_arena_alloc_block(arena, size);
    void *p = arena->next;
    arena->next += (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
    return p;
}
/** Frees all allocations. The arena can be used again.
 * @param wipe every byte that was handed out is overwritten first */
void grpc_arena_clear(struct grpc_arena *arena, bool wipe);

#endif
