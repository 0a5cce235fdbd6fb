/* SPDX-License-Identifier: MIT */
/*
 * Sizes are rounded up to powers of two. Pieces are cut from chunks, and each size has a free list.
 * A piece that is larger than the largest of these sizes has a mapping of its own.
 */
#include "base/secret.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SECRET_MIN_BITS = 6,
    SECRET_MAX_BITS = 14,
    CHUNK_SIZE = 256 * 1024,
};

#ifdef __SANITIZE_ADDRESS__
enum { BY_MALLOC = 1 }; /* the sanitizer only knows the bounds of malloc()'s memory */
#else
enum { BY_MALLOC = 0 };
#endif

struct secret_piece {
    struct secret_piece *next;
};

static struct secret_piece *free_pieces[SECRET_MAX_BITS - SECRET_MIN_BITS + 1];
static uint8_t *chunk, *chunk_end; /* the part of the current chunk that is not cut yet */

static void *map_secret(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_DONTDUMP); /* if this fails, it is memory like any other */
    return memory;
}

static unsigned size_bits(size_t size)
{
    return size <= (size_t)1 << SECRET_MIN_BITS ? SECRET_MIN_BITS
                                                : 64 - (unsigned)__builtin_clzl(size - 1);
}

/* The rest of a chunk that is smaller than the piece is never used. */
static void *cut_piece(size_t size)
{
    if ((size_t)(chunk_end - chunk) < size) {
        uint8_t *fresh = map_secret(CHUNK_SIZE);
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
    unsigned bits = size_bits(size);
    if (BY_MALLOC)
        return malloc(size);
    if (bits > SECRET_MAX_BITS)
        return map_secret(size);
    struct secret_piece *piece = free_pieces[bits - SECRET_MIN_BITS];
    if (piece == NULL)
        return cut_piece((size_t)1 << bits);
    free_pieces[bits - SECRET_MIN_BITS] = piece->next;
    return piece;
}

void secret_free(void *memory, size_t size)
{
    unsigned bits = size_bits(size);
    if (memory == NULL)
        return;
    if (!BY_MALLOC &&
        bits > SECRET_MAX_BITS) { /* the kernel clears the pages before it reuses them */
        munmap(memory, size);
        return;
    }
    explicit_bzero(memory, size);
    if (BY_MALLOC) {
        free(memory);
        return;
    }
    struct secret_piece *piece = memory;
    piece->next = free_pieces[bits - SECRET_MIN_BITS];
    free_pieces[bits - SECRET_MIN_BITS] = piece;
}
