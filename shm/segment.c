/* SPDX-License-Identifier: MIT */
/* The segment's life: built whole, found again, mapped, unlinked. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "shm/internal.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { RACES_MAX = 16, MIN_BUCKETS = 8192 };

/* At most 4/3 users a bucket: a lookup meets 1.7 nodes at worst, and buckets stay
 * under 11 bytes a user. */
static uint64_t bucket_count(uint64_t max_users)
{
    uint64_t n = MIN_BUCKETS;
    while (n / 3 * 4 < max_users)
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
    return tables * shm_table_size(bucket_count(config->max_users));
}

static int check_config(const struct shm_config *config, struct shm_fault *fault)
{
    if (config->unique >> SHM_KEYS != 0 || (config->unique != 0 && config->key_of == NULL))
        return shm_fail(fault, SHM_EINVAL, "unique %#x: there are %d keys, told by key_of",
                        config->unique, SHM_KEYS);
    if (config->max_users == 0 || config->max_users > UINT64_C(1) << 32)
        return shm_fail(fault, SHM_EINVAL, "max-users %llu: must be 1 to %llu",
                        (unsigned long long)config->max_users, 1ULL << 32);
    uint64_t least = SHM_ARENA_AT + tables_size(config) + 4 * SHM_EXTENT;
    if (config->size < least || config->size > UINT64_C(1) << 44)
        return shm_fail(fault, SHM_EINVAL,
                        "segment-size %llu: must be %llu to %llu bytes for %llu users",
                        (unsigned long long)config->size, (unsigned long long)least, 1ULL << 44,
                        (unsigned long long)config->max_users);
    return SHM_OK;
}

static int map(struct shm_store *store, struct shm_fault *fault)
{
    void *base = (void *)(uintptr_t)SHM_BASE;
    int prot = store->locked_out ? PROT_READ : PROT_READ | PROT_WRITE;
    void *at = mmap(base, store->size, prot,
                    MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, store->fd, 0);
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

static void unmap(struct shm_store *store)
{
    munmap((void *)(uintptr_t)SHM_BASE, store->size);
}

static uint64_t held_max(const struct shm_config *config)
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
    control->held_max = held_max(config);
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
    uint64_t buckets = bucket_count(config->max_users);
    uint64_t end = shm_round_up(SHM_ARENA_AT + tables_size(config) + SHM_HUGE / 2, SHM_HUGE);
    store->size = config->size / SHM_PAGE * SHM_PAGE;
    if (end > store->size)
        end = store->size;
    int rc = map(store, fault);
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
        unmap(store);
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
        rc = build(store, config, fault);
    if (rc == SHM_OK) {
        shm_control()->pid_namespace = shm_pid_namespace();
        rc = shm_file_publish(store->fd, store->name, fault);
        if (rc != SHM_OK)
            unmap(store);
    }
    if (rc != SHM_OK)
        close(store->fd);
    return rc;
}

