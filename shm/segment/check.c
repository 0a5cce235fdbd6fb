/* SPDX-License-Identifier: MIT */
/*
 * Whether a file is a segment that this process may map. The file is read with pread(), never
 * through a mapping: a short file or a hole must be an error here, not a SIGBUS.
 *
 * Other processes may write to the segment at the same time. So the file's size is read after
 * arena_end: a growth allocates memory before it moves arena_end, and the file never gets shorter.
 * And what is read of the control page must be one state of it, although a commit stores its words
 * one by one. The order of the reads is:
 *
 *   control page, log's state, control page again
 *
 * If a commit was being stored during the first read (one word new, another old), the log was
 * SEALED at that time. Either it still is when its state is read, or the commit is complete by the
 * second read, which then differs from the first. So if the log is idle and both reads are equal,
 * they are one state. If the log is SEALED (its holder may be dead or stopped), the log has the
 * final values; it is read twice as well, because its entries may already be the next commit's. If
 * the reads do not agree, everything is read again. It is also read again if the result is wrong,
 * because an owner may be about to repair it.
 */
#include "shm/segment/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"
#include "shm/store.h"

#define MAGIC "rosterd\n"

void shm_header_fill(struct shm_header *header)
{
    memcpy(header->magic, MAGIC, sizeof(header->magic));
    header->layout = shm_layout_hash();
    header->base = SHM_BASE;
    header->check = shm_header_check(header);
}

int shm_check_header(const struct shm_header *header, const char *name, struct shm_fault *fault)
{
    if (memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0)
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: it is not a rosterd segment (bad magic)",
                        name);
    if (header->layout != shm_layout_hash())
        return shm_fail(fault, SHM_ELAYOUT,
                        "segment %s: it has another layout (%016llx, this build's is %016llx): "
                        "the build that made it can serve it",
                        name, (unsigned long long)header->layout,
                        (unsigned long long)shm_layout_hash());
    if (header->check != shm_header_check(header))
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, its header's checksum is wrong",
                        name);
    if (header->base != SHM_BASE)
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, its header's base is wrong",
                        name);
    return SHM_OK;
}

/* Bytes of the file that must have memory: everything but the hole between the dirty map and the
 * slots, and slots that were never used. */
static uint64_t memory_needed(const struct shm_control *control)
{
    return SHM_CONTROL_END + control->slots_ready * sizeof(struct shm_slot) +
           (control->arena_end - SHM_BASE - SHM_ARENA_AT);
}

/* Whether the table lies in the arena. Tools and readers follow it without further checks. */
static bool table_fits(const struct shm_table *table, uint64_t arena_end)
{
    uint64_t at = (uint64_t)(uintptr_t)table->buckets;
    uint64_t from = SHM_BASE + SHM_ARENA_AT;
    return table->count != 0 && (table->count & (table->count - 1)) == 0 &&
           table->count <= UINT64_C(1) << 40 && at % SHM_EXTENT == 0 && at >= from &&
           at <= arena_end && shm_table_size(table->count) <= arena_end - at;
}

static bool tables_fit(const struct shm_control *control)
{
    const struct shm_table *others[SHM_KEYS + 1] = {&control->rebuild.to};
    for (unsigned key = 0; key < SHM_KEYS; key++)
        others[1 + key] = &control->unique[key];
    for (unsigned i = 0; i < SHM_KEYS + 1; i++)
        if ((others[i]->buckets != NULL || others[i]->count != 0) &&
            !table_fits(others[i], control->arena_end))
            return false;
    return table_fits(&control->ids, control->arena_end);
}

static int check_control(int fd, const struct shm_control *control, const char *name,
                         struct shm_fault *fault)
{
    uint64_t end = control->arena_end - SHM_BASE;
    struct stat st;
    if (control->arena_end < SHM_BASE || end < SHM_ARENA_AT || end > control->limit ||
        end % SHM_PAGE != 0 || control->limit > SHM_SIZE_MAX || control->slots_ready > SHM_SLOTS)
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, its control page is wrong",
                        name);
    if (!tables_fit(control))
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, a hash table's place is wrong",
                        name);
    if (fstat(fd, &st) != 0)
        return shm_fail(fault, SHM_ESYS, "segment %s: %s", name, strerror(errno));
    if ((uint64_t)st.st_size < end || (uint64_t)st.st_blocks * 512 < memory_needed(control))
        return shm_fail(fault, SHM_ECORRUPT,
                        "segment %s: corrupt, its file is shorter than it says", name);
    return SHM_OK;
}

/* ---- one state of the control page ---- */

