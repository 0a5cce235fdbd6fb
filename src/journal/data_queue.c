/* SPDX-License-Identifier: MIT */
#include "journal/data_queue.h"

#include <string.h>

static const uint8_t *copy(struct data_queue *queue, const uint8_t *bytes, size_t length)
{
    uint8_t *to = queue->bytes + queue->used;
    if (length > 0)
        memcpy(to, bytes, length);
    queue->used += length;
    return to;
}

bool data_queue_add(struct data_queue *queue, const struct data_row *row)
{
    size_t room = sizeof(queue->bytes) - queue->used;
    if (queue->count == DATA_QUEUE_ROWS || row->body_len > room ||
        row->hidden_len > room - row->body_len)
        return false;
    struct data_row *to = &queue->rows[queue->count++];
    *to = *row;
    to->body = copy(queue, row->body, row->body_len);
    to->hidden = copy(queue, row->hidden, row->hidden_len);
    return true;
}

void data_queue_clear(struct data_queue *queue)
{
    queue->count = 0;
    queue->used = 0;
}
