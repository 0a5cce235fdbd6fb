/* SPDX-License-Identifier: MIT */
/* The owners of the storm's segment: each takes over what the killed owners left. */
#include "tests/torture/storm.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/segment/segment_file.h"

enum { SMALL_HELD = 64 << 10 };

char storm_name[64];
static struct shm_config config;
static enum storm_mode mode, former; /* of the next owner, of the last one that stayed */

/* ---- the segment ---- */

/* Opens the store. The owner waits a second for a tool that reads the old tables; on a busy
 * machine that is short. */
static int open_store(struct shm_store **store, struct shm_fault *fault)
{
    enum { TRIES = 10 };
    int rc = SHM_EBUSY;
    for (int i = 0; i < TRIES && rc == SHM_EBUSY; i++) {
        rc = shm_store_open(store, &config, fault);
        if (storm_tool_pid() == 0)
            break;
    }
    return rc;
}

/* What the former owner published stays visible. If it had no journal that published, or the next
 * one has none, all commits are visible at once. */
static void note_mode(void)
{
    uint64_t published = shm_control()->published;
    if (mode != STORM_DURABLE || former != STORM_DURABLE) {
        if (published != storm_newest())
            storm_fail("a new owner shows version %llu of %llu", (unsigned long long)published,
                       (unsigned long long)storm_newest());
        if (published > atomic_load(&storm->disk))
            atomic_store(&storm->disk, published);
    }
    atomic_store(&storm->strict, mode == STORM_DURABLE);
    (void)storm_version(); /* checks it */
    former = mode;
}

void storm_set_mode(enum storm_mode next)
{
    mode = next;
    config.data_file = mode == STORM_MEMORY ? NULL : "/nowhere/storm.db";
    config.durable = mode == STORM_DURABLE;
    if (mode != STORM_DURABLE)
        atomic_store(&storm->strict, 0);
}

static void reopen(int expected)
{
    struct shm_fault fault;
    int rc = open_store(&storm_store, &fault);
    if (rc == SHM_ELIMIT && storm->large) { /* no room for larger tables: open it as it was */
        config.max_users = storm_model.max_users;
        config.unique = 0; /* a killed owner may have dropped an index and its room may be used */
        rc = open_store(&storm_store, &fault);
        expected = SHM_OK;
    }
    if (rc != expected)
        storm_fail("opening the segment for %llu users, unique %u: %s, not \"%s\"",
                   (unsigned long long)config.max_users, config.unique,
                   rc == SHM_OK ? "works" : fault.text, shm_strerror(expected));
    if (rc != SHM_OK)
        return;
    note_mode();
    storm_check_acknowledged();
    storm_model.max_users = config.max_users;
    storm_model.unique = config.unique;
    atomic_fetch_add(&storm->attaches, 1);
}

/* Creates the first users. Their amounts are the total; nothing is ever added to it. */
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
    storm_journal_catch_up(actor);
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
    storm_set_mode(mode);
    former = STORM_MEMORY;
    atomic_store(&storm->disk, 0);
    storm->revokes = snapshot_max_bytes != 0;
    memset(storm->ledger.commit, 0, sizeof(storm->ledger.commit));
    model_init(&storm_model, max_users, unique);
}

void storm_reopen(void)
{
    reopen(SHM_OK);
}

void storm_open(uint64_t max_users, unsigned unique, uint64_t snapshot_max_bytes)
{
    configure(max_users, unique, snapshot_max_bytes);
    reopen(SHM_OK);
    storm_choose_ids();
    create_accounts();
}

/* Chooses another size or other keys for the next owner. What killed owners wanted does not
 * matter. */
static void want_another_table(bool keys)
{
    if (storm_random(2) == 0)
        config.max_users = storm_random(4) == 0 ? 300000 : 500 + storm_random(20000);
    if (keys)
        config.unique = (unsigned)storm_random(4);
}

