/* SPDX-License-Identifier: MIT */
/*
 * A segment whose file has lost all its links lives only as long as processes have it open. Before
 * the last one ends it copies the segment into a new file, because a file without links cannot get
 * a name again.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/store.h"

enum { STEP = 1 << 20 }; /* bytes of one write */

static int write_all(int fd, uint64_t at, uint64_t end, const char *name, struct shm_fault *fault)
{
    while (at < end) {
        size_t len = end - at < STEP ? (size_t)(end - at) : STEP;
        ssize_t written = pwrite(fd, (const void *)(uintptr_t)(SHM_BASE + at), len, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return shm_fail(fault, SHM_ESYS, "segment %s: cannot save it: %s", name,
                            strerror(errno));
        at += (uint64_t)written;
    }
    return SHM_OK;
}

/* Allocates the whole new file, like the old one; holes stay zero without being read. Memory beyond
 * this mapping is not in use: an owner with a larger segment-size was killed while the arena grew.
 */
static int save_copy(const struct shm_store *store, int fd, struct shm_fault *fault)
{
    struct stat st;
    if (fstat(store->fd, &st) != 0)
        return shm_fail(fault, SHM_ESYS, "segment %s: %s", store->name, strerror(errno));
    off_t end = (uint64_t)st.st_size < store->size ? st.st_size : (off_t)store->size;
    int rc = shm_file_allocate(fd, 0, (uint64_t)end, fault);
    off_t from = 0, to = 0;
    while (rc == SHM_OK && (from = lseek(store->fd, to, SEEK_DATA)) >= 0 && from < end) {
        to = lseek(store->fd, from, SEEK_HOLE);
        to = to < end ? to : end;
        rc = write_all(fd, (uint64_t)from, (uint64_t)to, store->name, fault);
    }
    return rc;
}

/* Finishes the commits of dead processes and releases their locks, so that the copy has neither.
 */
static int save_calm(struct shm_store *store, struct shm_fault *fault)
{
    int rc = shm_guests_exclude(store->fd, store->name, fault);
    if (rc != SHM_OK)
        return rc;
    shm_actor_reap(store);
    rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return shm_writer_fail(store, rc, fault);
    shm_writer_unlock();
    return SHM_OK;
}

static int publish_aside(int fd, const char *name, char saved_as[256], struct shm_fault *fault)
{
    int rc = SHM_EEXIST;
    for (int i = 0; rc == SHM_EEXIST && i < SHM_ASIDE_MAX && shm_name_aside(saved_as, name, i); i++)
        rc = shm_file_publish(fd, saved_as, fault);
    return rc;
}

int shm_store_save(struct shm_store *store, char saved_as[256], struct shm_fault *fault)
{
    int fd, rc = save_calm(store, fault);
    if (rc == SHM_OK)
        rc = shm_file_create(&fd, store->name, fault);
    if (rc != SHM_OK)
        return rc;
    rc = save_copy(store, fd, fault);
    if (rc == SHM_OK)
        rc = saved_as != NULL ? publish_aside(fd, store->name, saved_as, fault)
                              : shm_file_publish(fd, store->name, fault);
    close(fd);
    return rc;
}
