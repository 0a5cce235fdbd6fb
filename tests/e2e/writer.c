/* SPDX-License-Identifier: MIT */
/*
 * A process that writes to a server's segment, for the end-to-end tests. It prints one line of
 * JSON.
 *   writer SEGMENT info
 *       prints what memory the table uses now
 *   writer SEGMENT update FIRST COUNT UPDATES RATE
 *       gives the COUNT users after the first FIRST a new role in turn, UPDATES times in
 *       all, RATE per second (0: at full speed); prints the memory before, at most, and after
 *   writer SEGMENT stop POINT
 *   writer SEGMENT kill POINT
 *       takes the writer lock for a batch of new users, and stops or dies at this point
 *       of its commit; the points are those of shm_test_hook
 *   writer SEGMENT crowd
 *       takes every slot in the segment that is free or becomes free, until it is killed
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/store.h"
#include "user/user.h"

enum {
    CHUNK = 64, /* updates between two measurements of memory, and between two pauses */
    BATCH = 20, /* users in the commit that stops or dies */
};

void (*shm_test_hook)(const char *point);

static struct shm_store *store;
static struct shm_actor *actor;

static void writer_fail(const char *what, const char *why)
{
    fprintf(stderr, "writer: %s: %s\n", what, why);
    exit(1);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0')
        writer_fail(text, "is not a number");
    return value;
}

static void attach(const char *segment, enum shm_attach_mode mode, char **argv)
{
    struct shm_fault fault;
    int rc = shm_store_attach(&store, segment, mode, user_key_of, &fault);
    if (rc == SHM_EBASE)
        shm_exec_again(argv);
    if (rc != SHM_OK)
        writer_fail(segment, fault.text);
    if (mode == SHM_ATTACH_WRITE &&
        shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, &fault) != SHM_OK)
        writer_fail(segment, fault.text);
}

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- memory ---- */

struct memory {
    uint64_t bytes_used, held_count, held_bytes, retired_bytes;
};

static struct memory memory_now(void)
{
    struct shm_info info;
    shm_store_info(store, &info);
    return (struct memory){info.bytes_used, info.held_count, info.held_bytes, info.retired_bytes};
}

/* Raises each field of `most` to its current value. */
static void note_most(struct memory *most)
{
    struct memory now = memory_now();
    most->bytes_used = MAX(most->bytes_used, now.bytes_used);
    most->held_count = MAX(most->held_count, now.held_count);
    most->held_bytes = MAX(most->held_bytes, now.held_bytes);
    most->retired_bytes = MAX(most->retired_bytes, now.retired_bytes);
}

static void print_memory(const char *name, const struct memory *memory, const char *end)
{
    printf("\"%s\": {\"bytes_used\": %" PRIu64 ", \"held_count\": %" PRIu64
           ", \"held_bytes\": %" PRIu64 ", \"retired_bytes\": %" PRIu64 "}%s",
           name, memory->bytes_used, memory->held_count, memory->held_bytes, memory->retired_bytes,
           end);
}

/* ---- update ---- */

struct target {
    uint8_t id[SHM_ID_SIZE];
    uint16_t len;
    uint8_t body[USER_BODY_MAX];
};

