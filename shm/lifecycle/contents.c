/* SPDX-License-Identifier: MIT */
/*
 * The segment is mapped read-only, so that a corrupt one stays as it was and can be examined. If a
 * dead writer's log is sealed, the pages that it changes are replaced by private copies, and the
 * log is finished in these. (Mapping the whole segment privately would be slow: private mappings of
 * a file have no huge pages, and ten million users are half a million page faults then.)
 *
 * Pages here are the machine's, which may be larger than SHM_PAGE (16 or 64 KiB on aarch64). A
 * private copy has everything that the file has in that page, and meanwhile only readers write to
 * the segment, to their slots.
 */
#include "shm/lifecycle/contents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/txn.h"
#include "shm/verify/image.h"
#include "shm/verify/verify.h"

struct mapping {
    uint8_t *bytes; /* the segment, aligned to a huge page like SHM_BASE */
    uint64_t size;
    uint64_t page; /* the machine's page size: a power of two, at most SHM_HUGE */
    void *reserved;
    uint64_t reserved_size;
};

static void first_fault(void *data, const char *line)
{
    struct shm_fault *text = data;
    if (text->text[0] == '\0')
        snprintf(text->text, sizeof(text->text), "%s", line);
}

static int map_readonly(struct mapping *m, int fd)
{
    m->page = (uint64_t)sysconf(_SC_PAGESIZE);
    m->reserved_size = m->size + SHM_HUGE;
    m->reserved =
        mmap(NULL, m->reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->reserved == MAP_FAILED)
        return SHM_ESYS;
    m->bytes = (uint8_t *)(uintptr_t)shm_round_up((uint64_t)(uintptr_t)m->reserved, SHM_HUGE);
    if (mmap(m->bytes, m->size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
        return SHM_OK;
    munmap(m->reserved, m->reserved_size);
    return SHM_ESYS;
}

/* Whether the file has memory at this offset; elsewhere it is a hole. */
static bool has_memory(uint64_t offset, uint64_t slots_ready, uint64_t size)
{
    if (offset < SHM_CONTROL_END)
        return true;
    if (offset < SHM_ARENA_AT)
        return offset >= SHM_SLOTS_AT &&
               offset < SHM_SLOTS_AT + slots_ready * sizeof(struct shm_slot);
    return offset < size;
}

static int make_private(const struct mapping *m, int fd, uint64_t page)
{
    void *at = m->bytes + page * m->page;
    return mmap(at, m->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
                (off_t)(page * m->page)) == at
               ? SHM_OK
               : SHM_ESYS;
}

/* Finishes a sealed log in private copies. An invalid log is left for verify to report. */
static int replay_privately(const struct mapping *m, int fd, uint64_t slots_ready)
{
    const struct shm_log *log = (const void *)(m->bytes + SHM_LOG_AT);
    if (log->state != SHM_LOG_SEALED || shm_log_end(log, m->size) == 0)
        return SHM_OK;
    for (uint64_t i = 0; i < log->count; i++)
        if (!has_memory(log->entry[i].offset, slots_ready, m->size))
            return SHM_OK;
    uint8_t *private = calloc(m->size / m->page + 1, 1);
    if (private == NULL)
        return SHM_ESYS;
    uint64_t page = SHM_LOG_AT / m->page;
    int rc = make_private(m, fd, page);
    private[page] = 1;
    for (uint64_t i = 0; i < log->count && rc == SHM_OK; i++) {
        page = log->entry[i].offset / m->page;
        if (!private[page])
            rc = make_private(m, fd, page);
        private[page] = 1;
        if (rc == SHM_OK)
            memcpy(m->bytes + log->entry[i].offset, &log->entry[i].value, sizeof(uint64_t));
    }
    if (rc == SHM_OK)
        ((struct shm_log *)(void *)(m->bytes + SHM_LOG_AT))->state = SHM_LOG_IDLE;
    free(private);
    return rc;
}

int shm_check_contents(int fd, const struct shm_config *config, const struct shm_geometry *geometry,
                       struct shm_fault *fault)
{
    struct shm_verify_report report = {0};
    struct shm_fault first = {.text = ""};
    struct mapping m = {.size = geometry->arena_end - SHM_BASE};
    int rc = map_readonly(&m, fd);
    if (rc != SHM_OK)
        return shm_fail(fault, rc, "segment %s: cannot map it: %s", config->name, strerror(errno));
    (void)madvise(m.bytes, m.size, MADV_DONTDUMP);
    rc = replay_privately(&m, fd, geometry->slots_ready);
    const struct shm_image image = {.bytes = m.bytes,
                                    .size = m.size,
                                    .key_of = config->key_of,
                                    .on_fault = first_fault,
                                    .data = &first,
                                    .progress = config->progress,
                                    .progress_data = config->progress_data};
    if (rc == SHM_OK)
        rc = shm_verify_image(&image, &report);
    munmap(m.reserved, m.reserved_size);
    if (rc == SHM_OK)
        return rc;
    if (rc != SHM_ECORRUPT)
        return shm_fail(fault, rc, "segment %s: it could not be checked: %s", config->name,
                        shm_strerror(rc));
    return shm_fail(fault, rc, "segment %s: corrupt: %.300s (%llu faults)", config->name,
                    first.text[0] != '\0' ? first.text : shm_strerror(rc),
                    (unsigned long long)report.faults);
}
