/* SPDX-License-Identifier: MIT */
/* Saves and restores the segment's bytes through a mapping that is separate from the store's. */
#include "tests/torture/killer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/hash.h"
#include "shm/error.h"
#include "shm/segment/segment_file.h"

enum { SLACK = 16 << 20 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(2);
}

void image_open(struct image *image, const struct world *w)
{
    char path[300];
    must(shm_file_path(path, w->name, NULL) == SHM_OK, "path");
    image->fd = open(path, O_RDWR | O_CLOEXEC);
    must(image->fd >= 0, path);
    image->map_size = w->config.size + SLACK;
    image->map = mmap(NULL, image->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      image->fd, 0);
    must(image->map != MAP_FAILED, "mmap");
    image->bytes = NULL;
}

/* Finds the three ranges that have memory: { offset, length }. */
static void pieces(const struct image *image, uint64_t piece[3][2])
{
    piece[0][0] = 0;
    piece[0][1] = SHM_CONTROL_END;
    piece[1][0] = SHM_SLOTS_AT;
    piece[1][1] = SHM_SLOTS_AT + image->slots;
    piece[2][0] = SHM_ARENA_AT;
    piece[2][1] = image->size;
}

void image_save(struct image *image)
{
    struct stat st;
    uint64_t piece[3][2];
    must(fstat(image->fd, &st) == 0, "fstat");
    image->size = (uint64_t)st.st_size;
    image->slots = image_control(image)->slots_ready * sizeof(struct shm_slot);
    must(image->size <= image->map_size, "the file is larger than expected");
    free(image->bytes);
    image->bytes = calloc(1, image->size);
    must(image->bytes != NULL, "malloc");
    pieces(image, piece);
    for (int i = 0; i < 3; i++)
        memcpy(image->bytes + piece[i][0], image->map + piece[i][0], piece[i][1] - piece[i][0]);
}

/* Most pages are unchanged, and those are not written. */
void image_restore(struct image *image)
{
    uint64_t piece[3][2];
    pieces(image, piece);
    must(ftruncate(image->fd, (off_t)image->size) == 0, "ftruncate");
    must(fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)piece[1][1],
                   (off_t)(SHM_ARENA_AT - piece[1][1])) == 0,
         "fallocate");
    for (int i = 0; i < 3; i++)
        for (uint64_t at = piece[i][0]; at < piece[i][1]; at += SHM_PAGE)
            if (memcmp(image->map + at, image->bytes + at, SHM_PAGE) != 0)
                memcpy(image->map + at, image->bytes + at, SHM_PAGE);
}

bool image_is_as_saved(const struct image *image)
{
    struct stat st;
    uint64_t piece[3][2];
    pieces(image, piece);
    bool same = fstat(image->fd, &st) == 0 && (uint64_t)st.st_size == image->size;
    for (int i = 0; i < 3 && same; i++)
        same = memcmp(image->map + piece[i][0], image->bytes + piece[i][0],
                      piece[i][1] - piece[i][0]) == 0;
    return same;
}

void image_close(struct image *image)
{
    munmap(image->map, image->map_size);
    close(image->fd);
    free(image->bytes);
}

static const struct shm_log *log_of(const struct image *image)
{
    return (const struct shm_log *)(const void *)(image->map + SHM_LOG_AT);
}

bool image_sealed(const struct image *image)
{
    return log_of(image)->state == SHM_LOG_SEALED;
}

uint64_t image_version(const struct image *image)
{
    const struct shm_log *log = log_of(image);
    uint64_t version = image_control(image)->version;
    if (image_sealed(image))
        for (uint64_t i = 0; i < log->count; i++)
            if (log->entry[i].offset == SHM_CONTROL_AT + offsetof(struct shm_control, version))
                version = log->entry[i].value;
    return version;
}

/* Clears what differs between two processes: thread ids in mutexes, and times. */
static void mask(uint8_t *page, uint64_t offset)
{
    if (offset == SHM_CONTROL_AT)
        memset(page + offsetof(struct shm_control, writer), 0, sizeof(pthread_mutex_t));
    if (offset < SHM_SLOTS_AT || offset >= SHM_ARENA_AT)
        return;
    uint64_t pins = 0;
    if ((offset - SHM_SLOTS_AT) % sizeof(struct shm_slot) == 0) {
        pins = offsetof(struct shm_slot, pins);
        memset(page + offsetof(struct shm_slot, life), 0, sizeof(pthread_mutex_t));
        memset(page + offsetof(struct shm_slot, pid), 0, sizeof(uint32_t));
        memset(page + offsetof(struct shm_slot, started_at), 0, sizeof(uint64_t));
    }
    for (; pins < SHM_PAGE; pins += sizeof(struct shm_pin))
        memset(page + pins + offsetof(struct shm_pin, started), 0, sizeof(uint64_t));
}

uint64_t image_hash_page(const struct image *image, uint64_t offset)
{
    uint8_t page[SHM_PAGE];
    memcpy(page, image->map + offset, sizeof(page));
    mask(page, offset);
    return XXH3_64bits_withSeed(page, sizeof(page), offset);
}
