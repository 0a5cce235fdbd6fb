/* SPDX-License-Identifier: MIT */
/*
 * A new owner changes nothing in the segment before all of it has been checked and the new
 * configuration fits it. Then it finishes a dead writer's log and makes the tables what the
 * configuration says (rebuild.c). Tools that write are kept out meanwhile; readers are not.
 *
 * (shm_store_inherit() in open.c is another case: there the former owner lives and serves.)
 */
#include "shm/lifecycle/takeover.h"

#include <unistd.h>

#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/lifecycle/contents.h"
#include "shm/lifecycle/store_config.h"
#include "shm/rebuild/duplicates.h"
#include "shm/rebuild/rebuild.h"
#include "shm/segment/check.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/segment/segment_map.h"

/* Whether the segment fits this configuration, as far as that is known before it is mapped. Sets
 * store->size. */
static int adopt_config(struct shm_store *store, const struct shm_config *config,
                        const struct shm_geometry *geometry, struct shm_fault *fault)
{
    uint64_t size = config->size / SHM_PAGE * SHM_PAGE;
    int rc = shm_config_check_unique(config, fault);
    if (rc == SHM_OK)
        rc = shm_config_check_size(config->size, fault);
    if (rc == SHM_OK)
        rc = shm_config_check_disk(config, fault);
    if (rc != SHM_OK)
        return rc;
    if (config->max_users < geometry->users || config->max_users == 0 ||
        config->max_users > UINT64_C(1) << 32)
        return shm_fail(fault, SHM_EINVAL, "max-users %llu: segment %s holds %llu users already",
                        (unsigned long long)config->max_users, store->name,
                        (unsigned long long)geometry->users);
    if (size < geometry->arena_end - SHM_BASE)
        return shm_fail(fault, SHM_EINVAL,
                        "segment-size %llu: segment %s has grown to %llu bytes already",
                        (unsigned long long)config->size, store->name,
                        (unsigned long long)(geometry->arena_end - SHM_BASE));
    store->size = size;
    return SHM_OK;
}

static int recover_dead_writer(struct shm_store *store, struct shm_fault *fault)
{
    int rc = shm_writer_wait(store);
    if (rc != SHM_OK)
        return shm_writer_fail(store, rc, fault);
    shm_writer_unlock();
    shm_actor_reap(store);
    return SHM_OK;
}

static void set_limit(uint64_t limit)
{
    uint64_t grown = shm_control()->arena_end - SHM_BASE;
    __atomic_store_n(&shm_control()->limit, limit > grown ? limit : grown, __ATOMIC_RELAXED);
}

/* A tool may be in a section in which it loaded a `published` that the former owner set. This owner
 * may set a later one, or have no journal that keeps older commits (shm_kept_from()). What only
 * older commits show was retired long ago, and its own grace period says nothing about that tool.
 * So reclaim waits for this one first. No process reclaims yet, so the order of the stores matters
 * only if this process dies between them: published_gp is never greater than gp. */
static void begin_grace_period(void)
{
    struct shm_control *control = shm_control();
#ifndef SHM_MUTANT_MODE_NO_WAIT
    __atomic_store_n(&control->gp, control->gp + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&control->published_gp, control->gp, __ATOMIC_RELEASE);
#else
    (void)control;
#endif
}

/* Adopts the mapped segment. The tables are rebuilt first, and max_users and held_max are written
 * afterwards: if this process fails or dies in between, the next owner finds a segment with the old
 * configuration. Only the limit must be raised before the arena grows. */
static int adopt_segment(struct shm_store *store, const struct shm_config *config,
                         struct shm_fault *fault)
{
    struct shm_control *control = shm_control();
    int rc = recover_dead_writer(store, fault);
    if (rc == SHM_OK)
        rc = shm_rebuild_check(store, config, fault);
    if (rc != SHM_OK)
        return rc;
    uint64_t limit = control->limit;
    control->pid_namespace = shm_pid_namespace(); /* tools that attach meanwhile check it */
    set_limit(limit > store->size ? limit : store->size);
    rc = shm_rebuild(store, config, fault);
    if (rc != SHM_OK) {
        set_limit(limit);
        return rc;
    }
    set_limit(store->size);
    control->max_users = config->max_users;
    control->held_max = shm_config_held_max(config);
    shm_config_set_disk(config);
    begin_grace_period();
    return SHM_OK;
}

static int take_over(struct shm_store *store, const struct shm_config *config,
                     struct shm_fault *fault)
{
    struct shm_geometry geometry;
    int rc = shm_check_file(store->fd, store->name, &geometry, fault);
    if (rc == SHM_OK)
        rc = adopt_config(store, config, &geometry, fault);
    if (rc == SHM_OK)
        rc = shm_check_contents(store->fd, config, &geometry, fault);
    if (rc == SHM_OK && config->fits != NULL)
        rc = config->fits(config->disk_data, geometry.store_id, geometry.version, fault);
    if (rc == SHM_OK)
        rc = shm_segment_map(store, fault);
    if (rc != SHM_OK)
        return rc;
    rc = adopt_segment(store, config, fault);
    if (rc != SHM_OK)
        shm_segment_unmap(store);
    return rc;
}

int shm_take_over(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault)
{
    int rc = shm_file_open(&store->fd, store->name, SHM_AS_OWNER, fault);
    if (rc != SHM_OK)
        return rc;
    SHM_POINT("file opened");
    rc = shm_owner_take(store->fd, store->name, fault);
#ifndef SHM_MUTANT_NO_NAME_LOOK
    /* The file may have been removed or replaced between open and lock, by a process that held the
     * lock then. The number of links does not tell, because the file may have its kept link. */
    if (rc == SHM_OK && !shm_store_has_name(store))
        rc = shm_fail(fault, SHM_ENOSEG, "segment %s: it was removed just now", store->name);
#endif
    if (rc == SHM_OK)
        rc = shm_name_check_claim(store->fd, store->name, fault);
    if (rc == SHM_OK)
        rc = shm_guests_exclude(store->fd, store->name, fault);
    if (rc == SHM_OK)
        rc = take_over(store, config, fault);
    if (rc != SHM_OK)
        close(store->fd);
    else
        shm_guests_admit(store->fd);
    return rc;
}