void storm_new_segment(void)
{
    struct shm_fault fault;
    if (storm_store != NULL) {
        shm_store_close(storm_store);
        if (shm_store_unlink(storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
    }
    uint64_t max_users = storm_random(2) == 0 ? 1000 : MODEL_IDS - storm_random(200);
    storm->large = storm_random(3) == 0;
    mode = (enum storm_mode)storm_random(STORM_MODES);
    storm_open(max_users, (unsigned)storm_random(4), storm_random(3) == 0 ? SMALL_HELD : 0);
}

/* ---- the next owner ---- */

static void attach_and_die(uint64_t within_us)
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        struct shm_fault fault;
        struct shm_store *store;
        int rc = open_store(&store, &fault);
        if (rc != SHM_OK && !(rc == SHM_ELIMIT && storm->large))
            storm_fail("attaching: %s", fault.text);
        pause();
    }
    usleep((useconds_t)storm_random(within_us));
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_fail("the attaching process ended with wait status %#x", (unsigned)status);
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

static void catch_up(void)
{
    struct shm_actor *actor = storm_join(SHM_ACTOR_JOURNAL, 0);
    storm_journal_catch_up(actor);
    shm_actor_leave(actor);
}

/* As a server does before it is ready: the disk may be far behind a segment that had no journal. */
static void catch_up_before_serving(void)
{
    int status;
    pid_t pid = storm_fork();
    if (pid == 0) {
        catch_up();
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        storm_fail("catching up ended with wait status %#x", (unsigned)status);
}

void storm_attach_again(bool known)
{
    storm_wait_for_tool();
    shm_store_close(storm_store);
    storm_store = NULL;
    if (storm_random(3) == 0)
        storm_set_mode((enum storm_mode)storm_random(STORM_MODES));
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
    catch_up_before_serving();
}

/* Kills owners while they create a segment, which must then be whole or not there. */
static void create_and_die(uint64_t version, uint64_t users)
{
    enum { TIMES = 100 };
    unsigned made = 0;
    for (int i = 0; i < TIMES; i++) {
        struct shm_fault fault;
        char path[300];
        attach_and_die(i % 2 == 0 ? 1000 : 20000);
        if (shm_file_path(path, storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
        if (access(path, F_OK) != 0)
            continue;
        made++;
        atomic_store(&storm->disk, version);
        reopen(SHM_OK); /* checks the whole segment */
        if (storm_version() != version || shm_control()->users != users)
            storm_fail("a new segment has %llu users at version %llu",
                       (unsigned long long)shm_control()->users,
                       (unsigned long long)storm_version());
        storm_verify_live();
        shm_store_close(storm_store);
        if (shm_store_unlink(storm_name, &fault) != SHM_OK)
            storm_fail("%s", fault.text);
    }
    if (made == 0 || made == TIMES)
        storm_fail("of %d owners %u were killed too late or too early", (int)TIMES, made);
}

void owner_killed_while_it_creates_leaves_nothing_or_all(void)
{
    configure(1000, 3, 0);
    create_and_die(0, 0);
}

enum { LOADED = 900, LOADED_VERSION = 5000 };

/* A body has no keys: storm_key_of() looks at its length. */
static int load(void *data, struct shm_store *store, struct shm_fault *fault)
{
    static const uint8_t body[] = "loaded";
    struct shm_loaded_user users[SHM_BATCH_MAX];
    struct shm_actor *actor;
    (void)data;
    int rc = shm_actor_join(&actor, store, SHM_ACTOR_MASTER, 0, fault);
    for (uint64_t n = 0; n < LOADED && rc == SHM_OK;) {
        size_t count = 0;
        for (; count < SHM_BATCH_MAX && n < LOADED; count++, n++) {
            const uint64_t id[2] = {(n + 1) * UINT64_C(0x9e3779b97f4a7c15), n};
            users[count] = (struct shm_loaded_user){
                .user = {.body = body, .body_len = sizeof(body)}, .seq = n + 1, .version = n + 1};
            memcpy(users[count].user.id, id, sizeof(id));
        }
        rc = shm_load_users(actor, users, count, NULL);
    }
    if (rc == SHM_OK)
        rc = shm_load_end(actor, LOADED_VERSION, LOADED_VERSION);
    if (rc != SHM_OK)
        storm_fail("loading returns \"%s\"", shm_strerror(rc));
    shm_actor_leave(actor);
    return rc;
}

void owner_killed_while_it_loads_leaves_nothing_or_all(void)
{
    storm_set_mode(STORM_DURABLE);
    configure(1000, 3, 0);
    config.fill = load;
    create_and_die(LOADED_VERSION, LOADED);
}
