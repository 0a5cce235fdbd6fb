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

/* @param error what mmap() said */
static int fail_map(const struct shm_store *store, int error, struct shm_fault *fault)
{
    unsigned long long size = store->size;
    void *base = (void *)(uintptr_t)SHM_BASE;
    if (error == EEXIST)
        return shm_fail(fault, SHM_EBASE,
                        "segment %s: cannot map %llu bytes at %p: the address range is taken in "
                        "this process",
                        store->name, size, base);
    return shm_fail(fault, SHM_ESYS,
                    "segment %s: cannot map its segment-size, %llu bytes, at %p: %s", store->name,
                    size, base, strerror(error));
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
    return fail_map(store, error, fault);
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
