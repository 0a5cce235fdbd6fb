/* SPDX-License-Identifier: MIT */
#include "grpc/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

/* Blocks double from the first size on, so that a call which needs much asks
 * malloc seldom, and stop doubling at the last, so that it wastes little. */
enum { FIRST_BLOCK = 1024, LAST_BLOCK = 64 * 1024 };

struct grpc_arena_block {
    struct grpc_arena_block *older;
    uint8_t *end;
    _Alignas(GRPC_ARENA_ALIGN) uint8_t bytes[];
};
_Static_assert(sizeof(struct grpc_arena_block) % GRPC_ARENA_ALIGN == 0, "blocks stay aligned");

void grpc_arena_init(struct grpc_arena *arena, void *first, size_t len)
{
    static _Alignas(GRPC_ARENA_ALIGN) uint8_t none[GRPC_ARENA_ALIGN];

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
        if (block_size > LAST_BLOCK)
            block_size = LAST_BLOCK;
    }
    struct grpc_arena_block *block = NULL;
    if (size <= SIZE_MAX / 2) {
        size = (size + GRPC_ARENA_ALIGN - 1) & ~(size_t)(GRPC_ARENA_ALIGN - 1);
        if (block_size < sizeof(*block) + size)
            block_size = sizeof(*block) + size;
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
        if (wipe && !arena->secret) /* else to free it is enough */
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
