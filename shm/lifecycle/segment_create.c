/* SPDX-License-Identifier: MIT */
/* A new segment is complete before its file gets a name. */
#include "shm/lifecycle/segment_create.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/robust_mutex.h"
#include "shm/core/store_handle.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"
#include "shm/lifecycle/store_config.h"
#include "shm/segment/check.h"
#include "shm/segment/grow.h"
#include "shm/segment/name_links.h"
#include "shm/segment/owner.h"
#include "shm/segment/segment_file.h"
#include "shm/segment/segment_map.h"
#include "shm/slots/slot.h"

/* The bytes of all tables: by id, and by each unique key. */
static uint64_t tables_size(const struct shm_config *config)
{
    unsigned tables = 1 + (unsigned)__builtin_popcount(config->unique);
    return tables * shm_table_size(shm_bucket_count(config->max_users));
}

static int check_config(const struct shm_config *config, struct shm_fault *fault)
{
    int rc = shm_config_check_unique(config, fault);
    if (rc == SHM_OK)
        rc = shm_config_check_disk(config, fault);
    if (rc != SHM_OK)
        return rc;
    if (config->max_users == 0 || config->max_users > UINT64_C(1) << 32)
        return shm_fail(fault, SHM_EINVAL, "max-users %llu: must be 1 to %llu",
                        (unsigned long long)config->max_users, 1ULL << 32);
    uint64_t least = SHM_ARENA_AT + tables_size(config) + 4 * SHM_EXTENT;
    if (config->size < least)
        return shm_fail(fault, SHM_EINVAL,
                        "segment-size %llu: must be at least %llu bytes for %llu users",
                        (unsigned long long)config->size, (unsigned long long)least,
                        (unsigned long long)config->max_users);
    return shm_config_check_size(config->size, fault);
}

/* A random UUID, version 4. */
static bool random_id(uint8_t id[SHM_STORE_ID_SIZE])
{
    if (getrandom(id, SHM_STORE_ID_SIZE, 0) != SHM_STORE_ID_SIZE)
        return false;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    return true;
}

static int fill_header(const struct shm_config *config)
{
    struct shm_header *header = shm_header();
    if (getrandom(header->secret, sizeof(header->secret), 0) != sizeof(header->secret))
        return SHM_ESYS;
    if (config->store_id != NULL)
        memcpy(header->store_id, config->store_id, sizeof(header->store_id));
    else if (!random_id(header->store_id))
        return SHM_ESYS;
    header->created_at = (uint64_t)clock_real_s();
    shm_header_fill(header);
    return SHM_OK;
}

/* The new file is all zeros, which are empty buckets. */
static void fill_new_table(struct shm_table *table, uint64_t buckets)
{
    uint64_t *arena_cur = &shm_control()->alloc[SHM_ALLOC_ARENA_CUR];
    table->buckets = (struct cds_hlist_head *)(uintptr_t)*arena_cur;
    table->count = buckets;
    *arena_cur += shm_table_size(buckets);
}

static int fill_control(const struct shm_config *config, uint64_t buckets, uint64_t arena_end)
{
    struct shm_control *control = shm_control();
    control->gp = 1;
    control->slots_ready = SHM_SLOTS_STEP;
    control->arena_end = SHM_BASE + arena_end;
    control->max_users = config->max_users;
    control->limit = config->size / SHM_PAGE * SHM_PAGE;
    control->held_max = shm_config_held_max(config);
    shm_config_set_disk(config);
    control->alloc[SHM_ALLOC_ARENA_CUR] = SHM_BASE + SHM_ARENA_AT;
    fill_new_table(&control->ids, buckets);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if ((config->unique >> key & 1) != 0)
            fill_new_table(&control->unique[key], buckets);
    CDS_INIT_LIST_HEAD(&control->order);
    for (unsigned level = 0; level < SHM_LEVELS; level++)
        control->index_tail[level] = &control->index[level];
    shm_slots_init(0, SHM_SLOTS_STEP);
    return shm_mutex_init(&control->writer);
}

