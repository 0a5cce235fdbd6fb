/* SPDX-License-Identifier: MIT */
/*
 * Is this file a segment that we may map? Read with pread, never through a
 * mapping: a short file or a hole must be an error here, not a SIGBUS.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/log.h"
#include "shm/verify.h"

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
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: it is no rosterd segment (bad magic)",
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

/* Bytes of the file that must have memory: all but the slots that nobody used. */
static uint64_t memory_needed(const struct shm_control *control)
{
    return SHM_CONTROL_END + control->slots_ready * sizeof(struct shm_slot) +
           (control->arena_end - SHM_BASE - SHM_ARENA_AT);
}

/* What a tool or a reader will follow without another look. */
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

static int check_control(const struct shm_control *control, const struct stat *st, const char *name,
                         struct shm_fault *fault)
{
    uint64_t end = control->arena_end - SHM_BASE;
    if (control->arena_end < SHM_BASE || end < SHM_ARENA_AT || end > control->limit ||
        end % SHM_PAGE != 0 || control->limit > SHM_SIZE_MAX || control->slots_ready > SHM_SLOTS)
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, its control page is wrong",
                        name);
    if (!tables_fit(control))
        return shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, a hash table's place is wrong",
                        name);
    if ((uint64_t)st->st_size < end || (uint64_t)st->st_blocks * 512 < memory_needed(control))
        return shm_fail(fault, SHM_ECORRUPT,
                        "segment %s: corrupt, its file is shorter than it says", name);
    return SHM_OK;
}

/* A dead holder may have sealed a change of the words looked at here. */
static int read_log(int fd, struct shm_control *control)
{
    struct shm_log *log = malloc(sizeof(*log));
    if (log == NULL)
        return SHM_ESYS;
    int rc = pread(fd, log, sizeof(*log), SHM_LOG_AT) == sizeof(*log) ? SHM_OK : SHM_ECORRUPT;
    if (rc == SHM_OK && log->state == SHM_LOG_SEALED && log->count <= SHM_LOG_MAX)
        for (uint64_t i = 0; i < log->count; i++) {
            uint64_t at = log->entry[i].offset - SHM_CONTROL_AT;
            if (at % 8 == 0 && at <= sizeof(*control) - 8)
                memcpy((char *)control + at, &log->entry[i].value, 8);
        }
    free(log);
    return rc;
}

int shm_check_file(int fd, const char *name, struct shm_geometry *geometry, struct shm_fault *fault)
{
    struct shm_header *header = calloc(1, sizeof(*header) + sizeof(struct shm_control));
    if (header == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", name);
    struct shm_control *control = (struct shm_control *)(header + 1);
    struct stat st;
    int rc = SHM_OK;
    if (fstat(fd, &st) != 0)
        rc = shm_fail(fault, SHM_ESYS, "segment %s: %s", name, strerror(errno));
    else if (pread(fd, header, sizeof(*header), 0) != sizeof(*header))
        rc = shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, it is shorter than its header",
                      name);
    if (rc == SHM_OK)
        rc = shm_check_header(header, name, fault);
    if (rc == SHM_OK && (pread(fd, control, sizeof(*control), SHM_CONTROL_AT) != sizeof(*control) ||
                         read_log(fd, control) != SHM_OK))
        rc = shm_fail(fault, SHM_ECORRUPT, "segment %s: corrupt, it is shorter than its log", name);
    if (rc == SHM_OK)
        rc = check_control(control, &st, name, fault);
    if (rc == SHM_OK)
        *geometry = (struct shm_geometry){.limit = control->limit,
                                          .arena_end = control->arena_end,
                                          .slots_ready = control->slots_ready,
                                          .users = control->users};
    free(header);
    return rc;
}
