/* SPDX-License-Identifier: MIT */
/* The storm itself: who is started, and who is killed when. */
#include "config.h"

#include "tests/torture/storm.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KILLS_A_ROUND = 80,
    ROUNDS_A_SEGMENT = 6,
    HANGS_AFTER = 20, /* seconds */
    SMALL_HELD = 64 << 10,
};

struct storm_options storm_options;
char storm_name[64];

static struct {
    pid_t pid;
    bool stopped;
    double go_on; /* when a stopped one is continued */
    uint64_t beats;
    double beaten; /* when beats last changed */
} workers[STORM_WORKERS];

static struct shm_config config;

/* ---- the segment ---- */

static void reopen(int expected)
{
    struct shm_fault fault;
    int rc = shm_store_open(&storm_store, &config, &fault);
    if (rc == SHM_ELIMIT && storm->large) { /* no room for larger tables: so as it was */
        config.max_users = storm_model.max_users;
        config.unique = 0; /* one that was killed may have dropped an index: its room is used */
        rc = shm_store_open(&storm_store, &config, &fault);
        expected = SHM_OK;
    }
    if (rc != expected)
        storm_fail("opening the segment for %llu users, unique %u: %s, not \"%s\"",
                   (unsigned long long)config.max_users, config.unique,
                   rc == SHM_OK ? "works" : fault.text, shm_strerror(expected));
    if (rc != SHM_OK)
        return;
    storm_check_acknowledged();
    storm_model.max_users = config.max_users;
    storm_model.unique = config.unique;
    atomic_fetch_add(&storm->attaches, 1);
}

/* The first users: all that is ever added to the sum of amounts. */
static void create_accounts(void)
{
    struct shm_actor *actor = storm_join(SHM_ACTOR_MASTER, 0);
    shm_test_hook = storm_hook;
    for (uint32_t writer = 0; writer < MODEL_WRITERS; writer++) {
        storm_op_begin(MODEL_PARENT, SHM_CREATED);
        for (uint32_t i = 0; i < MODEL_ACCOUNTS; i++) {
            uint32_t id = writer * MODEL_ACCOUNTS + i;
            storm_op_add(id, id, id + 1, MODEL_AMOUNT);
        }
        if (storm_op_do(actor) != SHM_OK)
            storm_fail("the first users cannot be created");
    }
    storm_op.head.count = 0;
    shm_test_hook = NULL;
    shm_actor_leave(actor);
}

static void configure(uint64_t max_users, unsigned unique, uint64_t snapshot_max_bytes)
{
    config = (struct shm_config){.name = storm_name,
                                 .size = storm->large ? 13 << 20 : 256 << 20,
                                 .max_users = max_users,
                                 .unique = unique,
                                 .key_of = storm_key_of,
                                 .snapshot_max_bytes = snapshot_max_bytes};
    storm->revokes = snapshot_max_bytes != 0;
    memset(storm->ledger.commit, 0, sizeof(storm->ledger.commit));
    model_init(&storm_model, max_users, unique);
}

void storm_open(uint64_t max_users, unsigned unique, uint64_t snapshot_max_bytes)
{
    configure(max_users, unique, snapshot_max_bytes);
    reopen(SHM_OK);
    storm_choose_ids();
    create_accounts();
}

/* The next owner wants another size or other keys. What the killed ones wanted does not count. */
static void want_another_table(bool keys)
{
    if (storm_random(2) == 0)
        config.max_users = storm_random(4) == 0 ? 300000 : 500 + storm_random(20000);
    if (keys)
        config.unique = (unsigned)storm_random(4);
}

