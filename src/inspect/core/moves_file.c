/* SPDX-License-Identifier: MIT */
#include "inspect/core/moves_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/guard.h"
#include "inspect/core/lines.h"
#include "inspect/core/memory.h"
#include "inspect/core/record_merge.h"
#include "inspect/core/record_parser.h"

enum { LOOK_EVERY = 4096 }; /* lines, between two looks for a signal */

static int compare_moves(const void *a, const void *b)
{
    const struct move *x = a, *y = b;
    int order = memcmp(x->id, y->id, UUID_SIZE);
    return order != 0 ? order : x->line < y->line ? -1 : x->line > y->line;
}

/* Keeps the first line of each user. */
static void sort_moves(struct moves_file *file)
{
    size_t kept = 0;
    if (file->count != 0)
        qsort(file->all, file->count, sizeof(*file->all), compare_moves);
    for (size_t i = 0; i < file->count; i++)
        if (kept == 0 || memcmp(file->all[kept - 1].id, file->all[i].id, UUID_SIZE) != 0)
            file->all[kept++] = file->all[i];
    file->count = kept;
}

static void add_move(struct moves_file *file, const struct move *move)
{
    if (file->count == file->capacity) {
        file->capacity = file->capacity != 0 ? 2 * file->capacity : 1024;
        file->all = memory_check(reallocarray(file->all, file->capacity, sizeof(*file->all)));
    }
    file->all[file->count++] = *move;
}

static bool changes_keys(struct table_writer *writer, const struct record *record)
{
    struct shm_user user;
    bool changes = table_writer_find(writer, record->id, &user) == SHM_OK &&
                   record_has_other_keys(record, &user);
    shm_actor_offline(writer->actor);
    guard_progress();
    return changes;
}

void moves_gather(struct moves_file *file, struct table_writer *writer, uint64_t after)
{
    static struct lines lines;
    static struct record record;
    struct record_parser parser;
    enum lines_result result;
    const char *line;
    size_t len;
    uint64_t entries = 0;
    lines = (struct lines){
        .fd = file->fd, .from_start = true, .detect = true, .longest = RECORD_LINE_MAX};
    record_parser_init(&parser);
    parser.columns = file->columns;
    while (file->count < MOVES_MAX &&
           ((result = lines_next(&lines, &line, &len)) == LINES_READ || result == LINES_LONG)) {
        if (++entries % LOOK_EVERY == 0 && guard_stopped())
            break;
        if (result == LINES_LONG || lines.number <= after ||
            record_parse(&parser, line, len, &record, NULL) != RECORD_USER ||
            !changes_keys(writer, &record))
            continue;
        struct move move = {.line = lines.number,
                            .len = len,
                            .offset = lines.bytes - lines.end + (uint64_t)(line - lines.buffer)};
        memcpy(move.id, record.id, sizeof(move.id));
        add_move(file, &move);
    }
    explicit_bzero(&record, sizeof(record));
    explicit_bzero(&lines, sizeof(lines));
    record_parser_free(&parser);
    sort_moves(file);
}

struct move *move_find(const struct moves_file *file, const uint8_t id[UUID_SIZE])
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(file->all[middle].id, id, UUID_SIZE);
        if (order == 0)
            return &file->all[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool move_read(const struct moves_file *file, const struct move *move, struct record *record)
{
    static char bytes[RECORD_LINE_MAX];
    struct record_parser parser;
    if (pread(file->fd, bytes, move->len, (off_t)move->offset) != (ssize_t)move->len)
        return false;
    record_parser_init(&parser);
    parser.columns = file->columns;
    bool good = record_parse(&parser, bytes, move->len, record, NULL) == RECORD_USER &&
                memcmp(record->id, move->id, UUID_SIZE) == 0;
    record_parser_free(&parser);
    explicit_bzero(bytes, move->len);
    return good;
}
