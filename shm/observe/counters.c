/* SPDX-License-Identifier: MIT */
/* The file: a header, the names, then one row of counters per slot. */
#include "shm/counters.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/store.h"

#define MAGIC "rosterdc"

enum { NAME_MAX_BYTES = 256, COUNTERS_MAX = 65536, REVISION = 1 };

struct stats_header {
    char magic[8];
    uint64_t revision;
    uint64_t count;
    uint64_t stride; /* bytes from one row to the next */
    uint64_t rows_at;
    uint64_t names; /* hash of the names */
    uint64_t reserved;
    uint64_t check; /* checksum of everything before it */
};
_Static_assert(sizeof(struct stats_header) == 64, "names follow at offset 64");

struct shm_counters {
    char name[300]; /* "NAME.stats" */
    int fd;
    uint64_t size;
    size_t count;
    uint64_t stride;
    const char (*names)[NAME_MAX_BYTES];
    uint8_t *rows;
    struct stats_header *map;
};

static struct stats_header describe_counters(size_t count, const void *names)
{
    struct stats_header header = {.revision = REVISION, .count = count};
    memcpy(header.magic, MAGIC, sizeof(header.magic));
    header.stride = shm_round_up(count * sizeof(uint64_t), SHM_LINE);
    header.rows_at = shm_round_up(sizeof(header) + count * NAME_MAX_BYTES, SHM_PAGE);
    header.names = XXH64(names, count * NAME_MAX_BYTES, REVISION);
    header.check = XXH64(&header, offsetof(struct stats_header, check), 0);
    return header;
}

static uint64_t file_size(const struct stats_header *header)
{
    return shm_round_up(header->rows_at + SHM_SLOTS * header->stride, SHM_PAGE);
}

static int map_counters(struct shm_counters *counters, const struct stats_header *header, int prot,
                        const char *name, struct shm_fault *fault)
{
    counters->size = file_size(header);
    counters->count = header->count;
    counters->stride = header->stride;
    void *map = mmap(NULL, counters->size, prot, MAP_SHARED, counters->fd, 0);
    if (map == MAP_FAILED)
        return shm_fail(fault, SHM_ESYS, "segment %s: cannot map it: %s", name, strerror(errno));
    counters->map = map;
    counters->names = (const char(*)[NAME_MAX_BYTES])(counters->map + 1);
    counters->rows = (uint8_t *)map + header->rows_at;
    return SHM_OK;
}

/* Checks everything that the mapping relies on. */
static int check_counters_file(int fd, struct stats_header *header, const char *name,
                               struct shm_fault *fault)
{
    struct stat st;
    struct stats_header want;
    if (fstat(fd, &st) != 0 || pread(fd, header, sizeof(*header), 0) != sizeof(*header) ||
        memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0 || header->revision != REVISION ||
        header->count > COUNTERS_MAX)
        return shm_fail(fault, SHM_ELAYOUT, "segment %s: its counters have another layout", name);
    size_t bytes = header->count * NAME_MAX_BYTES;
    char *names = malloc(bytes + 1);
    int rc = SHM_ELAYOUT;
    if (names != NULL && pread(fd, names, bytes, sizeof(*header)) == (ssize_t)bytes) {
        want = describe_counters(header->count, names);
        if (memcmp(&want, header, sizeof(want)) == 0 && (uint64_t)st.st_size >= file_size(&want) &&
            (uint64_t)st.st_blocks * 512 >= file_size(&want))
            rc = SHM_OK;
    }
    for (size_t i = 0; rc == SHM_OK && i < header->count; i++)
        if (memchr(names + i * NAME_MAX_BYTES, '\0', NAME_MAX_BYTES) == NULL)
            rc = SHM_ELAYOUT;
    free(names);
    return rc == SHM_OK ? rc : shm_fail(fault, rc, "segment %s: its counters are damaged", name);
}

static bool has_magic(int fd)
{
    char magic[sizeof(((struct stats_header *)NULL)->magic)];
    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           memcmp(magic, MAGIC, sizeof(magic)) == 0;
}

/* Replaces the file at the name by an atomic exchange. Afterwards the replaced file is at the other
 * name: if it is not the one that was examined (`old`), the exchange is undone. */
static int replace_counters(int fd, int old, const char *name, struct shm_fault *fault)
{
    char path[300], beside[300], self[64];
    int rc = shm_file_path(path, name, fault);
    if (rc != SHM_OK)
        return rc;
    shm_file_hidden_path(beside, name, "new");
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    (void)unlink(beside); /* left by an earlier owner that died here; a segment has one owner */
    if (linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) != 0 ||
        renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_EXCHANGE) != 0)
        rc = shm_fail(fault, errno == ENOSPC ? SHM_ESPACE : SHM_ESYS,
                      "segment %s: cannot replace it: %s", name, strerror(errno));
    else if (!shm_file_is_at(old, beside))
        rc = renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_EXCHANGE) == 0
                 ? shm_fail(fault, SHM_EEXIST, "segment %s: another file has its name", name)
                 : shm_fail(fault, SHM_ESYS, "segment %s: cannot replace it: %s", name,
                            strerror(errno));
    else
        (void)shm_name_release(old, name);
    (void)unlink(beside);
    return rc;
}

