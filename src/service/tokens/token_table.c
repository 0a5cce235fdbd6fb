/* SPDX-License-Identifier: MIT */
#include "service/tokens/token_table.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

/* The shortest line is "t n\n": so the tokens are at most a quarter of the file's bytes, and each
 * takes at least 8 bytes of text. A digest takes 40, and its line has more than 64. */
struct token_table *token_table_create(size_t file_size)
{
    size_t slots = 16;
    while (slots < file_size / 2) /* twice the most tokens */
        slots *= 2;
    size_t head = (sizeof(struct token_table) + 63) & ~(size_t)63,
           texts = slots * sizeof(struct token);
    size_t size = head + texts + 4 * file_size + 64;
    struct token_table *table =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    madvise(table, size, MADV_DONTDUMP);
    table->size = size;
    table->mask = slots - 1;
    table->slots = (struct token *)(void *)((char *)table + head);
    table->text = (char *)table->slots + texts;
    if (getrandom(table->secret, TOKEN_SECRET_SIZE, 0) == TOKEN_SECRET_SIZE)
        return table;
    int error = errno;
    munmap(table, size);
    errno = error;
    return NULL;
}

void token_table_destroy(struct token_table *table)
{
    if (table == NULL)
        return;
    explicit_bzero(table->text, table->size - (size_t)(table->text - (char *)table));
    munmap(table, table->size);
}

void token_table_add(struct token_table *table, const void *bytes, const struct token *token)
{
    size_t len = token->len == TOKEN_IS_DIGEST ? TOKEN_DIGEST_SIZE : token->len;
    uint64_t hash = token_table_hash(table, bytes, len);
    size_t slot = hash & table->mask;
    assert(token->name != NULL && table->count < table->mask);
    while (table->slots[slot].name != NULL)
        slot = (slot + 1) & table->mask;
    size_t at = table->text_len;
    assert(at + len < table->size - (size_t)(table->text - (char *)table));
    memcpy(table->text + at, bytes, len);
    table->text_len += (len + 8) & ~(size_t)7; /* a whole number of words, one NUL at least */
    table->slots[slot] = *token;
    table->slots[slot].hash = hash;
    table->slots[slot].at = (uint32_t)at;
    table->count++;
}
