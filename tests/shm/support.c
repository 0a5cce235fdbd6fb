/* SPDX-License-Identifier: MIT */
#include "tests/shm/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/segment/name_links.h"
#include "shm/segment/segment_file.h"

enum { BODY = 64 };

static char created[64];
static pid_t creator;

/* Leaves out tests that this machine cannot run (scripts/cross-arm64): a pattern of names. */
__attribute__((constructor)) static void leave_out(void)
{
    const char *pattern = getenv("SHM_TESTS_WITHOUT");
    if (pattern != NULL)
        cmocka_set_skip_filter(pattern);
}

/* A failed test ends by longjmp, a failed program by exit: both reach this function. */
static void unlink_created(void)
{
    char path[300], kept[300];
    /* Not shm_store_unlink(): it refuses while the failed test still has the segment open. */
    if (getpid() != creator || shm_file_path(path, created, NULL) != SHM_OK)
        return;
    unlink(path);
    shm_name_kept_path(kept, created);
    unlink(kept);
    memcpy(path + strlen(path), ".stats", sizeof(".stats"));
    unlink(path);
}

static void on_abort(int signal)
{
    unlink_created();
    (void)signal;
}

int fixture_setup(void **state)
{
    static int count;
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->name, sizeof(f->name), "/rosterd-test-%ld-%d", (long)getpid(), count++);
    f->config = (struct shm_config){.name = f->name, .size = 256 << 20, .max_users = 1000};
    if (creator == 0) {
        atexit(unlink_created);
        signal(SIGABRT, on_abort);
    }
    creator = getpid();
    memcpy(created, f->name, sizeof(created));
    *state = f;
    return fixture_reopen(f) == SHM_OK ? 0 : -1;
}

int fixture_reopen(struct fixture *f)
{
    int rc = shm_store_open(&f->store, &f->config, &f->fault);
    if (rc == SHM_OK)
        rc = shm_actor_join(&f->actor, f->store, SHM_ACTOR_MASTER, 0, &f->fault);
    return rc;
}

void fixture_close(struct fixture *f)
{
    shm_actor_leave(f->actor);
    shm_store_close(f->store);
    f->actor = NULL;
    f->store = NULL;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    unlink_created();
    created[0] = '\0';
    free(f);
    return 0;
}

void user_id(uint8_t id[SHM_ID_SIZE], uint64_t n)
{
    uint64_t words[2] = {(n + 1) * UINT64_C(0x9e3779b97f4a7c15), n};
    memcpy(id, words, sizeof(words));
}

static void user_body(uint8_t body[BODY], uint64_t n)
{
    memset(body, (int)(n % 251), BODY);
    memcpy(body, &n, sizeof(n));
}

void users_insert(struct shm_actor *actor, uint64_t from, uint64_t to, size_t step)
{
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    static uint8_t bodies[SHM_BATCH_MAX][BODY];
    while (from < to) {
        size_t count = to - from < step ? (size_t)(to - from) : step;
        for (size_t i = 0; i < count; i++) {
            user_id(users[i].id, from + i);
            user_body(bodies[i], from + i);
            users[i].body = bodies[i];
            users[i].body_len = BODY;
        }
        int rc;
        do {
            rc = shm_users_insert(actor, users, count, NULL);
        } while (rc == SHM_EBUSY);
        assert_int_equal(rc, SHM_OK);
        from += count;
    }
}

int user_insert(struct shm_actor *actor, uint64_t n, uint32_t body_len)
{
    static uint8_t body[SHM_BODY_MAX + 1];
    struct shm_new_user user = {.body = body, .body_len = body_len};
    user_id(user.id, n);
    return shm_users_insert(actor, &user, 1, NULL);
}

struct shm_node *user_node(struct shm_actor *actor, uint64_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    assert_int_equal(shm_user_find(actor, id, &user), SHM_OK);
    return caa_container_of((uint8_t *)(uintptr_t)user.id, struct shm_node, id[0]);
}

void assert_user(struct shm_actor *actor, uint64_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    uint8_t body[BODY];
    user_id(id, n);
    user_body(body, n);
    assert_int_equal(shm_user_find(actor, id, &user), SHM_OK);
    assert_memory_equal(user.id, id, SHM_ID_SIZE);
    assert_int_equal(user.body_len, BODY);
    assert_memory_equal(user.body, body, BODY);
}

int next_user(struct shm_cursor *cursor, struct shm_user *user)
{
    int rc;
    do {
        rc = shm_cursor_next(cursor, user);
    } while (rc == SHM_EMORE);
    return rc;
}

static void print_fault(void *data, const char *line)
{
    (void)data;
    print_message("verify: %s\n", line);
}

void segment_check(struct shm_store *store, uint64_t users)
{
    struct shm_verify_report report;
    assert_int_equal(shm_store_verify(store, &report, print_fault, NULL), SHM_OK);
    assert_int_equal(report.users, users);
}

pid_t start_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(99);
        run(f, argument);
        _exit(0);
    }
    return pid;
}

int in_child(void (*run)(struct fixture *f, int argument), struct fixture *f, int argument)
{
    int status;
    pid_t pid = start_child(run, f, argument);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}
