/* SPDX-License-Identifier: MIT */
#include "inspect/core/capacity.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "inspect/core/guard.h"
#include "inspect/core/lines.h"
#include "inspect/core/record_parser.h"

static bool is_new(struct table_writer *writer, const struct record *record)
{
    struct shm_user user;
    bool found = table_writer_find(writer, record->id, &user) == SHM_OK;
    shm_actor_offline(writer->actor);
    guard_progress();
    return !found;
}

/* Counts the users of the dump that are not in the table. Lines that load will refuse do not
 * count. */
static uint64_t count_new(struct table_writer *writer, int fd)
{
    static struct lines lines;
    static struct record record;
    struct record_parser parser;
    enum lines_result result;
    uint64_t count = 0;
    const char *line;
    size_t len;
    lines = (struct lines){
        .fd = fd, .from_start = true, .longest = RECORD_LINE_MAX, .wait = guard_wait_readable};
    record_parser_init(&parser);
    while ((result = lines_next(&lines, &line, &len)) == LINES_READ || result == LINES_LONG)
        if (result == LINES_READ &&
            record_parse(&parser, line, len, &record, NULL) == RECORD_USER &&
            is_new(writer, &record))
            count++;
    record_parser_free(&parser);
    explicit_bzero(&record, sizeof(record)); /* it may have secrets */
    explicit_bzero(&lines, sizeof(lines));
    return count;
}

static bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

bool capacity_check_dump(struct table_writer *writer, int fd, uint64_t users, struct fault *fault)
{
    struct shm_info info;
    shm_store_info(writer->store, &info);
    if (users > info.max_users)
        return fault_set(fault, "the dump has %" PRIu64 " users, but max-users is %" PRIu64, users,
                         info.max_users);
    uint64_t room = table_writer_room(writer);
    if (users <= room || !is_regular(fd))
        return true;
    uint64_t fresh = count_new(writer, fd);
    if (fresh <= room)
        return true;
    return fault_set(fault,
                     "%" PRIu64
                     " users of the dump are new, but the table has room for only %" PRIu64
                     " (max-users)",
                     fresh, room);
}