/* The values that a re-attach may change. Nobody else writes them: we own the segment. */
static int adopt_config(struct shm_store *store, const struct shm_config *config,
                        const struct shm_geometry *geometry, struct shm_fault *fault)
{
    uint64_t size = config->size / SHM_PAGE * SHM_PAGE;
    if (config->max_users < geometry->users || config->max_users == 0 ||
        config->max_users > UINT64_C(1) << 32)
        return shm_fail(fault, SHM_EINVAL, "max-users %llu: segment %s holds %llu users already",
                        (unsigned long long)config->max_users, store->name,
                        (unsigned long long)geometry->users);
    if (size < geometry->arena_end - SHM_BASE || size > UINT64_C(1) << 44)
        return shm_fail(fault, SHM_EINVAL,
                        "segment-size %llu: segment %s has grown to %llu bytes already",
                        (unsigned long long)config->size, store->name,
                        (unsigned long long)(geometry->arena_end - SHM_BASE));
    store->size = size;
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
    if (rc == SHM_OK)
        rc = map(store, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_writer_lock(store); /* recovers what a dead writer left */
    if (rc == SHM_OK) {
        shm_control()->limit = store->size;
        shm_control()->max_users = config->max_users;
        shm_control()->held_max = held_max(config);
        shm_control()->pid_namespace = shm_pid_namespace();
        shm_writer_unlock();
        shm_actor_reap(store);
        return SHM_OK;
    }
    unmap(store);
    return shm_fail(fault, rc, "segment %s: cannot take its writer lock: %s", store->name,
                    shm_strerror(rc));
}

static int reattach(struct shm_store *store, const struct shm_config *config,
                    struct shm_fault *fault)
{
    int rc = shm_file_open(&store->fd, store->name, SHM_AS_OWNER, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_owner_take(store->fd, store->name, fault);
    if (rc == SHM_OK && !shm_file_linked(store->fd)) /* unlinked between open and lock */
        rc = shm_fail(fault, SHM_ENOSEG, "segment %s: it was removed just now", store->name);
    if (rc == SHM_OK)
        rc = take_over(store, config, fault);
    if (rc != SHM_OK)
        close(store->fd);
    return rc;
}

static struct shm_store *new_store(const char *name, int *rc, struct shm_fault *fault)
{
    char path[300];
    *rc = shm_file_path(path, name, fault);
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
    struct shm_store *store = new_store(config->name, &rc, fault);
    if (store == NULL)
        return rc;
    store->owner = true;
    store->key_of = config->key_of;
    for (int races = 0; races < RACES_MAX; races++) {
        rc = reattach(store, config, fault);
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

static int attach(struct shm_store *store, enum shm_attach_mode mode, struct shm_fault *fault)
{
    struct shm_geometry geometry;
    int rc = shm_check_file(store->fd, store->name, &geometry, fault);
    if (rc != SHM_OK)
        return rc;
    store->size = geometry.limit;
    rc = map(store, fault);
    if (rc != SHM_OK)
        return rc;
    if (!store->locked_out && shm_owner_present(store) &&
        shm_control()->pid_namespace != shm_pid_namespace()) {
        unmap(store);
        return shm_fail(fault, SHM_EPERM,
                        "segment %s: its server runs in another pid namespace, where its locks "
                        "do not hold",
                        store->name);
    }
    /* Only the control pages are a reading tool's to write: its slot, the locks. */
    if (mode == SHM_ATTACH_WRITE || store->locked_out)
        return SHM_OK;
    store->readonly = mprotect((void *)(uintptr_t)(SHM_BASE + SHM_ARENA_AT),
                               store->size - SHM_ARENA_AT, PROT_READ) == 0;
    return SHM_OK;
}

int shm_store_attach(struct shm_store **out, const char *name, enum shm_attach_mode mode,
                     shm_key_of *key_of, struct shm_fault *fault)
{
    int rc;
    struct shm_store *store = new_store(name, &rc, fault);
    if (store == NULL)
        return rc;
    store->key_of = key_of;
    rc = shm_file_open(&store->fd, name, mode == SHM_ATTACH_READ ? SHM_AS_READER : SHM_AS_TOOL,
                       fault);
    if (rc == SHM_OK) {
        store->locked_out = store->readonly = !shm_file_writable(store->fd);
        rc = attach(store, mode, fault);
        if (rc != SHM_OK)
            close(store->fd);
    }
    if (rc == SHM_OK)
        *out = store;
    else
        free(store);
    return rc;
}

void shm_store_close(struct shm_store *store)
{
    if (store == NULL)
        return;
    unmap(store);
    close(store->fd);
    free(store);
}

int shm_store_unlink(const char *name, struct shm_fault *fault)
{
    char path[300];
    int fd;
    int rc = shm_file_open(&fd, name, SHM_AS_TOOL, fault);
    if (rc != SHM_OK)
        return rc;
    rc = shm_owner_take(fd, name, fault);
    if (rc == SHM_OK && !shm_file_linked(fd))
        rc = shm_fail(fault, SHM_ENOSEG, "segment %s: it was removed just now", name);
    if (rc == SHM_OK)
        rc = shm_file_path(path, name, fault);
    if (rc == SHM_OK && unlink(path) != 0)
        rc = shm_fail(fault, SHM_ESYS, "segment %s: cannot unlink it: %s", name, strerror(errno));
    if (rc == SHM_OK) {
        memcpy(path + strlen(path), ".stats", sizeof(".stats"));
        (void)unlink(path);
    }
    close(fd);
    return rc;
}
