/* SPDX-License-Identifier: MIT */
#include "inspect/core/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "inspect/core/guard.h"
#include "inspect/core/lines.h"
#include "inspect/core/record.h"

static bool is_new(struct writer *writer, const struct record *record)
{
    struct shm_user user;
    bool found = shm_user_find(writer->actor, record->id, &user) == SHM_OK;

    shm_actor_offline(writer->actor);
    guard_progress();
    return !found;
}

/* Lines that load will refuse are no users here. */
static uint64_t count_new(struct writer *writer, int fd)
{
    static struct lines lines;
    static struct record record;
    struct record_parser parser;
    enum lines_result result;
    uint64_t count = 0;
    const char *line;
    size_t len;

    lines = (struct lines){
        .fd = fd, .beside = true, .longest = RECORD_LINE_MAX, .wait = guard_readable};
    record_parser_init(&parser);
    while ((result = lines_next(&lines, &line, &len)) == LINES_READ || result == LINES_LONG)
        if (result == LINES_READ && record_parse(&parser, line, len, &record) == RECORD_USER &&
            is_new(writer, &record))
            count++;
    record_parser_free(&parser);
    return count;
}

static bool is_regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

bool room_for_dump(struct writer *writer, int fd, uint64_t users, char reason[ROOM_REASON_SIZE])
{
    struct shm_info info;

    shm_store_info(writer->store, &info);
    uint64_t room = info.users < info.max_users ? info.max_users - info.users : 0;
    if (users > info.max_users) {
        snprintf(reason, ROOM_REASON_SIZE,
                 "a dump of %" PRIu64 " users, and the table takes %" PRIu64 " (max-users)", users,
                 info.max_users);
        return false;
    }
    if (users <= room || !is_regular(fd))
        return true;
    uint64_t fresh = count_new(writer, fd);
    if (fresh <= room)
        return true;
    snprintf(reason, ROOM_REASON_SIZE,
             "%" PRIu64 " of its users are new, and the table has room for %" PRIu64 " (max-users)",
             fresh, room);
    return false;
}
