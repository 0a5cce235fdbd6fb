/* SPDX-License-Identifier: MIT */
/* The segment under torture: its users by number, and everything that a survivor checks. */
#include "tests/torture/killer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/mapping.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/slots/slot.h"
#include "shm/table/tower.h"

struct shm_store *world_store;

enum { KEY0_AT = 8, KEY1_AT = 16, BODY_LEAST = 24, HIDDEN_MOST = 90, DRAIN_ROUNDS = 200 };

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->why, sizeof(w->why), format, args);
    va_end(args);
    _exit(1);
}

/* ---- users ---- */

void world_id(const struct world *w, unsigned n, uint8_t id[SHM_ID_SIZE])
{
    uint64_t words[2] = {(n + 1) * UINT64_C(0x9e3779b97f4a7c15), (uint64_t)w->salt[n] << 32 | n};
    memcpy(id, words, sizeof(words));
}

uint32_t world_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    if (body_len < BODY_LEAST)
        return 0;
    memcpy(out, body + (key == 0 ? KEY0_AT : KEY1_AT), 8);
    return 8;
}

static uint32_t make_body(const struct world *w, unsigned n, unsigned generation, uint8_t *body)
{
    uint64_t head[3] = {(uint64_t)generation << 32 | n, n * UINT64_C(0xd6e8feb86659fd93),
                        n ^ UINT64_C(0xa5a5a5a5a5a5a5a5)};
    if ((generation & WORLD_RENAMED) != 0) /* one key changes, the other stays */
        head[1] ^= UINT64_C(0x7777777777777777);
    uint32_t len =
        w->big && n < KILLER_BIG ? SHM_BODY_MAX : BODY_LEAST + (n * 7 + generation * 29) % 150;
    memset(body, (int)(n + generation) & 0xff, len);
    memcpy(body, head, sizeof(head));
    return len;
}

/* The second part of the body; a third of the users has none. */
static uint32_t make_hidden(const struct world *w, unsigned n, unsigned generation, uint8_t *hidden)
{
    uint32_t len = (w->big && n < KILLER_BIG) || n % 3 == 0 ? 0 : (n * 5 + generation * 31) % 90;
    memset(hidden, (int)(n * 3 + generation) & 0xff, len);
    return len;
}

static uint64_t hash_of(const struct world *w, unsigned n)
{
    uint8_t id[SHM_ID_SIZE];
    world_id(w, n, id);
    return shm_hash_id(shm_header(), id);
}

void world_choose(struct world *w, unsigned n, bool (*fits)(uint64_t hash, uint64_t data),
                  uint64_t data)
{
    while (!fits(hash_of(w, n), data))
        w->salt[n]++;
}

unsigned world_tower(const struct world *w, unsigned n)
{
    return shm_tower_height(hash_of(w, n));
}

uint64_t world_bucket(const struct world *w, unsigned n)
{
    return hash_of(w, n) & (shm_control()->ids.count - 1);
}

static struct shm_request the_request;
static bool has_request;

static struct shm_request request_of(unsigned n)
{
    struct shm_request request = {.time = 1000, .fingerprint = n};
    memset(request.id, (int)n, sizeof(request.id));
    return request;
}

void world_request(unsigned n)
{
    has_request = n != 0;
    the_request = request_of(n);
}

static uint64_t if_version;

uint64_t world_depend(struct world *w, struct shm_actor *actor, unsigned n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    world_id(w, n, id);
    world_check(w, shm_user_find(actor, id, &user) == SHM_OK);
    shm_actor_offline(actor);
    return if_version = user.version;
}

static int write_users(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                       unsigned generation, bool update)
{
    static struct shm_new_user users[SHM_BATCH_MAX];
    static uint8_t bodies[SHM_BATCH_MAX][SHM_BODY_MAX], hidden[SHM_BATCH_MAX][HIDDEN_MOST];
    for (unsigned i = 0; i < count; i++) {
        world_id(w, n + i, users[i].id);
        users[i].hidden = hidden[i];
        users[i].hidden_len = make_hidden(w, n + i, generation, hidden[i]);
        users[i].body = bodies[i];
        users[i].body_len = make_body(w, n + i, generation, bodies[i]);
        users[i].request = has_request ? &the_request : NULL;
        users[i].if_version = update && count == 1 ? if_version : 0;
    }
    return update ? shm_users_update(actor, users, count, NULL)
                  : shm_users_insert(actor, users, count, NULL);
}

int world_insert(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation)
{
    return write_users(w, actor, n, count, generation, false);
}

