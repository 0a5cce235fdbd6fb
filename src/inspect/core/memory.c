/* SPDX-License-Identifier: MIT */
#include "inspect/core/memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "inspect/core/report.h"

static void (*before_message)(void);

void memory_before_message(void (*prepare)(void))
{
    before_message = prepare;
}

void memory_exhausted(void)
{
    if (before_message != NULL)
        before_message();
    fputs("shm-inspect: out of memory\n", stderr);
    exit(INSPECT_FAILED);
}

void *memory_check(void *pointer)
{
    if (pointer == NULL)
        memory_exhausted();
    return pointer;
}

void *memory_new_array(size_t count, size_t size)
{
    return memory_check(calloc(count, size));
}
