/* SPDX-License-Identifier: MIT */
/*
 * The margin: the group also has to hold the private memory of its processes, most of which they
 * allocate later. A process that reads the whole table has page table entries of 8 bytes for each
 * page of 4,096 bytes, a 512th of the table's size: a sixteenth of the limit is enough for 32
 * processes. The minimum of 8 MiB is for small groups: it covers what the kernel charges in advance
 * (some 256 KiB per CPU that the group runs on), two processes that grow the arena at the same time
 * (at most 4 MiB each), and what a process needs to return an error.
 *
 * Swap does not count as room: how much a group can swap depends on more than its files say, and a
 * swapped table is too slow.
 */
#include "shm/segment/cgroup_room.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "shm/core/fail.h"

enum { MARGIN_SHARE = 16 };
#define MARGIN_MIN (UINT64_C(8) << 20)

/* ---- what the files say ---- */

/* Parses "max" (v2) or a number. @return UINT64_MAX if it is not a number */
static uint64_t parse_bytes(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return UINT64_MAX;
    unsigned long long value = strtoull(text, &end, 10);
    return *end == '\n' || *end == '\0' ? value : UINT64_MAX;
}

/* Parses a line of memory.stat. @return the bytes, if the line is about the page cache: pages of
 * files on the lists that the kernel reclaims from; else 0. (v1 has lines for the group alone, and
 * "total_" lines that include the groups below it, which count here.) */
static uint64_t parse_cache_line(const char *line, bool v2)
{
    static const char *const names[] = {"inactive_file ", "active_file "};
    static const char total[] = "total_";
    if (!v2) {
        if (strncmp(line, total, sizeof(total) - 1) != 0)
            return 0;
        line += sizeof(total) - 1;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);
        uint64_t bytes = strncmp(line, names[i], len) == 0 ? parse_bytes(line + len) : 0;
        if (bytes != 0)
            return bytes != UINT64_MAX ? bytes : 0;
    }
    return 0;
}

static uint64_t left_of(uint64_t limit, uint64_t used, uint64_t cache)
{
    uint64_t margin = limit / MARGIN_SHARE > MARGIN_MIN ? limit / MARGIN_SHARE : MARGIN_MIN;
    used -= cache < used ? cache : used;
    return used < limit && limit - used > margin ? limit - used - margin : 0;
}

/* ---- reading them ---- */

static FILE *open_group_file(const char *directory, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return NULL;
    return fopen(path, "re");
}

/* @return UINT64_MAX: there is no such file, or no number in it */
static uint64_t read_bytes(const char *directory, const char *name)
{
    char line[64];
    FILE *file = open_group_file(directory, name);
    if (file == NULL)
        return UINT64_MAX;
    uint64_t bytes = fgets(line, sizeof(line), file) != NULL ? parse_bytes(line) : UINT64_MAX;
    fclose(file);
    return bytes;
}

static uint64_t read_cache(const char *directory, bool v2)
{
    char line[256];
    uint64_t bytes = 0;
    FILE *file = open_group_file(directory, "memory.stat");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        bytes += parse_cache_line(line, v2);
    if (file != NULL)
        fclose(file);
    return bytes;
}

static const char *limit_file(bool v2)
{
    return v2 ? "memory.max" : "memory.limit_in_bytes";
}

/* What is left if a file could not be read. If the reason is that the process has no free
 * descriptor (all are connections), a group that had a limit when it was last read counts as full.
 */