/* Memory up to the arena in small pages, then the arena's in huge pages. */
static int allocate_new(struct shm_store *store, uint64_t end, struct shm_fault *fault)
{
    int rc = shm_file_allocate(store->fd, 0, SHM_CONTROL_END, fault);
    if (rc == SHM_OK)
        rc = shm_file_allocate(store->fd, SHM_SLOTS_AT, SHM_SLOTS_STEP * sizeof(struct shm_slot),
                               fault);
    if (rc == SHM_OK)
        rc = shm_allocate_huge(store->fd, SHM_ARENA_AT, end - SHM_ARENA_AT, fault);
    return rc;
}

/* What needs the memory is said before what is missing. */
static int fail_allocate(int rc, const char *name, const struct shm_config *config,
                         struct shm_fault *fault)
{
    if (fault == NULL)
        return rc;
    struct shm_fault reason = *fault;
    return shm_fail(fault, rc, "segment %s: the tables for max-users, %llu: %s", name,
                    (unsigned long long)config->max_users, reason.text);
}

/* Maps, allocates and fills the segment. The file has no name yet, so a failure leaves nothing. */
static int build_segment(struct shm_store *store, const struct shm_config *config,
                         struct shm_fault *fault)
{
    uint64_t buckets = shm_bucket_count(config->max_users);
    uint64_t end = shm_round_up(SHM_ARENA_AT + tables_size(config) + SHM_HUGE / 2, SHM_HUGE);
    store->size = config->size / SHM_PAGE * SHM_PAGE;
    if (end > store->size)
        end = store->size;
    int rc = shm_segment_map(store, fault);
    if (rc != SHM_OK)
        return rc;
    rc = allocate_new(store, end, fault);
    if (rc != SHM_OK) {
        rc = fail_allocate(rc, store->name, config, fault);
    } else {
        rc = fill_header(config);
        if (rc == SHM_OK)
            rc = fill_control(config, buckets, end);
        if (rc != SHM_OK)
            shm_fail(fault, rc, "segment %s: cannot initialise it: %s", store->name,
                     strerror(errno));
    }
    if (rc != SHM_OK)
        shm_segment_unmap(store);
    return rc;
}

/* Loads the users, and gives the file its name. */
static int fill_and_name(struct shm_store *store, const struct shm_config *config, bool *raced,
                         struct shm_fault *fault)
{
    store->filling = true;
    int rc = config->fill != NULL ? config->fill(config->disk_data, store, fault) : SHM_OK;
    store->filling = false;
    SHM_POINT("filled");
    if (rc != SHM_OK)
        return rc;
    if (shm_control()->version < shm_control()->feed_from)
        return shm_fail(fault, SHM_EINVAL, "segment %s: its loading was not ended", store->name);
    rc = shm_file_publish(store->fd, store->name, fault);
    *raced = rc == SHM_EEXIST;
    return rc;
}

int shm_segment_create(struct shm_store *store, const struct shm_config *config, bool *raced,
                       struct shm_fault *fault)
{
    *raced = false;
    int rc = check_config(config, fault);
    if (rc == SHM_OK)
        rc = shm_file_create(&store->fd, store->name, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_owner_take(store->fd, store->name, fault);
    if (rc == SHM_OK)
        rc = shm_name_check_claim(store->fd, store->name, fault);
    if (rc == SHM_OK) /* the name was removed, and with it the users */
        shm_name_remove_stale(store->name);
    if (rc == SHM_OK)
        rc = build_segment(store, config, fault);
    if (rc == SHM_OK) {
        shm_control()->pid_namespace = shm_pid_namespace();
        rc = fill_and_name(store, config, raced, fault);
        if (rc != SHM_OK)
            shm_segment_unmap(store);
    }
    if (rc != SHM_OK)
        close(store->fd);
    return rc;
}