int world_update(struct world *w, struct shm_actor *actor, unsigned n, unsigned count,
                 unsigned generation)
{
    return write_users(w, actor, n, count, generation, true);
}

int world_delete(struct world *w, struct shm_actor *actor, unsigned n, unsigned count)
{
    static uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    for (unsigned i = 0; i < count; i++)
        world_id(w, n + i, ids[i]);
    return shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, count, NULL);
}

struct shm_actor *world_join(struct world *w)
{
    struct shm_actor *actor;
    struct shm_fault fault;
    if (shm_actor_join(&actor, world_store, SHM_ACTOR_WORKER, 7, &fault) != SHM_OK)
        world_fail(w, "cannot join: %s", fault.text);
    return actor;
}

int world_publish(struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    struct shm_durable durable = {
        .version = control->version, .feed = control->feed_head, .users = control->users};
    return control->disk.state != SHM_DISK_NONE ? shm_publish(actor, &durable) : SHM_OK;
}

void world_expect(struct world *w, unsigned n, unsigned count, unsigned generation)
{
    uint8_t *next = w->state[++w->commits];
    memcpy(next, w->state[w->commits - 1], sizeof(w->state[0]));
    memset(next + n, (int)generation, count);
}

/* ---- the survivor's checks ---- */

static void check_is(struct world *w, unsigned n, unsigned generation, const struct shm_user *user)
{
    uint8_t body[SHM_BODY_MAX], hidden[HIDDEN_MOST], id[SHM_ID_SIZE];
    uint32_t len = make_body(w, n, generation, body);
    uint32_t hidden_len = make_hidden(w, n, generation, hidden);
    world_id(w, n, id);
    if (user->body_len != len || memcmp(user->body, body, len) != 0 ||
        user->hidden_len != hidden_len || memcmp(shm_user_hidden(user), hidden, hidden_len) != 0 ||
        memcmp(user->id, id, SHM_ID_SIZE) != 0)
        world_fail(w, "user %u is not generation %u", n, generation);
}

static void check_keys(struct world *w, struct shm_actor *actor, unsigned n, unsigned generation)
{
    struct shm_user user;
    uint8_t body[SHM_BODY_MAX], value[SHM_KEY_MAX];
    uint32_t len = make_body(w, n, generation, body);
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        if (shm_control()->unique[key].buckets == NULL)
            continue;
        uint32_t value_len = world_key_of(key, body, len, value);
        int rc = shm_user_find_key(actor, key, value, value_len, &user);
        if (rc != (generation != 0 ? SHM_OK : SHM_ENOENT))
            world_fail(w, "user %u by key %u: %d", n, key, rc);
        if (generation != 0)
            check_is(w, n, generation, &user);
    }
    make_body(w, n, generation ^ WORLD_RENAMED, body);
    if (shm_control()->unique[0].buckets != NULL &&
        shm_user_find_key(actor, 0, value, world_key_of(0, body, len, value), &user) != SHM_ENOENT)
        world_fail(w, "user %u is found by a key that it has not", n);
}

static void check_listing(struct world *w, struct shm_actor *actor, const uint8_t *state)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint64_t seq = 0;
    unsigned seen = 0, there = 0;
    int rc;
    world_check(w, shm_snapshot_begin(actor, &snapshot) == SHM_OK);
    shm_cursor_first(&cursor, actor, &snapshot);
    while ((rc = shm_cursor_next(&cursor, &user)) == SHM_OK || rc == SHM_EMORE) {
        uint32_t n;
        if (rc == SHM_EMORE)
            continue;
        memcpy(&n, user.id + 8, sizeof(n));
        world_check(w, n < KILLER_USERS && state[n] != 0);
        world_check(w, user.seq > seq);
        check_is(w, n, state[n], &user);
        seq = user.seq;
        seen++;
    }
    world_check(w, rc == SHM_ENOENT);
    for (unsigned n = 0; n < KILLER_USERS; n++)
        there += state[n] != 0;
    if (seen != there)
        world_fail(w, "%u users are listed, %u exist", seen, there);
    shm_snapshot_end(actor, &snapshot);
}

/* The table must be as expected at this version, through every way of reading. */
static void check_users(struct world *w, struct shm_actor *actor, uint64_t version)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    world_check(w, version >= w->version && version - w->version <= w->commits);
    const uint8_t *state = w->state[version - w->version];
    for (unsigned n = 0; n < KILLER_USERS; n++) {
        world_id(w, n, id);
        int rc = shm_user_find(actor, id, &user);
        if (rc != (state[n] != 0 ? SHM_OK : SHM_ENOENT))
            world_fail(w, "version %llu: user %u: %d", (unsigned long long)version, n, rc);
        if (state[n] != 0)
            check_is(w, n, state[n], &user);
        check_keys(w, actor, n, state[n]);
    }
    check_listing(w, actor, state);
    shm_actor_offline(actor);
}

