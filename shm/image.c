/* SPDX-License-Identifier: MIT */
/*
 * Images of a segment for verify.c. A live one is copied under the writer lock,
 * so that what is checked is one state and writers wait for a copy, not for a
 * check. One to be taken over is mapped copy-on-write: a sealed log is finished
 * in the image only, so a corrupt segment stays as it was, to be looked at.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/log.h"
#include "shm/verify.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { LOCK_TRIES = 1000, LOCK_PAUSE_US = 1000 };

static void first_fault(void *data, const char *line)
{
    struct shm_fault *text = data;
    if (text->text[0] == '\0')
        snprintf(text->text, sizeof(text->text), "%s", line);
}

static void replay_on(uint8_t *image, uint64_t size)
{
    struct shm_log *log = (struct shm_log *)(void *)(image + SHM_LOG_AT);
    if (log->state != SHM_LOG_SEALED || !shm_log_sane(log, size))
        return; /* verify reports a log that is not idle */
    for (uint64_t i = 0; i < log->count; i++)
        memcpy(image + log->entry[i].offset, &log->entry[i].value, sizeof(uint64_t));
    log->state = SHM_LOG_IDLE;
}

int shm_check_contents(int fd, const char *name, const struct shm_geometry *geometry,
                       struct shm_fault *fault)
{
    struct shm_verify_report report;
    struct shm_fault first = {.text = ""};
    uint64_t size = geometry->arena_end - SHM_BASE;
    uint8_t *image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (image == MAP_FAILED)
        return shm_fail(fault, SHM_ESYS, "segment %s: cannot map it: %s", name, strerror(errno));
    (void)madvise(image, size, MADV_DONTDUMP);
    replay_on(image, size);
    const struct shm_image source = {
        .bytes = image, .size = size, .on_fault = first_fault, .data = &first};
    int rc = shm_verify_image(&source, &report);
    munmap(image, size);
    if (rc == SHM_OK)
        return rc;
    return shm_fail(fault, rc, "segment %s: corrupt: %.300s (%llu faults)", name,
                    first.text[0] != '\0' ? first.text : shm_strerror(rc),
                    (unsigned long long)report.faults);
}

static void copy_range(uint8_t *image, uint64_t from, uint64_t to)
{
    memcpy(image + from, (const void *)(uintptr_t)(SHM_BASE + from), to - from);
}

/* Slots first: they change without the lock, but only towards what control says later. */
static void copy_segment(uint8_t *image, uint64_t size)
{
    const struct shm_control *control = shm_control();
    uint64_t used = control->alloc[SHM_ALLOC_ARENA_CUR] - SHM_BASE;
    copy_range(image, SHM_SLOTS_AT, SHM_SLOTS_AT + control->slots_ready * sizeof(struct shm_slot));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    copy_range(image, 0, SHM_DIRTY_AT);
    if (used >= SHM_ARENA_AT && used <= size)
        copy_range(image, SHM_ARENA_AT, used);
}

static int lock_patiently(struct shm_store *store)
{
    int rc = shm_writer_lock(store);
    for (int tries = 0; rc == SHM_EBUSY && tries < LOCK_TRIES; tries++) {
        usleep(LOCK_PAUSE_US);
        rc = shm_writer_lock(store);
    }
    return rc;
}

static int take_image(struct shm_store *store, uint8_t *image, uint64_t size)
{
    (void)madvise(image + SHM_ARENA_AT, size - SHM_ARENA_AT, MADV_POPULATE_WRITE);
    int rc = lock_patiently(store);
    if (rc != SHM_OK)
        return rc;
    if (shm_control()->arena_end - SHM_BASE > size)
        rc = SHM_EBUSY; /* it grew meanwhile: once more */
    else
        copy_segment(image, size);
    shm_writer_unlock();
    return rc;
}

int shm_store_verify(struct shm_store *store, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data)
{
    memset(report, 0, sizeof(*report));
    for (int tries = 0; tries < 3; tries++) {
        uint64_t end = __atomic_load_n(&shm_control()->arena_end, __ATOMIC_ACQUIRE);
        uint64_t size = end + SHM_HUGE - SHM_BASE;
        uint8_t *image = mmap(NULL, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (image == MAP_FAILED)
            return SHM_ESYS;
        int rc = take_image(store, image, size);
        const struct shm_image source = {.bytes = image,
                                         .size = size,
                                         .key_of = store->key_of,
                                         .on_fault = on_fault,
                                         .data = data};
        if (rc == SHM_OK)
            rc = shm_verify_image(&source, report);
        munmap(image, size);
        if (rc != SHM_EBUSY)
            return rc;
    }
    return SHM_EBUSY;
}
