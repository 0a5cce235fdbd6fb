/* SPDX-License-Identifier: MIT */
#include "grpc/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/secret.h"

/* Bytes of a block. Each block is twice as large as the one before, so that an owner that needs
 * much calls malloc() seldom, up to the largest size, so that little is wasted. */
enum { FIRST_BLOCK = 1024, LARGEST_BLOCK = 64 * 1024 };

struct grpc_arena_block {
    struct grpc_arena_block *older;
    uint8_t *end;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t bytes[];
};
_Static_assert(sizeof(struct grpc_arena_block) % GRPC_ARENA_ALIGN == 0, "blocks stay aligned");

void grpc_arena_init(struct grpc_arena *arena, void *first, size_t len)
{
    static _Alignas(GRPC_ARENA_ALIGN) uint8_t none[GRPC_ARENA_ALIGN];
    assert((uintptr_t)first % GRPC_ARENA_ALIGN == 0);
    len &= ~(size_t)(GRPC_ARENA_ALIGN - 1);
    arena->next = arena->first = len != 0 ? first : none;
    arena->end = arena->first_end = arena->first + len;
    arena->blocks = NULL;
    arena->allocated = 0;
    arena->secret = false;
}

void *grpc_arena_alloc_block(struct grpc_arena *arena, size_t size)
{
    size_t block_size = FIRST_BLOCK;
    if (arena->blocks != NULL) {
        block_size = 2 * (size_t)(arena->blocks->end - (uint8_t *)arena->blocks);
        block_size = MIN(block_size, LARGEST_BLOCK);
    }
    struct grpc_arena_block *block = NULL;
    if (size <= SIZE_MAX / 2) {
        size = (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
        block_size = MAX(block_size, sizeof(*block) + size);
        block = arena->secret ? secret_alloc(block_size) : malloc(block_size);
    }
    if (block == NULL)
        return NULL;
    arena->allocated += block_size;
    block->older = arena->blocks;
    block->end = (uint8_t *)block + block_size;
    arena->blocks = block;
    arena->next = block->bytes + size;
    arena->end = block->end;
    return block->bytes;
}

void grpc_arena_clear(struct grpc_arena *arena, bool wipe)
{
    uint8_t *used_end = arena->next;
    for (struct grpc_arena_block *block = arena->blocks, *older; block != NULL; block = older) {
        uint8_t *block_end = block->end;
        older = block->older;
        if (wipe && !arena->secret) /* secret_free() overwrites by itself */
            explicit_bzero(block->bytes, (size_t)(used_end - block->bytes));
        used_end = older != NULL ? older->end : arena->first_end;
        if (arena->secret)
            secret_free(block, (size_t)(block_end - (uint8_t *)block));
        else
            free(block);
    }
    if (wipe)
        explicit_bzero(arena->first, (size_t)(used_end - arena->first));
    arena->blocks = NULL;
    arena->next = arena->first;
    arena->end = arena->first_end;
    arena->allocated = 0;
}