static void keep_first(void *data, const char *line)
{
    char *text = data;
    if (text[0] == '\0')
        snprintf(text, 256, "%s", line);
}

static void check_segment(struct world *w)
{
    struct shm_verify_report report;
    char line[256] = "";
    int rc = shm_store_verify(world_store, &report, keep_first, line);
    if (rc != SHM_OK)
        world_fail(w, "verify: %d: %s", rc, line);
    uint64_t arena = shm_control()->arena_end - SHM_BASE - SHM_ARENA_AT;
    uint64_t known = report.bytes_used + report.bytes_free + report.bytes_tables;
    if (known != arena)
        world_fail(w, "%llu of %llu bytes are accounted for", (unsigned long long)known,
                   (unsigned long long)arena);
}

static void check_reserves(struct world *w)
{
    for (unsigned i = 0; i < shm_slots_ready(); i++)
        if (shm_slot(i)->reserve != NULL)
            world_fail(w, "slot %u: the blocks reserved for a batch were not returned", i);
}

static void check_slots(struct world *w, const struct shm_actor *mine)
{
    for (unsigned i = 0; i < shm_slots_ready(); i++) {
        const struct shm_slot *slot = shm_slot(i);
        if (slot == mine->slot)
            continue;
        if (slot->state != 0 || slot->ctr != 0)
            world_fail(w, "slot %u was not reaped", i);
        for (unsigned p = 0; p < SHM_PINS; p++)
            if (slot->pins[p].count != 0)
                world_fail(w, "slot %u: pin %u was not reaped", i, p);
    }
}

/* The request was done if and only if its commit was. */
static void check_request(struct world *w, struct shm_actor *actor, uint64_t version)
{
    struct shm_request request = request_of(WORLD_REQUEST);
    int rc = shm_request_find(actor, &request);
    world_check(w, rc == (version > w->version ? SHM_OK : SHM_ENOENT));
    world_check(w, rc != SHM_OK || request.version == w->version + 1);
}

/* Grace periods advance: everything that is retired, before or from now on, is freed. */
static void check_drains(struct world *w, struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    world_check(w, world_update(w, actor, KILLER_FRESH, 1, 9) == SHM_OK);
    world_check(w, world_delete(w, actor, KILLER_FRESH, 1) == SHM_OK);
    world_check(w, world_publish(actor) == SHM_OK);
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        shm_maintain(actor);
        if (control->retired.count == 0 && control->unlinked.count == 0 && control->held_count == 0)
            return;
    }
    world_fail(w, "%llu blocks are retired, %llu unlinked, %llu held forever",
               (unsigned long long)control->retired.count,
               (unsigned long long)control->unlinked.count,
               (unsigned long long)control->held_count);
}

static void open_store(struct world *w, const struct shm_config *config)
{
    struct shm_fault fault;
    if (shm_store_open(&world_store, config, &fault) != SHM_OK)
        world_fail(w, "cannot open the store: %s", fault.text);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        world_check(w, (shm_control()->unique[key].buckets != NULL) ==
                           ((config->unique >> key & 1) != 0));
    world_check(w, shm_control()->rebuild.to.buckets == NULL);
}

void world_survive(struct world *w, uint64_t version, unsigned way)
{
    if (world_store == NULL)
        open_store(w, way == 1 ? &w->made : &w->config);
    if (way == 0)
        shm_actor_reap(world_store);
    struct shm_actor *actor = world_join(w);
    if (way == 2) /* a reader sees a consistent table before any process has recovered it */
        check_users(w, actor, shm_control()->published);
    uint64_t published = shm_control()->published;
    int rc = world_insert(w, actor, KILLER_FRESH, 1, 1);
    if (rc != SHM_OK)
        world_fail(w, "the next insert failed with %d", rc);
    if (shm_control()->version != version + 1)
        world_fail(w, "version %llu is committed, not %llu",
                   (unsigned long long)shm_control()->version - 1, (unsigned long long)version);
    world_check(w, shm_control()->published >= published);
    check_segment(w);
    if (w->requested)
        check_request(w, actor, version);
    shm_actor_reap(world_store);
    check_slots(w, actor);
    check_drains(w, actor);
    check_reserves(w);
    /* This survivor's commits, which it undid. */
    world_check(w, shm_control()->version == version + 3);
    check_users(w, actor, version);
    check_segment(w);
    shm_actor_leave(actor);
}
