/* SPDX-License-Identifier: MIT */
/* The segment's life: built whole, or taken over (takeover.c), and mapped. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/internal.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { RACES_MAX = 16, MIN_BUCKETS = 8192 };

/* At most a user a bucket: a lookup meets 1.5 nodes at worst, and buckets take 8 to 16
 * bytes a user. */
uint64_t shm_bucket_count(uint64_t max_users)
{
    uint64_t n = MIN_BUCKETS;
    while (n < max_users)
        n *= 2;
    return n;
}

/* The bytes of a table: whole extents. */
uint64_t shm_table_size(uint64_t buckets)
{
    return shm_round_up(buckets * sizeof(struct cds_hlist_head), SHM_EXTENT);
}

/* The bytes of all tables: by id, and by each unique key. */
static uint64_t tables_size(const struct shm_config *config)
{
    unsigned tables = 1 + (unsigned)__builtin_popcount(config->unique);
    return tables * shm_table_size(shm_bucket_count(config->max_users));
}

int shm_check_unique(const struct shm_config *config, struct shm_fault *fault)
{
    if (config->unique >> SHM_KEYS != 0 || (config->unique != 0 && config->key_of == NULL))
        return shm_fail(fault, SHM_EINVAL, "unique %#x: there are %d keys, told by key_of",
                        config->unique, SHM_KEYS);
    return SHM_OK;
}

static int check_config(const struct shm_config *config, struct shm_fault *fault)
{
    int rc = shm_check_unique(config, fault);
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
    return shm_check_size(config->size, fault);
}

int shm_check_size(uint64_t size, struct shm_fault *fault)
{
    if (size <= SHM_SIZE_MAX)
        return SHM_OK;
    return shm_fail(fault, SHM_EINVAL,
                    "segment-size %llu: must be at most %llu bytes (%lluG), more cannot be mapped "
                    "in each process",
                    (unsigned long long)size, (unsigned long long)SHM_SIZE_MAX,
                    (unsigned long long)(SHM_SIZE_MAX >> 30));
}

int shm_segment_map(struct shm_store *store, struct shm_fault *fault)
{
    void *base = (void *)(uintptr_t)SHM_BASE;
    int prot = store->locked_out ? PROT_READ : PROT_READ | PROT_WRITE;
    void *at = mmap(base, store->size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                    store->fd, 0);
    if (at == base) {
        (void)madvise(base, store->size, MADV_DONTDUMP);
        return SHM_OK;
    }
    int error = errno;
    if (at != MAP_FAILED) { /* a kernel before 4.17 takes it as a hint */
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

uint64_t shm_held_max(const struct shm_config *config)
{
    return config->snapshot_max_bytes != 0 ? config->snapshot_max_bytes : UINT64_C(256) << 20;
}

static int fill_header(void)
{
    struct shm_header *header = shm_header();
    if (getrandom(header->secret, sizeof(header->secret), 0) != sizeof(header->secret))
        return SHM_ESYS;
    header->created_at = (uint64_t)time(NULL);
    shm_header_fill(header);
    return SHM_OK;
}

/* The file is all zeros: so are empty buckets. */
static void fill_table(struct shm_table *table, uint64_t buckets)
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
    control->held_max = shm_held_max(config);
    control->alloc[SHM_ALLOC_ARENA_CUR] = SHM_BASE + SHM_ARENA_AT;
    fill_table(&control->ids, buckets);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if ((config->unique >> key & 1) != 0)
            fill_table(&control->unique[key], buckets);
    CDS_INIT_LIST_HEAD(&control->order);
    for (unsigned level = 0; level < SHM_LEVELS; level++)
        control->index_tail[level] = &control->index[level];
    shm_slots_init(0, SHM_SLOTS_STEP);
    return shm_mutex_init(&control->writer);
}

/* Everything below the arena is small; what follows takes huge pages. */
static int allocate(struct shm_store *store, uint64_t end, struct shm_fault *fault)
{
    int rc = shm_file_allocate(store->fd, 0, SHM_CONTROL_END, fault);
    if (rc == SHM_OK)
        rc = shm_file_allocate(store->fd, SHM_SLOTS_AT, SHM_SLOTS_STEP * sizeof(struct shm_slot),
                               fault);
    if (rc == SHM_OK)
        rc = shm_allocate_huge(store->fd, SHM_ARENA_AT, end - SHM_ARENA_AT, fault);
    return rc;
}

/* Mapping, memory, contents: the file has no name yet, so a failure leaves nothing. */
static int build(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault)
{
    uint64_t buckets = shm_bucket_count(config->max_users);
    uint64_t end = shm_round_up(SHM_ARENA_AT + tables_size(config) + SHM_HUGE / 2, SHM_HUGE);
    store->size = config->size / SHM_PAGE * SHM_PAGE;
    if (end > store->size)
        end = store->size;
    int rc = shm_segment_map(store, fault);
    if (rc != SHM_OK)
        return rc;
    rc = allocate(store, end, fault);
    if (rc == SHM_OK) {
        rc = fill_header();
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

static int create(struct shm_store *store, const struct shm_config *config, struct shm_fault *fault)
{
    int rc = check_config(config, fault);
    if (rc == SHM_OK)
        rc = shm_file_create(&store->fd, store->name, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_owner_take(store->fd, store->name, fault);
    if (rc == SHM_OK)
        rc = shm_name_check_claim(store->fd, store->name, fault);
    if (rc == SHM_OK) /* whoever removed the name meant the users, too */
        shm_name_remove_stale(store->name);
    if (rc == SHM_OK)
        rc = build(store, config, fault);
    if (rc == SHM_OK) {
        shm_control()->pid_namespace = shm_pid_namespace();
        rc = shm_file_publish(store->fd, store->name, fault);
        if (rc != SHM_OK)
            shm_segment_unmap(store);
    }
    if (rc != SHM_OK)
        close(store->fd);
    return rc;
}

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
    memcpy(store->name, name, strlen(name) + 1);
    return store;
}

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
        rc = create(store, config, fault);
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
