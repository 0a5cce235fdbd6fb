/* SPDX-License-Identifier: MIT */
/* Tools attach to the segment of a live or of a dead owner. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/rebuild/rebuild.h"
#include "shm/segment/check.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/segment/segment_map.h"
#include "shm/store.h"

/* Maps the arena read-only for a reading tool, which writes only to the pages before it: to its
 * slot and to the locks. store->readonly marks such a tool in the rest of the library: it may be
 * attached during a take-over, and trusts no pointer. */
static int protect_arena(struct shm_store *store, struct shm_fault *fault)
{
    store->readonly = mprotect((void *)(uintptr_t)(SHM_BASE + SHM_ARENA_AT),
                               store->size - SHM_ARENA_AT, PROT_READ) == 0;
    if (store->readonly)
        return SHM_OK;
    int error = errno;
    shm_segment_unmap(store);
    return shm_fail(fault, SHM_ESYS, "segment %s: cannot map it read-only: %s", store->name,
                    strerror(error));
}

/* Finishes a dead owner's commit. It may begin a rebuild or drop an index, so a tool that writes
 * must read the tables after that. */
static int finish_log(struct shm_store *store, struct shm_fault *fault)
{
    if (__atomic_load_n(&shm_log()->state, __ATOMIC_ACQUIRE) == SHM_LOG_IDLE)
        return SHM_OK;
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return shm_writer_fail(store, rc, fault);
    shm_writer_unlock();
    return SHM_OK;
}

static int check_tables(struct shm_store *store, struct shm_fault *fault)
{
    int rc = finish_log(store, fault);
    if (rc == SHM_OK && shm_rebuild_unfinished())
        rc = shm_fail(fault, SHM_EBUSY,
                      "segment %s: its server died while it rebuilt the tables: start the "
                      "server to finish that",
                      store->name);
    return rc;
}

static int attach_tool(struct shm_store *store, enum shm_attach_mode mode, struct shm_fault *fault)
{
    struct shm_geometry geometry;
    if (mode == SHM_ATTACH_WRITE) {
        int busy = shm_guest_enter(store->fd, store->name, fault);
        if (busy != SHM_OK)
            return busy;
    }
    int rc = shm_check_file(store->fd, store->name, &geometry, fault);
    if (rc != SHM_OK)
        return rc;
    store->size = geometry.limit;
    rc = shm_segment_map(store, fault);
    if (rc != SHM_OK)
        return rc;
    if (!store->locked_out && shm_owner_present(store) &&
        shm_control()->pid_namespace != shm_pid_namespace()) {
        shm_segment_unmap(store);
        return shm_fail(fault, SHM_EPERM,
                        "segment %s: its server runs in another pid namespace, where its locks "
                        "do not hold",
                        store->name);
    }
    if (mode != SHM_ATTACH_WRITE)
        return store->locked_out ? SHM_OK : protect_arena(store, fault);
    rc = check_tables(store, fault);
    if (rc != SHM_OK)
        shm_segment_unmap(store);
    return rc;
}

int shm_store_attach(struct shm_store **out, const char *name, enum shm_attach_mode mode,
                     shm_key_of *key_of, struct shm_fault *fault)
{
    int rc;
    struct shm_store *store = shm_store_new(name, &rc, fault);
    if (store == NULL)
        return rc;
    store->key_of = key_of;
    rc = shm_file_open(&store->fd, name, mode == SHM_ATTACH_READ ? SHM_AS_READER : SHM_AS_TOOL,
                       fault);
    if (rc == SHM_OK) {
        store->locked_out = store->readonly = !shm_file_writable(store->fd);
        rc = attach_tool(store, mode, fault);
        if (rc != SHM_OK)
            close(store->fd);
    }
    if (rc == SHM_OK)
        *out = store;
    else
        free(store);
    return rc;
}

int shm_store_user(const char *name, uid_t *uid, gid_t *gid, struct shm_fault *fault)
{
    char path[300];
    struct stat st;
    int rc = shm_file_path(path, name, fault);
    if (rc != SHM_OK)
        return rc;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR /* a file in the place of its directory */
                   ? shm_fail(fault, SHM_ENOSEG, "segment %s: no such segment", name)
                   : shm_fail(fault, SHM_ESYS, "segment %s: %s", name, strerror(errno));
    *uid = st.st_uid;
    *gid = st.st_gid;
    return SHM_OK;
}
