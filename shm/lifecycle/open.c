/* SPDX-License-Identifier: MIT */
/* An owner opens its segment: it takes over the one that is there, or creates one. */
#include <stdlib.h>
#include <unistd.h>

#include "shm/core/store_handle.h"
#include "shm/error.h"
#include "shm/lifecycle/segment_create.h"
#include "shm/lifecycle/takeover.h"
#include "shm/name.h"
#include "shm/segment/name_links.h"
#include "shm/segment/segment_map.h"
#include "shm/store.h"

enum { RACES_MAX = 16 };

int shm_store_open(struct shm_store **out, const struct shm_config *config, struct shm_fault *fault)
{
    int rc;
    struct shm_store *store = shm_store_new(config->name, &rc, fault);
    if (store == NULL)
        return rc;
    store->owner = true;
    store->key_of = config->key_of;
    for (int races = 0; races < RACES_MAX; races++) {
        rc = shm_take_over(store, config, fault);
        if (rc != SHM_ENOSEG)
            break;
        rc = shm_segment_create(store, config, fault);
        if (rc != SHM_EEXIST)
            break;
    }
    if (rc == SHM_OK)
        *out = store;
    else
        free(store);
    return rc;
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
