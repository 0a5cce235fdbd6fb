/* SPDX-License-Identifier: MIT */
#include "journal/data_memory.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/param.h>

static sqlite3_mem_methods base_memory; /* SQLite's own */

static void wipe_and_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, (size_t)base_memory.xSize(memory));
    base_memory.xFree(memory);
}

/* Not realloc(): it would leave the old bytes where they were. */
static void *copy_and_free(void *memory, int size)
{
    void *grown = base_memory.xMalloc(size);
    if (grown == NULL)
        return NULL;
    memcpy(grown, memory, (size_t)MIN(size, base_memory.xSize(memory)));
    wipe_and_free(memory);
    return grown;
}

void data_memory_configure(void)
{
    sqlite3_mem_methods wiping;
    if (base_memory.xMalloc != NULL) /* SQLite's own would be these */
        return;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &base_memory) != SQLITE_OK)
        return;
    wiping = base_memory;
    wiping.xFree = wipe_and_free;
    wiping.xRealloc = copy_and_free;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &wiping);
}
