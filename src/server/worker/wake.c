/* SPDX-License-Identifier: MIT */
#include "server/worker/wake.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

#include "shm/store.h"

enum {
    WAKE_LEAST = 16, /* eventfds: those of a reload's two generations */
    WAKE_MOST = 512,
};

struct wake {
    /* The index of the eventfd of the process in each slot, and 1 more; 0: unknown. Only that
     * process writes it. An entry of a process that is gone causes a wake-up for nothing. */
    uint16_t *eventfd_of_slot;
    unsigned count;
    int fds[];
};

static size_t table_bytes(void)
{
    return SHM_SLOTS * sizeof(uint16_t);
}

struct wake *wake_create(unsigned workers)
{
    /* a reload or an upgrade has two generations, and more if old ones take long to drain */
    unsigned count = MIN(MAX(4 * workers, (unsigned)WAKE_LEAST), (unsigned)WAKE_MOST);
    struct wake *wake = malloc(sizeof(*wake) + count * sizeof(wake->fds[0]));
    if (wake == NULL)
        return NULL;
    wake->count = 0;
    void *table =
        mmap(NULL, table_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    wake->eventfd_of_slot = table != MAP_FAILED ? table : NULL;
    while (table != MAP_FAILED && wake->count < count) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0)
            break;
        wake->fds[wake->count++] = fd;
    }
    if (wake->count == count)
        return wake;
    int error = errno;
    wake_destroy(wake);
    errno = error;
    return NULL;
}

void wake_destroy(struct wake *wake)
{
    if (wake == NULL)
        return;
    for (unsigned i = 0; i < wake->count; i++)
        if (wake->fds[i] >= 0)
            close(wake->fds[i]);
    if (wake->eventfd_of_slot != NULL)
        munmap(wake->eventfd_of_slot, table_bytes());
    free(wake);
}

int wake_keep(struct wake *wake, unsigned place)
{
    unsigned own = place % wake->count;
    for (unsigned i = 0; i < wake->count; i++) {
        if (i == own || wake->fds[i] < 0)
            continue;
        close(wake->fds[i]);
        wake->fds[i] = -1;
    }
    return wake->fds[own];
}

void wake_enter(struct wake *wake, unsigned place, unsigned slot)
{
    assert(slot < SHM_SLOTS);
    __atomic_store_n(&wake->eventfd_of_slot[slot], (uint16_t)(place % wake->count + 1),
                     __ATOMIC_RELEASE);
}

void wake_slot(struct wake *wake, unsigned slot)
{
    static const uint64_t one = 1;
    assert(slot < SHM_SLOTS);
    unsigned number = __atomic_load_n(&wake->eventfd_of_slot[slot], __ATOMIC_ACQUIRE);
    if (number == 0 || number > wake->count)
        return;
    /* fails only if the counter is full: then the worker is awake */
    ssize_t written = write(wake->fds[number - 1], &one, sizeof(one));
    (void)written;
}