struct look {
    struct shm_control first, second;
    struct shm_log log, log_again;
};

static bool read_at(int fd, void *to, size_t size, off_t at)
{
    return pread(fd, to, size, at) == (ssize_t)size;
}

/* Whether the fields that this file checks are equal. */
static bool same_bounds(const struct shm_control *a, const struct shm_control *b)
{
    return a->arena_end == b->arena_end && a->limit == b->limit &&
           a->slots_ready == b->slots_ready && memcmp(&a->ids, &b->ids, sizeof(a->ids)) == 0 &&
           memcmp(a->unique, b->unique, sizeof(a->unique)) == 0 &&
           memcmp(&a->rebuild.to, &b->rebuild.to, sizeof(a->rebuild.to)) == 0;
}

static void finish_commit(struct shm_control *control, const struct shm_log *log)
{
    if (log->count > SHM_LOG_MAX)
        return;
    for (uint64_t i = 0; i < log->count; i++) {
        uint64_t at = log->entry[i].offset - SHM_CONTROL_AT;
        if (at % 8 == 0 && at <= sizeof(*control) - 8)
            memcpy((char *)control + at, &log->entry[i].value, 8);
    }
}

static bool same_logs(const struct shm_log *a, const struct shm_log *b)
{
    return a->state == b->state && a->count == b->count &&
           (a->count > SHM_LOG_MAX ||
            memcmp(a->entry, b->entry, a->count * sizeof(a->entry[0])) == 0);
}

/* Reads once, as described on top. @param steady whether all reads agreed
 * @return false: the file is too short */
static bool look_once(int fd, struct look *look, bool *steady)
{
    enum { HEAD = offsetof(struct shm_log, entry) };
    struct shm_log *log = &look->log, *again = &look->log_again;
    if (!read_at(fd, &look->first, sizeof(look->first), SHM_CONTROL_AT))
        return false;
    SHM_POINT("control page read");
    if (!read_at(fd, log, HEAD, SHM_LOG_AT))
        return false;
    bool sealed = log->state == SHM_LOG_SEALED;
    if (sealed && !(read_at(fd, log, sizeof(*log), SHM_LOG_AT) &&
                    read_at(fd, again, sizeof(*again), SHM_LOG_AT)))
        return false;
    if (!read_at(fd, &look->second, sizeof(look->second), SHM_CONTROL_AT))
        return false;
    *steady = same_bounds(&look->first, &look->second) &&
              (!sealed || (log->state == SHM_LOG_SEALED && same_logs(log, again)));
    if (sealed && log->state == SHM_LOG_SEALED)
        finish_commit(&look->first, log);
    return true;
}

enum { LOOKS = 1000, WRONG_LOOKS = 10, PAUSE_US = 1000 };

/* Reads the control page into look->first, as it is or as it will be when a sealed log is finished.
 */
static int look_at_control(int fd, const char *name, struct look *look, struct shm_fault *fault)
{
    int rc = SHM_ECORRUPT;
    for (int wrong = 0, i = 0; i < LOOKS && wrong < WRONG_LOOKS; i++) {
        bool steady;
        if (!look_once(fd, look, &steady))
            return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, it is shorter than its log",
                            name);
        rc = check_control(fd, &look->first, name, fault);
        if (rc != SHM_ECORRUPT && (steady || rc != SHM_OK))
            return rc;
        wrong += steady ? 1 : 0;
        if (steady || i % 16 == 15)
            usleep(PAUSE_US);
    }
    return rc;
}

int shm_check_file(int fd, const char *name, struct shm_geometry *geometry, struct shm_fault *fault)
{
    struct shm_header *header = calloc(1, sizeof(*header) + sizeof(struct look));
    if (header == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", name);
    struct look *look = (struct look *)(header + 1);
    const struct shm_control *control = &look->first;
    int rc = SHM_OK;
    if (!read_at(fd, header, sizeof(*header), 0))
        rc = shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, it is shorter than its header",
                      name);
    if (rc == SHM_OK)
        rc = shm_check_header(header, name, fault);
    SHM_POINT("header read");
    if (rc == SHM_OK)
        rc = look_at_control(fd, name, look, fault);
    if (rc == SHM_OK) {
        *geometry = (struct shm_geometry){.limit = control->limit,
                                          .arena_end = control->arena_end,
                                          .slots_ready = control->slots_ready,
                                          .users = control->users,
                                          .version = control->version};
        memcpy(geometry->store_id, header->store_id, sizeof(geometry->store_id));
    }
    free(header);
    return rc;
}
