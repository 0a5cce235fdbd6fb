/* SPDX-License-Identifier: MIT */
/* Counters: a header, the names, then a row a slot. */
#include "config.h"

#include "shm/counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/hash.h"
#include "shm/internal.h"

#define MAGIC "rosterdc"

enum { NAME_MAX_BYTES = 256, COUNTERS_MAX = 65536, REVISION = 1 };

struct stats_header {
    char magic[8];
    uint64_t revision;
    uint64_t count;
    uint64_t stride; /* bytes from row to row */
    uint64_t rows_at;
    uint64_t names; /* hash of the names */
    uint64_t reserved;
    uint64_t check; /* over all before it */
};
_Static_assert(sizeof(struct stats_header) == 64, "names follow at 64");

struct shm_counters {
    int fd;
    uint64_t size;
    size_t count;
    uint64_t stride;
    const char (*names)[NAME_MAX_BYTES];
    uint8_t *rows;
    struct stats_header *map;
};

static struct stats_header describe(size_t count, const void *names)
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

/* Everything about the file that a mapping relies on. */
static int check_file(int fd, struct stats_header *header, const char *name,
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
        want = describe(header->count, names);
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

/* Replaces whatever has the name. The caller owns the users' segment, so nobody races. */
static int create(struct shm_counters *counters, const char *name, const char *names,
                  const struct stats_header *header, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_file_create(&counters->fd, name, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_file_allocate(counters->fd, 0, file_size(header), fault);
    if (rc == SHM_OK)
        rc = map_counters(counters, header, PROT_READ | PROT_WRITE, name, fault);
    if (rc == SHM_OK) {
        memcpy(counters->map + 1, names, header->count * NAME_MAX_BYTES);
        *counters->map = *header;
        rc = shm_file_path(path, name, fault);
    }
    if (rc == SHM_OK) {
        (void)unlink(path);
        rc = shm_file_publish(counters->fd, name, fault);
    }
    if (rc != SHM_OK) {
        if (counters->map != NULL)
            munmap(counters->map, counters->size);
        close(counters->fd);
    }
    return rc;
}

static int keep(struct shm_counters *counters, const char *name, const struct stats_header *want,
                struct shm_fault *fault)
{
    struct stats_header have;
    int rc = shm_file_open(&counters->fd, name, SHM_AS_OWNER, fault);
    if (rc != SHM_OK)
        return rc;
    rc = check_file(counters->fd, &have, name, fault);
    if (rc == SHM_OK && memcmp(&have, want, sizeof(have)) != 0)
        rc = SHM_ELAYOUT;
    if (rc == SHM_OK)
        rc = map_counters(counters, want, PROT_READ | PROT_WRITE, name, fault);
    if (rc != SHM_OK)
        close(counters->fd);
    return rc;
}

static int stats_name(char out[300], const char *name, struct shm_fault *fault)
{
    char path[300];
    int rc = shm_file_path(path, name, fault);
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

int shm_counters_open(struct shm_counters **out, const char *name, const char *const *names,
                      size_t count, struct shm_fault *fault)
{
    char stats[300];
    int rc = stats_name(stats, name, fault);
    if (rc != SHM_OK)
        return rc;
    char *packed = pack_names(names, count, fault, &rc);
    if (packed == NULL)
        return rc;
    struct stats_header want = describe(count, packed);
    struct shm_counters *counters = calloc(1, sizeof(*counters));
    if (counters == NULL) {
        free(packed);
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", stats);
    }
    rc = keep(counters, stats, &want, fault);
    if (rc == SHM_ENOSEG || rc == SHM_ELAYOUT)
        rc = create(counters, stats, packed, &want, fault);
    free(packed);
    if (rc == SHM_OK)
        *out = counters;
    else
        free(counters);
    return rc;
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
        rc = check_file(counters->fd, &header, stats, fault);
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
