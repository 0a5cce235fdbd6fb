/* SPDX-License-Identifier: MIT */
/* An owner opens its segment: it takes over an existing segment, or creates a new one. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/store_handle.h"
#include "shm/error.h"
#include "shm/lifecycle/segment_create.h"
#include "shm/lifecycle/takeover.h"
#include "shm/name.h"
#include "shm/segment/check.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_map.h"
#include "shm/store.h"

enum { RACES_MAX = 16 };

/* A handle for an owner. @return NULL on failure, with *rc set to the error */
static struct shm_store *new_owner(const struct shm_config *config, int *rc,
                                   struct shm_fault *fault)
{
    struct shm_store *store = shm_store_new(config->name, rc, fault);
    if (store == NULL)
        return NULL;
    store->owner = true;
    store->key_of = config->key_of;
    return store;
}

int shm_store_open(struct shm_store **out, const struct shm_config *config, struct shm_fault *fault)
{
    int rc;
    struct shm_store *store = new_owner(config, &rc, fault);
    if (store == NULL)
        return rc;
    for (int races = 0; races < RACES_MAX; races++) {
        rc = shm_take_over(store, config, fault);
        if (rc != SHM_ENOSEG)
            break;
        bool raced;
        rc = shm_segment_create(store, config, &raced, fault);
        if (!raced)
            break;
    }
    if (rc == SHM_OK)
        *out = store;
    else
        free(store);
    return rc;
}

static int inherit_segment(struct shm_store *store, struct shm_fault *fault)
{
    struct shm_geometry geometry;
    struct stat st;
    if (fstat(store->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return shm_fail(fault, SHM_EINVAL, "segment %s: what was handed over is no segment",
                        store->name);
    int rc = shm_owner_take(store->fd, store->name, fault);
    if (rc == SHM_OK)
        rc = shm_check_file(store->fd, store->name, &geometry, fault);
    if (rc != SHM_OK)
        return rc;
    store->size = geometry.limit;
    return shm_segment_map(store, fault);
}

int shm_store_inherit(struct shm_store **out, const struct shm_config *config, int fd,
                      struct shm_fault *fault)
{
    int rc;
    struct shm_store *store = new_owner(config, &rc, fault);
    if (store == NULL)
        return rc;
    store->fd = fd;
    rc = inherit_segment(store, fault);
    if (rc == SHM_OK)
        *out = store;
    else
        free(store);
    return rc;
}

int shm_store_fd(const struct shm_store *store)
{
    return store->fd;
}

enum shm_name_state shm_store_hold_name(struct shm_store *store)
{
    return shm_name_hold(store->fd, store->name);
}

void shm_store_close(struct shm_store *store)
{
    if (store == NULL)
        return;
    shm_segment_unmap(store);
    close(store->fd);
    free(store);
}