static int allocate_counters(int fd, const struct stats_header *header, const char *name,
                             struct shm_fault *fault)
{
    struct shm_fault reason;
    int rc = shm_file_allocate(fd, 0, file_size(header), &reason);
    return rc == SHM_OK ? rc : shm_fail(fault, rc, "segment %s: %s", name, reason.text);
}

/* Creates the counters. The caller owns the segment, so no other owner does this at the same time.
 * @param old the counters to replace; -1: none */
static int create_counters(struct shm_counters *counters, const char *names,
                           const struct stats_header *header, int old, struct shm_fault *fault)
{
    const char *name = counters->name;
    int rc = shm_file_create(&counters->fd, name, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_owner_share(counters->fd, name, fault);
    if (rc == SHM_OK)
        rc = allocate_counters(counters->fd, header, name, fault);
    if (rc == SHM_OK)
        rc = map_counters(counters, header, PROT_READ | PROT_WRITE, name, fault);
    if (rc == SHM_OK) {
        memcpy(counters->map + 1, names, header->count * NAME_MAX_BYTES);
        *counters->map = *header;
        rc = old < 0 ? shm_file_publish(counters->fd, name, fault)
                     : replace_counters(counters->fd, old, name, fault);
    }
    if (rc != SHM_OK) {
        if (counters->map != NULL)
            munmap(counters->map, counters->size);
        close(counters->fd);
    }
    return rc;
}

/* Replaces counters with other names. @param beside even if a live server uses them */
static int make_other_counters(struct shm_counters *counters, const char *names,
                               const struct stats_header *header, int old, bool beside,
                               struct shm_fault *fault)
{
    int rc = beside ? SHM_OK : shm_owner_take(old, counters->name, fault);
    if (rc == SHM_OK)
        rc = create_counters(counters, names, header, old, fault);
    close(old);
    return rc;
}

/* Opens counters that exist and have the same names.
 * @param old set to the descriptor if the call returns SHM_ELAYOUT, because the names differ */
static int keep_counters(struct shm_counters *counters, const struct stats_header *want, int *old,
                         struct shm_fault *fault)
{
    const char *name = counters->name;
    struct stats_header have;
    int fd, rc = shm_file_open(&fd, name, SHM_AS_OWNER, fault);
    if (rc != SHM_OK)
        return rc;
    if (!has_magic(fd)) {
        close(fd);
        return shm_fail(fault, SHM_EEXIST,
                        "segment %s: the file of this name holds no counters and is left alone: "
                        "remove it, or choose another name for the segment",
                        name);
    }
    rc = check_counters_file(fd, &have, name, fault);
    if (rc == SHM_OK && memcmp(&have, want, sizeof(have)) != 0)
        rc = SHM_ELAYOUT;
    *old = fd;
    if (rc == SHM_ELAYOUT)
        return rc;
    counters->fd = fd;
    if (rc == SHM_OK)
        rc = shm_owner_share(fd, name, fault);
    if (rc == SHM_OK)
        rc = map_counters(counters, want, PROT_READ | PROT_WRITE, name, fault);
    if (rc != SHM_OK)
        close(fd);
    return rc;
}

static int stats_name(char out[300], const char *name, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_segment_path(path, name, fault);
    if (rc == SHM_OK)
        snprintf(out, 300, "%s.stats", name);
    return rc;
}

static char *pack_names(const char *const *names, size_t count, struct shm_fault *fault, int *rc)
{
    char *packed = count <= COUNTERS_MAX ? calloc(count + 1, NAME_MAX_BYTES) : NULL;
    *rc = packed != NULL ? SHM_OK : shm_fail(fault, SHM_EINVAL, "%zu counters: too many", count);
    for (size_t i = 0; packed != NULL && i < count; i++) {
        if (strlen(names[i]) >= NAME_MAX_BYTES) {
            *rc = shm_fail(fault, SHM_EINVAL, "counter '%.40s...': its name is too long", names[i]);
            free(packed);
            return NULL;
        }
        memcpy(packed + i * NAME_MAX_BYTES, names[i], strlen(names[i]));
    }
    return packed;
}

static int open_or_make(struct shm_counters *counters, const char *names,
                        const struct stats_header *want, bool beside, struct shm_fault *fault)
{
    int old = -1, rc = keep_counters(counters, want, &old, fault);
    if (rc == SHM_ENOSEG)
        rc = create_counters(counters, names, want, -1, fault);
    else if (rc == SHM_ELAYOUT)
        rc = make_other_counters(counters, names, want, old, beside, fault);
    return rc;
}

static int open_counters(struct shm_counters **out, const char *name, const char *const *names,
                         size_t count, bool beside, struct shm_fault *fault)
{
    char stats[300];
    int rc = stats_name(stats, name, fault);
    if (rc != SHM_OK)
        return rc;
    char *packed = pack_names(names, count, fault, &rc);
    if (packed == NULL)
        return rc;
    struct stats_header want = describe_counters(count, packed);
    struct shm_counters *counters = calloc(1, sizeof(*counters));
    if (counters == NULL) {
        free(packed);
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", stats);
    }
    memcpy(counters->name, stats, sizeof(stats));
    rc = open_or_make(counters, packed, &want, beside, fault);
    free(packed);
    if (rc == SHM_OK)
        *out = counters;
    else
        free(counters);
    return rc;
}

int shm_counters_open(struct shm_counters **out, const char *name, const char *const *names,
                      size_t count, struct shm_fault *fault)
{
    return open_counters(out, name, names, count, false, fault);
}

int shm_counters_succeed(struct shm_counters **out, const char *name, const char *const *names,
                         size_t count, struct shm_fault *fault)
{
    return open_counters(out, name, names, count, true, fault);
}

enum shm_name_state shm_counters_hold_name(struct shm_counters *counters)
{
    return shm_name_hold(counters->fd, counters->name);
}

void shm_counters_release_name(struct shm_counters *counters)
{
    (void)shm_name_release(counters->fd, counters->name);
}

void shm_counters_move(const char *name, const char *moved_to)
{
    char stats[300], path[300], target[300];
    int fd;
    if (stats_name(stats, name, NULL) != SHM_OK || shm_file_path(path, stats, NULL) != SHM_OK ||
        shm_file_open(&fd, stats, SHM_AS_REMOVER, NULL) != SHM_OK)
        return;
    if (has_magic(fd) && shm_owner_take(fd, stats, NULL) == SHM_OK && shm_file_is_at(fd, path)) {
        (void)shm_name_release(fd, stats);
        snprintf(target, sizeof(target), SHM_DIRECTORY "%.255s.stats",
                 moved_to != NULL ? moved_to : "");
        (void)(moved_to == NULL ? unlink(path)
                                : renameat2(AT_FDCWD, path, AT_FDCWD, target, RENAME_NOREPLACE));
    }
    close(fd);
}

int shm_counters_attach(struct shm_counters **out, const char *name, struct shm_fault *fault)
{
    char stats[300];
    struct stats_header header = {0};
    int rc = stats_name(stats, name, fault);
    if (rc != SHM_OK)
        return rc;
    struct shm_counters *counters = calloc(1, sizeof(*counters));
    if (counters == NULL)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", stats);
    rc = shm_file_open(&counters->fd, stats, SHM_AS_READER, fault);
    if (rc == SHM_OK) {
        rc = check_counters_file(counters->fd, &header, stats, fault);
        if (rc == SHM_OK)
            rc = map_counters(counters, &header, PROT_READ, stats, fault);
        if (rc != SHM_OK)
            close(counters->fd);
    }
    if (rc == SHM_OK)
        *out = counters;
    else
        free(counters);
    return rc;
}

void shm_counters_close(struct shm_counters *counters)
{
    if (counters == NULL)
        return;
    munmap(counters->map, counters->size);
    close(counters->fd);
    free(counters);
}

uint64_t *shm_counters_row(struct shm_counters *counters, unsigned slot)
{
    assert(slot < SHM_SLOTS);
    return (uint64_t *)(void *)(counters->rows + slot * counters->stride);
}

size_t shm_counters_count(const struct shm_counters *counters)
{
    return counters->count;
}

const char *shm_counters_name(const struct shm_counters *counters, size_t index)
{
    return index < counters->count ? counters->names[index] : NULL;
}

uint64_t shm_counters_sum(const struct shm_counters *counters, size_t index)
{
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < SHM_SLOTS && index < counters->count; slot++)
        sum += __atomic_load_n(
            (const uint64_t *)(const void *)(counters->rows + slot * counters->stride) + index,
            __ATOMIC_RELAXED);
    return sum;
}

void shm_counters_sum_all(const struct shm_counters *counters, uint64_t *sums)
{
    memset(sums, 0, counters->count * sizeof(*sums));
    for (unsigned slot = 0; slot < SHM_SLOTS; slot++) {
        const uint64_t *row =
            (const uint64_t *)(const void *)(counters->rows + slot * counters->stride);
        for (size_t i = 0; i < counters->count; i++)
            sums[i] += __atomic_load_n(&row[i], __ATOMIC_RELAXED);
    }
}
