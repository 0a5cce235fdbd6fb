/* SPDX-License-Identifier: MIT */
#include "shm/segment/segment_map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/segment/segment_file.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct shm_store *shm_store_new(const char *name, int *rc, struct shm_fault *fault)
{
    char path[300];
    *rc = shm_segment_path(path, name, fault);
    if (*rc != SHM_OK)
        return NULL;
    struct shm_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        *rc = shm_fail(fault, SHM_ESYS, "segment %s: out of memory", name);
        return NULL;
    }
    assert(strlen(name) < sizeof(store->name)); /* as shm_segment_path() says */
    memcpy(store->name, name, strlen(name) + 1);
    return store;
}

int shm_segment_map(struct shm_store *store, struct shm_fault *fault)
{
    void *base = (void *)(uintptr_t)SHM_BASE;
    assert(store->size > SHM_ARENA_AT && store->size <= SHM_SIZE_MAX);
    int prot = store->locked_out ? PROT_READ : PROT_READ | PROT_WRITE;
    void *at = mmap(base, store->size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                    store->fd, 0);
    if (at == base) {
        (void)madvise(base, store->size, MADV_DONTDUMP);
        return SHM_OK;
    }
    int error = errno;
    if (at != MAP_FAILED) { /* a kernel before 4.17 takes the address as a hint */
        munmap(at, store->size);
        error = EEXIST;
    }
    return shm_fail(
        fault, error == EEXIST ? SHM_EBASE : SHM_ESYS,
        "segment %s: cannot map %llu bytes at %p: %s", store->name, (unsigned long long)store->size,
        base, error == EEXIST ? "the address range is taken in this process" : strerror(error));
}

bool shm_base_free(void)
{
    void *base = (void *)(uintptr_t)SHM_BASE;
    void *at = mmap(base, SHM_SIZE_MAX, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != MAP_FAILED)
        munmap(at, SHM_SIZE_MAX);
    return at == base;
}

void shm_segment_unmap(struct shm_store *store)
{
    munmap((void *)(uintptr_t)SHM_BASE, store->size);
}