static uint64_t unknown_left(struct shm_group *group)
{
    bool limited = __atomic_load_n(&group->limited, __ATOMIC_RELAXED) &&
                   (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    __atomic_store_n(&group->limited, limited, __ATOMIC_RELAXED);
    return limited ? 0 : UINT64_MAX;
}

/* memory.stat is expensive, because the kernel computes it at each read: it is read only if the
 * result depends on it. */
static uint64_t read_left(struct shm_group *group, uint64_t wanted)
{
    errno = 0;
    uint64_t limit = read_bytes(group->path, limit_file(group->v2));
    if (limit == UINT64_MAX)
        return unknown_left(group);
    __atomic_store_n(&group->limited, true, __ATOMIC_RELAXED);
    uint64_t used = read_bytes(group->path, group->v2 ? "memory.current" : "memory.usage_in_bytes");
    if (used == UINT64_MAX)
        return unknown_left(group);
    uint64_t left = left_of(limit, used, 0);
    return left >= wanted ? left : left_of(limit, used, read_cache(group->path, group->v2));
}

static uint64_t least_left(struct shm_room *room, uint64_t wanted)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < room->count; i++) {
        uint64_t left = read_left(&room->group[i], wanted);
        least = left < least ? left : least;
    }
    return least;
}

uint64_t shm_room_left(struct shm_room *room)
{
    return least_left(room, UINT64_MAX);
}

/* ---- finding them ---- */

static void add_group(struct shm_room *room, const char *directory, bool v2)
{
    FILE *file = open_group_file(directory, limit_file(v2));
    if (file == NULL)
        return;
    fclose(file);
    char *path = room->count < SHM_ROOM_GROUPS ? strdup(directory) : NULL;
    if (path == NULL)
        return;
    room->group[room->count++] =
        (struct shm_group){path, v2, read_bytes(directory, limit_file(v2)) != UINT64_MAX};
}

/* Adds the group and all above it. In a container the path may be the host's, of which only the
 * root is mounted here: directories that do not exist are skipped. */
static void add_groups(struct shm_room *room, const char *mount, const char *group, bool v2)
{
    char path[PATH_MAX];
    size_t root = strlen(mount);
    if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
        return;
    size_t end = strlen(path);
    while (end > root && path[end - 1] == '/')
        path[--end] = '\0';
    for (;;) {
        add_group(room, path, v2);
        if (end <= root)
            return;
        while (end > root && path[--end] != '/') {
        }
        path[end] = '\0';
    }
}

void shm_room_find(struct shm_room *room, const char *root)
{
    /* v2 alone; v2 beside v1, where either may be the one that counts memory */
    static const char *const v2_mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char line[PATH_MAX], mount[PATH_MAX];
    bool v2 = false;
    *room = (struct shm_room){.count = 0};
    FILE *file = open_group_file(root, "proc/self/cgroup");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *group = cgroup_parse_line(line, "memory", &v2);
        if (group == NULL)
            continue;
        for (unsigned i = 0; i < (v2 ? 2 : 1); i++) {
            snprintf(mount, sizeof(mount), "%s%s", root,
                     v2 ? v2_mounts[i] : "/sys/fs/cgroup/memory");
            add_groups(room, mount, group, v2);
        }
    }
    if (file != NULL)
        fclose(file);
}

void shm_room_free(struct shm_room *room)
{
    for (unsigned i = 0; i < room->count; i++)
        free(room->group[i].path);
    room->count = 0;
}

/* ---- this process's ---- */

static struct shm_room process_groups;
static pthread_once_t found = PTHREAD_ONCE_INIT;

static void find_own(void)
{
    shm_room_find(&process_groups, "");
}

void shm_room_set_root(const char *root)
{
    pthread_once(&found, find_own);
    shm_room_free(&process_groups);
    shm_room_find(&process_groups, root);
}

uint64_t shm_room_here(void)
{
    pthread_once(&found, find_own);
    return least_left(&process_groups, UINT64_MAX);
}

int shm_room_for(uint64_t bytes, struct shm_fault *fault)
{
    pthread_once(&found, find_own);
    uint64_t left = least_left(&process_groups, bytes);
    if (left >= bytes)
        return SHM_OK;
    return shm_fail(fault, SHM_ESPACE,
                    "%llu bytes of memory are needed, and the limit of the control group leaves "
                    "%llu for the segment",
                    (unsigned long long)bytes, (unsigned long long)left);
}
