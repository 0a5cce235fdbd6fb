/* SPDX-License-Identifier: MIT */
#include "server/master/status_line.h"

#include <stdio.h>

#include "server/os/notify.h"
#include "shm/disk.h"
#include "shm/headroom.h"

/* What is wrong with the data file, with a semicolon; empty if nothing is. */
static const char *describe_disk(const struct shm_store *store)
{
    struct shm_disk_info info;
    shm_disk_info(store, &info);
    switch (info.state) {
    case SHM_DISK_FULL:
        return "the disk of the data file is full, and writes wait; ";
    case SHM_DISK_REWRITING:
        return "the data file has failed and is written anew; ";
    case SHM_DISK_FAILED:
        return "the data file has failed: users can be read, not written; ";
    case SHM_DISK_STOPPED:
        return "the process that writes the data file cannot start, and writes wait; ";
    default:
        return "";
    }
}

void status_line_update(const struct master *master, uint64_t now)
{
    char loop[128] = "", refusal[128] = "";
    struct shm_info info;
    uint64_t connections = 0;
    unsigned calls = 0, workers = 0;
    shm_store_info(master->segment.store, &info);
    for (const struct generation *g = master->newest; g != NULL; g = g->older) {
        connections += balance_connections(g->balance);
        calls += children_calls(&g->children);
        workers += children_running(&g->children);
        if (loop[0] == '\0')
            (void)children_describe_loop(&g->children, now, loop, sizeof(loop));
    }
    if (master->refusals.refused)
        snprintf(refusal, sizeof(refusal), "creates are refused: %s; ",
                 shm_bound_text(master->refusals.bound));
    notify_status("%s%s%s%s%s%llu users, %u workers, %llu connections, %u calls in flight", loop,
                  loop[0] != '\0' ? "; " : "",
                  segment_owner_has_name(&master->segment)
                      ? ""
                      : "the segment's file was removed from /dev/shm; ",
                  describe_disk(master->segment.store), refusal, (unsigned long long)info.users,
                  workers, (unsigned long long)connections, calls);
}