static struct target *find_targets(uint64_t first, uint64_t count)
{
    struct target *targets = calloc(count, sizeof(*targets));
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    if (targets == NULL || shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        writer_fail("listing", "no memory or no pin");
    shm_cursor_first(&cursor, actor, &snapshot);
    for (uint64_t n = 0; n < first + count; n++) {
        int rc;
        do {
            rc = shm_cursor_next(&cursor, &user);
        } while (rc == SHM_EMORE);
        if (rc != SHM_OK || user.body_len > USER_BODY_MAX)
            writer_fail("listing", "there are not so many users");
        if (n < first)
            continue;
        struct target *target = &targets[n - first];
        memcpy(target->id, user.id, SHM_ID_SIZE);
        memcpy(target->body, user.body, user.body_len);
        target->len = (uint16_t)user.body_len;
    }
    shm_snapshot_end(actor, &snapshot);
    shm_actor_offline(actor);
    return targets;
}

/* Gives the user the role "roundN", which is another body of about the same size. */
static void update_user(const struct target *target, uint64_t round)
{
    struct user_fields fields;
    struct user_text roles[USER_ROLES_MAX];
    char role[32];
    uint8_t body[USER_BODY_MAX];
    int rc;
    if (!user_body_decode(&fields, roles, target->body, target->len))
        writer_fail("body", "is no user");
    snprintf(role, sizeof(role), "round%" PRIu64, round);
    roles[0] = (struct user_text){(const uint8_t *)role, strlen(role)};
    fields.roles = roles;
    fields.num_roles = 1;
    struct shm_new_user user = {.body = body,
                                .body_len = (uint32_t)user_body_encode(body, &fields)};
    memcpy(user.id, target->id, SHM_ID_SIZE);
    while ((rc = shm_users_update(actor, &user, 1, NULL)) == SHM_EBUSY)
        pause_ns(100000);
    shm_actor_offline(actor);
    if (rc != SHM_OK)
        writer_fail("update", shm_strerror(rc));
}

static void update_many(uint64_t first, uint64_t count, uint64_t updates, uint64_t rate)
{
    struct memory before = memory_now(), most = before, after;
    struct target *targets = find_targets(first, count);
    for (uint64_t n = 0; n < updates; n++) {
        update_user(&targets[n % count], n / count);
        if (n % CHUNK != CHUNK - 1)
            continue;
        note_most(&most);
        if (rate != 0)
            pause_ns((long)(CHUNK * UINT64_C(1000000000) / rate));
    }
    after = memory_now();
    free(targets);
    printf("{");
    print_memory("before", &before, ", ");
    print_memory("most", &most, ", ");
    print_memory("after", &after, "}\n");
}

/* ---- in the middle of a commit ---- */

/* For the hook, which has no argument for them. */
static const char *the_point;
static int the_signal;

static void at_point(const char *point)
{
    if (strcmp(point, the_point) != 0)
        return;
    printf("{\"at\": \"%s\"}\n", point);
    fflush(stdout);
    kill(getpid(), the_signal);
}

static void insert_batch(void)
{
    static uint8_t bodies[BATCH][USER_BODY_NO_ROLES_MAX];
    struct shm_new_user users[BATCH] = {0};
    struct uuid_source ids = {0};
    char name[32];
    int rc;
    for (size_t i = 0; i < BATCH; i++) {
        snprintf(name, sizeof(name), "writer%zu", i);
        const struct user_fields fields = {.username = {(const uint8_t *)name, strlen(name)}};
        uuid_random(&ids, users[i].id);
        users[i].body = bodies[i];
        users[i].body_len = (uint32_t)user_body_encode(bodies[i], &fields);
    }
    while ((rc = shm_users_insert(actor, users, BATCH, NULL)) == SHM_EBUSY)
        pause_ns(100000);
    if (rc != SHM_OK)
        writer_fail("insert", shm_strerror(rc));
}

static void crowd(void)
{
    struct shm_fault fault;
    unsigned joined = 1;
    struct shm_actor *more;
    while (shm_actor_join(&more, store, SHM_ACTOR_TOOL, joined, &fault) == SHM_OK)
        joined++;
    printf("{\"joined\":%u}\n", joined);
    fflush(stdout);
    for (;;) /* slots become free when other processes end */
        (void)shm_actor_join(&more, store, SHM_ACTOR_TOOL, joined, &fault);
}

int main(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[2] : "";
    if (strcmp(command, "info") == 0 && argc == 3) {
        attach(argv[1], SHM_ATTACH_READ, argv);
        struct memory now = memory_now();
        printf("{");
        print_memory("now", &now, "}\n");
    } else if (strcmp(command, "update") == 0 && argc == 7) {
        attach(argv[1], SHM_ATTACH_WRITE, argv);
        update_many(parse_number(argv[3]), parse_number(argv[4]), parse_number(argv[5]),
                    parse_number(argv[6]));
    } else if ((strcmp(command, "stop") == 0 || strcmp(command, "kill") == 0) && argc == 4) {
        attach(argv[1], SHM_ATTACH_WRITE, argv);
        the_point = argv[3];
        the_signal = command[0] == 's' ? SIGSTOP : SIGKILL;
        shm_test_hook = at_point;
        insert_batch();
    } else if (strcmp(command, "crowd") == 0 && argc == 3) {
        attach(argv[1], SHM_ATTACH_WRITE, argv);
        crowd();
    } else {
        writer_fail("usage", "see tests/e2e/writer.c");
    }
    shm_actor_leave(actor);
    shm_store_close(store);
    return 0;
}
