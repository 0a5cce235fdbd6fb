/* SPDX-License-Identifier: MIT */
#include "journal/data_held.h"

#include <stdlib.h>
#include <string.h>

bool data_held_take(struct data_held *held, const void *data, int len, int64_t offset)
{
    if (held->bytes == NULL)
        held->bytes = malloc(DATA_HELD_MAX);
    if (held->bytes == NULL || len > DATA_HELD_MAX - held->len ||
        (held->len != 0 && offset != held->offset + held->len))
        return false;
    if (held->len == 0)
        held->offset = offset;
    memcpy(held->bytes + held->len, data, (size_t)len);
    held->len += len;
    return true;
}

void data_held_drop(struct data_held *held)
{
    free(held->bytes);
    *held = (struct data_held){0};
}