static void new_segment(void)
{
    struct shm_fault fault;
    if (storm_store != NULL) {
        shm_store_close(storm_store);
        if (shm_store_unlink(storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
    }
    uint64_t max_users = storm_random(2) == 0 ? 1000 : MODEL_IDS - storm_random(200);
    storm->large = storm_random(3) == 0;
    storm_open(max_users, (unsigned)storm_random(4), storm_random(3) == 0 ? SMALL_HELD : 0);
}

/* ---- processes ---- */

pid_t storm_fork(void)
{
    pid_t parent = getpid();
    uint64_t seed = storm_random(UINT32_MAX);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        storm_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        storm_seed(seed);
    }
    return pid;
}

static const struct {
    const char *name;
    void (*run)(unsigned worker);
} roles[STORM_WORKERS] = {
    [0 ... MODEL_WRITERS - 1] = {"writer", storm_writer},
    [MODEL_WRITERS... STORM_TOOL - 1] = {"reader", storm_reader},
    [STORM_TOOL] = {"tool", storm_tool},
    [STORM_FOLLOWER] = {"follower", storm_follower},
    [STORM_MASTER] = {"master", storm_master},
};

static void start(unsigned i)
{
    storm_replay(&storm_model, storm_version());
    pid_t pid = storm_fork();
    if (pid == 0) {
        roles[i].run(i);
    }
    workers[i].pid = pid;
    workers[i].stopped = false;
    workers[i].beaten = storm_seconds();
}

static void ended(unsigned i, int status, bool killed)
{
    workers[i].pid = 0;
    if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        atomic_fetch_add(&storm->kills, 1);
    else if (WIFSIGNALED(status))
        storm_fail("%s %u crashed with signal %d", roles[i].name, i, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        storm_fail("%s %u ended with status %d", roles[i].name, i, WEXITSTATUS(status));
}

static void kill_one(unsigned i)
{
    if (workers[i].pid != 0)
        kill(workers[i].pid, SIGKILL);
}

static void bury(unsigned i)
{
    int status;
    if (workers[i].pid != 0 && waitpid(workers[i].pid, &status, 0) == workers[i].pid)
        ended(i, status, true);
}

static void kill_all_but(unsigned survivor)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (i != survivor)
            kill_one(i);
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (i != survivor)
            bury(i);
}

static void kill_all(void)
{
    kill_all_but(STORM_WORKERS);
}

static void stop_one(unsigned i)
{
    if (workers[i].pid == 0)
        return;
    kill(workers[i].pid, SIGSTOP);
    workers[i].stopped = true;
    workers[i].go_on = storm_seconds() + (double)storm_random(60) / 1000;
}

static void continue_those_due(double now)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        if (workers[i].pid == 0 || !workers[i].stopped || workers[i].go_on > now)
            continue;
        workers[i].stopped = false;
        workers[i].beaten = now;
        kill(workers[i].pid, SIGCONT);
    }
}

/* Somebody who failed, crashed or hangs. */
static void look_after(double now)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        int status;
        if (workers[i].pid == 0)
            continue;
        if (waitpid(workers[i].pid, &status, WNOHANG) == workers[i].pid)
            ended(i, status, false);
        uint64_t beats = atomic_load(&storm->beats[i]);
        if (beats != workers[i].beats || workers[i].stopped)
            workers[i].beaten = now;
        workers[i].beats = beats;
        if (now - workers[i].beaten > HANGS_AFTER)
            storm_fail("%s %u hangs", roles[i].name, i);
    }
}

/* ---- the next owner ---- */

static void attach_and_die(uint64_t within_us)
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        struct shm_fault fault;
        struct shm_store *store;
        int rc = shm_store_open(&store, &config, &fault);
        if (rc != SHM_OK && !(rc == SHM_ELIMIT && storm->large))
            storm_fail("attaching: %s", fault.text);
        pause();
    }
    usleep((useconds_t)storm_random(within_us));
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_fail("who attached ended with wait status %#x", (unsigned)status);
    atomic_fetch_add(&storm->kills, 1);
    atomic_fetch_add(&storm->attaches_killed, 1);
}

static bool keys_collide(void)
{
    for (unsigned key = 0; key < SHM_KEYS; key++)
        if ((config.unique >> key & 1) != 0 && model_collides(&storm_model, key))
            return true;
    return false;
}

/* A tool that lives on has the owner's descriptor until it has attached by itself. */
static void wait_for_tool(void)
{
    while (workers[STORM_TOOL].pid != 0 && atomic_load(&storm->tool) != workers[STORM_TOOL].pid) {
        usleep(100);
        look_after(storm_seconds());
    }
}

/* known: nothing is under way, so the model knows what the next owner finds */
static void attach_again(bool known)
{
    wait_for_tool();
    shm_store_close(storm_store);
    storm_store = NULL;
    for (uint64_t n = storm_random(3); n > 0; n--) {
        want_another_table(known);
        if (known && keys_collide())
            config.unique = 0;
        attach_and_die(4000);
    }
    want_another_table(known);
    if (known && keys_collide()) {
        reopen(SHM_EEXIST);
        atomic_fetch_add(&storm->duplicates, 1);
        config.unique = 0;
    }
    reopen(SHM_OK);
}

