/* SPDX-License-Identifier: MIT */
/*
 * A program of your own on the store: two processes share a table in shared memory.
 *   people /NAME     NAME names a segment, which this program creates and removes
 * The child inserts three people. The parent finds one of them by name, lists all of them from a
 * snapshot while it changes one, and prints what it sees. examples/store/Makefile builds it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/store.h"

/* The store does not know what a body means. Here it is "NAME: TEXT", and the name is unique. */
static uint32_t people_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    const uint8_t *colon = memchr(body, ':', body_len);
    if (key != 0 || colon == NULL || colon - body > SHM_KEY_MAX)
        return 0;
    memcpy(out, body, (size_t)(colon - body));
    return (uint32_t)(colon - body);
}

static void people_fail(const char *what, int error, const struct shm_fault *fault)
{
    fprintf(stderr, "people: %s: %s\n", what, fault != NULL ? fault->text : shm_strerror(error));
    exit(1);
}

/* A process takes part in the segment as an actor: it joins after fork and leaves before it ends.
 */
static struct shm_actor *people_join(struct shm_store *store, unsigned number)
{
    struct shm_fault fault;
    struct shm_actor *actor;
    int error = shm_actor_join(&actor, store, SHM_ACTOR_WORKER, number, &fault);
    if (error != SHM_OK)
        people_fail("join", error, &fault);
    return actor;
}

static struct shm_new_user people_new(uint8_t number, const char *body)
{
    struct shm_new_user user = {.body = (const uint8_t *)body, .body_len = (uint32_t)strlen(body)};
    user.id[0] = number;
    return user;
}

static void people_insert(struct shm_store *store)
{
    struct shm_actor *actor = people_join(store, 1);
    const struct shm_new_user users[] = {people_new(1, "ada: wrote the first program"),
                                         people_new(2, "grace: wrote the first compiler"),
                                         people_new(3, "barbara: found the substitution")};
    /* One commit: all three or none. */
    int error = shm_users_insert(actor, users, 3, NULL);
    if (error != SHM_OK)
        people_fail("insert", error, NULL);
    const struct shm_new_user again = people_new(4, "ada: somebody else");
    printf("insert a second ada: %s\n", shm_strerror(shm_users_insert(actor, &again, 1, NULL)));
    fflush(stdout);
    shm_actor_leave(actor);
}

static void people_list(struct shm_actor *actor)
{
    struct shm_snapshot snapshot;
    int error = shm_snapshot_begin(actor, &snapshot);
    if (error != SHM_OK)
        people_fail("snapshot", error, NULL);
    const struct shm_new_user changed = people_new(2, "grace: and named the bug");
    error = shm_users_update(actor, &changed, 1, NULL);
    if (error != SHM_OK)
        people_fail("update", error, NULL);
    /* The listing shows the table as it was when the snapshot began. */
    struct shm_cursor cursor;
    struct shm_user user;
    shm_cursor_first(&cursor, actor, &snapshot);
    while ((error = shm_cursor_next(&cursor, &user)) == SHM_OK || error == SHM_EMORE)
        if (error == SHM_OK)
            printf("%" PRIu64 " %.*s\n", user.seq, (int)user.body_len, (const char *)user.body);
    if (error != SHM_ENOENT)
        people_fail("list", error, NULL);
    shm_snapshot_end(actor, &snapshot);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: people /NAME\n", stderr);
        return 2;
    }
    const struct shm_config config = {.name = argv[1],
                                      .size = 64 << 20,
                                      .max_users = 1000,
                                      .unique = 1 << 0,
                                      .key_of = people_key_of};
    struct shm_fault fault;
    struct shm_store *store;
    int error = shm_store_open(&store, &config, &fault);
    if (error == SHM_EBASE)
        shm_exec_again(argv); /* the randomised address space left no room: start again */
    if (error != SHM_OK)
        people_fail("open", error, &fault);

    pid_t child = fork();
    if (child == 0) {
        people_insert(store);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        people_fail("the child failed", SHM_ESYS, NULL);

    struct shm_actor *actor = people_join(store, 0);
    struct shm_user user;
    error = shm_user_find_key(actor, 0, (const uint8_t *)"grace", 5, &user);
    if (error != SHM_OK)
        people_fail("find", error, NULL);
    printf("found %.*s\n", (int)user.body_len, (const char *)user.body);
    people_list(actor);
    error = shm_user_find(actor, user.id, &user);
    printf("now   %.*s\n", (int)user.body_len, (const char *)user.body);
    shm_actor_offline(actor); /* the pointers of `user` end here */

    shm_actor_leave(actor);
    shm_store_close(store);
    return shm_store_unlink(argv[1], &fault) == SHM_OK ? 0 : 1;
}
