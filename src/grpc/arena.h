/* SPDX-License-Identifier: MIT */
/*
 * Memory that lives as long as its owner (a call): allocation is a pointer
 * bump, freeing happens at once for all. The first bytes lie inside the owner,
 * so an idle call costs no block. Not for several threads.
 */
#ifndef ROSTERD_GRPC_ARENA_H
#define ROSTERD_GRPC_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_arena_block;

struct grpc_arena {
    uint8_t *next, *end;
    struct grpc_arena_block *blocks; /* newest first */
    uint8_t *first, *first_end;      /* the owner's own bytes, to start over */
    size_t allocated;                /* bytes of the blocks */
    bool secret;                     /* blocks are left out of core dumps */
};

enum { GRPC_ARENA_ALIGN = 16 };

/** @param first memory of the owner's, aligned to GRPC_ARENA_ALIGN, may be NULL with len 0. Blocks
 * are malloc's; with `secret` set afterwards, http2/secret.h's. */
void grpc_arena_init(struct grpc_arena *arena, void *first, size_t len);
/** The slow half of grpc_arena_alloc(): a further block. */
void *grpc_arena_alloc_block(struct grpc_arena *arena, size_t size);
/** 16-byte aligned, not zeroed; NULL when memory is exhausted. */
static inline void *grpc_arena_alloc(struct grpc_arena *arena, size_t size)
{
    /* Block ends are aligned, so what fits unrounded fits rounded. */
    if (size > (size_t)(arena->end - arena->next))
        return grpc_arena_alloc_block(arena, size);
    void *p = arena->next;
    arena->next += (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
    return p;
}
/** Frees all blocks; with wipe every byte that was handed out is overwritten first. */
void grpc_arena_clear(struct grpc_arena *arena, bool wipe);

#endif