/* Creating it goes through the same calls. */
void owner_killed_while_it_creates_leaves_nothing_or_all(void)
{
    enum { TIMES = 100 };
    unsigned made = 0;
    configure(1000, 3, 0);
    for (int i = 0; i < TIMES; i++) {
        struct shm_fault fault;
        char path[300];
        attach_and_die(i % 2 == 0 ? 1000 : 20000);
        if (shm_file_path(path, storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
        if (access(path, F_OK) != 0)
            continue;
        made++;
        reopen(SHM_OK); /* checks all of it */
        if (storm_version() != 0 || shm_control()->users != 0)
            storm_fail("a new segment is not empty");
        storm_verify_live();
        shm_store_close(storm_store);
        if (shm_store_unlink(storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
    }
    if (made == 0 || made == TIMES)
        storm_fail("of %d owners %u were killed too late or too early", (int)TIMES, made);
}

/* ---- rounds ---- */

static void start_missing(void)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (workers[i].pid == 0)
            start(i);
}

/* More processes than there are slots yet: some die while they make slots. */
static void crowd(void)
{
    enum { CROWD = SHM_SLOTS_STEP + 4 };
    pid_t pids[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        pids[i] = storm_fork();
        if (pids[i] == 0) {
            struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, i);
            storm_list_begin(actor);
            if (storm_random(2) == 0)
                shm_actor_offline(actor);
            pause();
        }
    }
    usleep((useconds_t)storm_random(10000));
    for (unsigned i = 0; i < CROWD; i++) {
        int status;
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            storm_fail("one of a crowd ended with wait status %#x", (unsigned)status);
        atomic_fetch_add(&storm->kills, 1);
    }
}

static void strike(void)
{
    uint64_t what = storm_random(100);
    if (what == 99) {
        crowd();
    } else if (what < 3) {
        continue_those_due(INFINITY); /* it would be waited for */
        kill_all_but(storm_random(2) == 0 ? STORM_TOOL : STORM_WORKERS);
        attach_again(false);
    } else if (what < 15) {
        /* one that holds the writer lock delays the others, no more */
        stop_one((unsigned)storm_random(STORM_WORKERS));
    } else {
        unsigned victims[3], count = what < 85 ? 1 : 3;
        for (unsigned i = 0; i < count; i++)
            kill_one(victims[i] = (unsigned)storm_random(STORM_WORKERS));
        for (unsigned i = 0; i < count; i++)
            bury(victims[i]);
    }
}

static void end_round(void)
{
    if (storm_random(2) == 0) {
        kill_all();
    } else {
        atomic_store(&storm->stop, 1);
        continue_those_due(INFINITY);
        for (unsigned left = STORM_WORKERS; left > 0; usleep(1000)) {
            look_after(storm_seconds());
            left = 0;
            for (unsigned i = 0; i < STORM_WORKERS; i++)
                left += workers[i].pid != 0;
        }
        atomic_store(&storm->stop, 0);
    }
    storm_check();
    atomic_fetch_add(&storm->rounds, 1);
}

static bool enough(double started)
{
    return atomic_load(&storm->kills) >= storm_options.kills ||
           (storm_options.seconds > 0 && storm_seconds() - started >= storm_options.seconds);
}

static void run_round(double started)
{
    static const uint64_t pauses[] = {2000, 8000, 8000, 30000}; /* us, at most, between kills */
    uint64_t pause_us = pauses[storm_random(4)];
    uint64_t kills = atomic_load(&storm->kills) + KILLS_A_ROUND;
    uint64_t commits = atomic_load(&storm->commits);
    while (atomic_load(&storm->kills) < kills && !enough(started)) {
        start_missing();
        usleep((useconds_t)storm_random(pause_us));
        double now = storm_seconds();
        continue_those_due(now);
        look_after(now);
        strike();
    }
    start_missing();
    end_round();
    if (atomic_load(&storm->commits) == commits)
        storm_fail("nothing was committed in a round");
}

void storm_storm(void)
{
    double started = storm_seconds();
    while (!enough(started)) {
        new_segment();
        for (int i = 0; i < ROUNDS_A_SEGMENT && !enough(started); i++) {
            run_round(started);
            if (storm_random(2) == 0)
                start(STORM_TOOL);
            attach_again(true);
            kill_one(STORM_TOOL);
            bury(STORM_TOOL);
        }
    }
    shm_store_close(storm_store);
}
