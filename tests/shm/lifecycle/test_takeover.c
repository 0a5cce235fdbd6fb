/* SPDX-License-Identifier: MIT */
/* What a takeover leaves behind if it fails or is killed, above all of unique keys. */
#include "tests/shm/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/careful.h"
#include "shm/core/actor_handle.h"
#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/table_size.h"
#include "shm/core/test_points.h"
#include "shm/core/writer_lock.h"
#include "shm/name.h"
#include "shm/rebuild/rebuild.h"
#include "shm/segment/segment_file.h"
#include "shm/table/unique.h"

void (*shm_test_hook)(const char *point);

enum { FEW = 4000, MANY = 40000, USERS = 3000 };

/* A body of users_insert() begins with the user's number, which is both keys. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    (void)key;
    if (body_len < sizeof(uint64_t))
        return 0;
    memcpy(out, body, sizeof(uint64_t));
    return sizeof(uint64_t);
}

static void make(struct fixture *f, unsigned unique)
{
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    f->config.max_users = FEW;
    f->config.unique = unique;
    f->config.key_of = key_of;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, USERS, 100);
}

static void open_as(struct fixture *f, uint64_t max_users, unsigned unique)
{
    f->config.max_users = max_users;
    f->config.unique = unique;
    int rc = fixture_reopen(f);
    if (rc != SHM_OK)
        fail_msg("%s", f->fault.text);
}

static void check_keys(struct fixture *f, unsigned unique)
{
    struct shm_user user;
    for (unsigned key = 0; key < SHM_KEYS; key++)
        for (uint64_t n = 0; n < USERS; n++)
            assert_int_equal(
                shm_user_find_key(f->actor, key, (const uint8_t *)&n, sizeof(n), &user),
                (unique >> key & 1) != 0 ? SHM_OK : SHM_EINVAL);
    for (uint64_t n = 0; n < USERS; n++)
        assert_user(f->actor, n);
    segment_check(f->store, USERS);
    shm_actor_offline(f->actor);
}

/* Returns the control page as a tool sees it. */
static struct shm_control look(struct fixture *f)
{
    struct shm_store *store;
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_READ, key_of, &f->fault), SHM_OK);
    struct shm_control control = *shm_control();
    shm_store_close(store);
    return control;
}

/* ---- killed during the takeover ---- */

static const char *kill_point;
static int kill_after;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0 && kill_after-- == 0)
        raise(SIGKILL);
}

static void open_and_die(struct fixture *f, int unused)
{
    (void)unused;
    shm_test_hook = kill_at_point;
    _exit(shm_store_open(&f->store, &f->config, &f->fault) == SHM_OK ? 0 : 1);
}

/* Inserts a new user with the keys of another one. @return as shm_users_insert() */
static int insert_duplicate(struct shm_actor *actor)
{
    uint64_t body[8] = {7};
    struct shm_new_user user = {.body = (const uint8_t *)body, .body_len = sizeof(body)};
    user_id(user.id, FEW + 1);
    return shm_users_insert(actor, &user, 1, NULL);
}

/* Whether the tables are those of the new options, because the owner was killed at its very end. */
static bool has_ended(unsigned unique)
{
    bool ended = shm_control()->ids.count == shm_bucket_count(MANY);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        ended = ended && shm_control()->unique[key].count ==
                             ((unique >> key & 1) != 0 ? shm_bucket_count(MANY) : 0);
    return ended;
}

/* A tool that wants to write has the indexes that forbid the insert, or may not attach.
 * @param from keys that were unique
 * @param to keys that shall be unique */
static void tool_writes_no_duplicate(struct fixture *f, unsigned from, unsigned to)
{
    if (shm_store_attach(&f->store, f->name, SHM_ATTACH_WRITE, key_of, &f->fault) != SHM_OK)
        return;
    unsigned indexes = 0;
    for (unsigned key = 0; key < SHM_KEYS; key++)
        indexes |= shm_control()->unique[key].buckets != NULL ? 1u << key : 0;
    if (!has_ended(to))
        assert_int_equal(indexes & from, from);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    if (indexes != 0)
        assert_int_equal(insert_duplicate(f->actor), SHM_EKEY);
    fixture_close(f);
}

static void read_by_key(struct fixture *f, struct shm_reader *reader)
{
    struct shm_user user;
    struct shm_record record;
    struct shm_fault fault;
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        if (shm_control()->unique[key].buckets == NULL)
            continue;
        for (uint64_t n = 0; n < USERS; n += 7) {
            const uint8_t *value = (const uint8_t *)&n;
            assert_int_equal(shm_user_find_key(f->actor, key, value, sizeof(n), &user), SHM_OK);
            int rc = shm_reader_find_key(reader, key, value, sizeof(n), &record, &fault);
            assert_int_equal(rc, shm_rebuild_unfinished() ? SHM_EINVAL : SHM_OK);
        }
    }
    shm_actor_offline(f->actor);
}

/* A tool that reads finds every user by each key that has an index, and the segment intact. */
static void tool_reads_all(struct fixture *f)
{
    struct shm_reader *reader;
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, key_of, &f->fault),
                     SHM_OK);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    segment_check(f->store, USERS);
    assert_int_equal(shm_reader_open(&reader, f->store, &f->fault), SHM_OK);
    read_by_key(f, reader);
    shm_reader_close(reader);
    fixture_close(f);
}

static void killed_at_every_step(void **state, const char *point, unsigned from, unsigned to)
{
    int status, kills = 0;
    do {
        bool old_first = kills % 2 == 0;
        assert_int_equal(fixture_setup(state), 0);
        struct fixture *f = *state;
        make(f, from);
        fixture_close(f);
        f->config.max_users = MANY;
        f->config.unique = to;
        kill_point = point;
        kill_after = kills++;
        status = in_child(open_and_die, f, 0);
        tool_reads_all(f);
        tool_writes_no_duplicate(f, from, to);
        open_as(f, old_first ? FEW : MANY, old_first ? from : to);
        check_keys(f, old_first ? from : to);
        assert_int_equal(shm_control()->max_users, old_first ? FEW : MANY);
        fixture_close(f);
        open_as(f, old_first ? MANY : FEW, old_first ? to : from);
        check_keys(f, old_first ? to : from);
        fixture_teardown(state);
    } while (WIFSIGNALED(status));
    assert_int_equal(status, 0);
    assert_true(kills > 5);
}

static void killed_takeover_for_more_users_admits_no_duplicate(void **state)
{
    killed_at_every_step(state, "rebuild step", 1, 1);
    killed_at_every_step(state, "rebuild step", 3, 3);
    killed_at_every_step(state, "half replayed", 3, 3);
}

static void killed_takeover_that_drops_indexes_admits_no_duplicate(void **state)
{
    killed_at_every_step(state, "rebuild step", 3, 0);
    killed_at_every_step(state, "rebuild step", 3, 2);
    killed_at_every_step(state, "sealed", 1, 2);
}

/* The commit that begins a rebuild may exist only in the log. */
static void tool_writes_by_the_tables_of_a_finished_log(struct fixture *f)
{
    if (shm_store_attach(&f->store, f->name, SHM_ATTACH_WRITE, key_of, &f->fault) != SHM_OK)
        return;
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    assert_int_equal(shm_writer_lock(f->store), SHM_OK);
    shm_writer_unlock();
    assert_false(shm_rebuild_unfinished());
    assert_ptr_equal(f->actor->buckets, shm_control()->ids.buckets);
    for (unsigned key = 0; key < SHM_KEYS; key++)
        assert_ptr_equal(f->actor->by_key[key].buckets, shm_control()->unique[key].buckets);
    fixture_close(f);
}

static void writing_tool_finishes_a_dead_takeovers_log_first(void **state)
{
    static const unsigned wanted[] = {0, 3};
    int status, kills = 0;
    do {
        assert_int_equal(fixture_setup(state), 0);
        struct fixture *f = *state;
        make(f, 1);
        fixture_close(f);
        f->config.unique = wanted[kills % 2];
        kill_point = "sealed";
        kill_after = kills++ / 2;
        status = in_child(open_and_die, f, 0);
        tool_writes_by_the_tables_of_a_finished_log(f);
        open_as(f, FEW, 1);
        check_keys(f, 1);
        fixture_teardown(state);
    } while (WIFSIGNALED(status));
    assert_int_equal(status, 0);
    assert_true(kills > 4);
}

static void max_users_is_written_after_its_tables_exist(void **state)
{
    struct fixture *f = *state;
    make(f, 1);
    fixture_close(f);
    f->config.max_users = MANY;
    kill_point = "rebuild step";
    kill_after = 2;
    assert_true(WIFSIGNALED(in_child(open_and_die, f, 0)));
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, key_of, &f->fault),
                     SHM_OK);
    assert_int_equal(shm_control()->max_users, FEW);
    shm_store_close(f->store);
    open_as(f, MANY, 1);
    assert_int_equal(shm_control()->max_users, MANY);
}

static void kill_in_a_move(const char *point)
{
    const struct shm_rebuild *rebuild = &shm_control()->rebuild;
    if (strcmp(point, "rebuild step") == 0 && rebuild->to.buckets != NULL &&
        rebuild->what == SHM_REBUILD_MOVE)
        raise(SIGKILL);
}

static void open_and_die_in_a_move(struct fixture *f, int unused)
{
    (void)unused;
    shm_test_hook = kill_in_a_move;
    (void)shm_store_open(&f->store, &f->config, &f->fault);
}

static void partly_moved_index_is_not_finished_without_its_key(void **state)
{
    struct fixture *f = *state;
    make(f, 1);
    fixture_close(f);
    f->config.max_users = MANY;
    assert_true(WIFSIGNALED(in_child(open_and_die_in_a_move, f, 0)));
    f->config.unique = 0;
    f->config.key_of = NULL;
    assert_int_equal(fixture_reopen(f), SHM_EINVAL);
    assert_non_null(strstr(f->fault.text, "index of key 0 is half moved"));
    f->config.key_of = key_of;
    open_as(f, FEW, 0);
    check_keys(f, 0);
}

/* ---- failing ---- */

static int to_tool[2], from_tool[2];

static void say(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
}

static void attach_as_tool(struct fixture *f)
{
    if (shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, key_of, &f->fault) != SHM_OK ||
        shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault) != SHM_OK)
        _exit(99);
}

static void stop_in_a_section(struct fixture *f, int unused)
{
    (void)unused;
    attach_as_tool(f);
    shm_actor_online(f->actor);
    raise(SIGSTOP);
}

static void wait_until_stopped(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void assert_names(const struct fixture *f, pid_t pid)
{
    char text[32];
    snprintf(text, sizeof(text), "process %ld ", (long)pid);
    if (strstr(f->fault.text, text) == NULL)
        fail_msg("process %ld is not named: %s", (long)pid, f->fault.text);
}

static void assert_nothing_changed(const struct shm_control *a, const struct shm_control *b)
{
    assert_memory_equal(&a->ids, &b->ids, sizeof(a->ids));
    assert_memory_equal(a->unique, b->unique, sizeof(a->unique));
    assert_memory_equal(&a->rebuild, &b->rebuild, sizeof(a->rebuild));
    assert_int_equal(a->max_users, b->max_users);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->held_max, b->held_max);
    assert_int_equal(a->arena_end, b->arena_end);
}

static void stopped_reader_makes_a_takeover_fail_before_any_change(void **state)
{
    struct fixture *f = *state;
    make(f, 3);
    fixture_close(f);
    struct shm_control before = look(f);
    pid_t tool = start_child(stop_in_a_section, f, 0);
    wait_until_stopped(tool);
    f->config.max_users = MANY;
    f->config.size = 512 << 20;
    assert_int_equal(fixture_reopen(f), SHM_EBUSY);
    assert_names(f, tool);
    f->config.unique = 0;
    f->config.max_users = FEW;
    assert_int_equal(fixture_reopen(f), SHM_EBUSY); /* would free an index */
    end(tool);
    struct shm_control after = look(f);
    assert_nothing_changed(&before, &after);
    tool_writes_no_duplicate(f, 3, 3);
    open_as(f, FEW, 3);
    check_keys(f, 3);
    fixture_close(f);
    open_as(f, MANY, 3);
    check_keys(f, 3);
}

static void stopped_reader_does_not_prevent_a_takeover_that_frees_no_table(void **state)
{
    struct fixture *f = *state;
    make(f, 1);
    fixture_close(f);
    pid_t tool = start_child(stop_in_a_section, f, 0);
    wait_until_stopped(tool);
    open_as(f, FEW + 1, 3);
    check_keys(f, 3);
    end(tool);
}

static void takeover_without_room_changes_nothing(void **state)
{
    struct fixture *f = *state;
    f->config.size = 20 << 20;
    make(f, 3);
    fixture_close(f);
    struct shm_control before = look(f);
    f->config.size = 22 << 20;
    f->config.max_users = 500000; /* two of the three tables would find room */
    assert_int_equal(fixture_reopen(f), SHM_ELIMIT);
    struct shm_control after = look(f);
    assert_nothing_changed(&before, &after);
    f->config.size = 20 << 20;
    open_as(f, FEW, 3);
    check_keys(f, 3);
}

/* ---- a tool that is stopped while it holds the writer lock ---- */

static void lock_and_stop(struct fixture *f, int unused)
{
    (void)unused;
    attach_as_tool(f);
    say(from_tool[1]);
    hear(to_tool[0]);
    if (shm_writer_lock(f->store) != SHM_OK)
        _exit(1);
    say(from_tool[1]);
    raise(SIGSTOP);
}

static void let_tool_lock(const char *point)
{
    if (strcmp(point, kill_point) != 0)
        return;
    shm_test_hook = NULL;
    say(to_tool[1]);
    hear(from_tool[0]);
}

static void start_with_a_stopped_lock_holder_fails_and_names_it(void **state)
{
    static const char *const points[] = {"allocated", "file opened", "rebuild step"};
    struct fixture *f = *state;
    assert_int_equal(pipe(to_tool), 0);
    assert_int_equal(pipe(from_tool), 0);
    make(f, 1);
    fixture_close(f);
    f->config.max_users = 1000000; /* the arena must grow */
    alarm(60);
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        kill_point = points[i];
        pid_t tool = start_child(lock_and_stop, f, 0);
        hear(from_tool[0]);
        shm_test_hook = let_tool_lock;
        int rc = fixture_reopen(f);
        shm_test_hook = NULL;
        assert_int_equal(rc, SHM_EBUSY);
        assert_names(f, tool);
        end(tool);
    }
    alarm(0);
    open_as(f, 1000000, 1);
    check_keys(f, 1);
    for (int i = 0; i < 2; i++) {
        close(to_tool[i]);
        close(from_tool[i]);
    }
}

/* ---- moving tables ---- */

/* Chains that are longer than one transaction can move, of users with the same id and key. */
static void chains_are_moved_in_their_order(void **state)
{
    enum { TWINS = 3000 };
    struct fixture *f = *state;
    struct shm_node *node;
    uint8_t id[SHM_ID_SIZE];
    make(f, 1);
    user_id(id, 7);
    shm_actor_online(f->actor); /* prevents any reclaim */
    for (int i = 0; i < TWINS; i++) {
        assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE]) & id, 1, NULL),
                         SHM_OK);
        users_insert(f->actor, 7, 8, 1);
    }
    fixture_close(f);
    open_as(f, MANY, 1);
    assert_int_equal(shm_control()->unique[0].count, shm_bucket_count(MANY));
    uint64_t last[2] = {UINT64_MAX, UINT64_MAX}, met[2] = {0, 0}, key = 7;
    const struct cds_hlist_node *at =
        shm_control()
            ->ids.buckets[shm_hash_id(shm_header(), id) & (shm_bucket_count(MANY) - 1)]
            .next;
    for (; at != NULL; at = at->next) {
        node = caa_container_of((struct cds_hlist_node *)(uintptr_t)at, struct shm_node, by_id);
        if (memcmp(node->id, id, sizeof(id)) != 0)
            continue;
        assert_true(node->seq < last[0]);
        last[0] = node->seq;
        met[0]++;
    }
    at = shm_unique_bucket(&shm_control()->unique[0],
                           shm_unique_hash(shm_header(), 0, (const uint8_t *)&key, sizeof(key)))
             ->next;
    for (; at != NULL; at = at->next) {
        node = shm_unique_node(at, 0);
        if (memcmp(node->id, id, sizeof(id)) != 0)
            continue;
        assert_true(node->seq < last[1]);
        last[1] = node->seq;
        met[1]++;
    }
    assert_int_equal(met[0], met[1]);
    assert_true(met[0] > TWINS - 100);
    check_keys(f, 1);
}

static void stop_at_index_read(const char *point)
{
    if (strcmp(point, "index read") != 0)
        return;
    shm_test_hook = NULL;
    raise(SIGSTOP);
}

static void find_by_key_and_stop(struct fixture *f, int careful)
{
    uint64_t n = 77;
    struct shm_user user;
    struct shm_record record;
    struct shm_reader *reader = NULL;
    attach_as_tool(f);
    if (careful != 0 && shm_reader_open(&reader, f->store, &f->fault) != SHM_OK)
        _exit(98);
    shm_test_hook = stop_at_index_read;
    int rc = careful == 0
                 ? shm_user_find_key(f->actor, 0, (uint8_t *)&n, sizeof(n), &user)
                 : shm_reader_find_key(reader, 0, (uint8_t *)&n, sizeof(n), &record, &f->fault);
    _exit(rc == SHM_OK || (careful != 0 && rc == SHM_EINVAL) ? 0 : 1);
}

static pid_t late_reader;
static struct fixture *late_fixture;

/* Lets a reader come after the look at the readers. */
static void let_a_reader_come(const char *point)
{
    if (strcmp(point, "rebuild step") != 0)
        return;
    shm_test_hook = NULL;
    say(to_tool[1]);
    wait_until_stopped(late_reader);
}

static void come_late(struct fixture *f, int careful)
{
    hear(to_tool[0]);
    find_by_key_and_stop(f, careful);
}

static void reader_from_before_the_index_moved(struct fixture *f, int careful)
{
    int status;
    assert_int_equal(pipe(to_tool), 0);
    make(f, 1);
    fixture_close(f);
    late_reader = start_child(come_late, f, careful);
    f->config.max_users = MANY;
    shm_test_hook = let_a_reader_come;
    assert_int_equal(fixture_reopen(f), SHM_EBUSY); /* cannot free the old table */
    assert_names(f, late_reader);
    kill(late_reader, SIGCONT);
    assert_int_equal(waitpid(late_reader, &status, 0), late_reader);
    assert_int_equal(status, 0);
    tool_writes_no_duplicate(f, 1, 1);
    open_as(f, FEW, 1);
    check_keys(f, 1);
    close(to_tool[0]);
    close(to_tool[1]);
}

static void reader_from_before_the_move_of_an_index_finds_its_user(void **state)
{
    reader_from_before_the_index_moved(*state, 0);
}

static void careful_reader_from_before_the_move_of_an_index_reports_it(void **state)
{
    reader_from_before_the_index_moved(*state, 1);
}

/* ---- the name ---- */

/* Changes between open and lock of a start. With a second link, a removed file still has one
 * link. */
enum way { UNLINKED, UNLINKED_AND_MADE, REMOVED_WITH_A_SECOND_LINK, MOVED_OVER };
static enum way late_way;

static void move_another_over(const char *path)
{
    struct shm_config config = late_fixture->config;
    struct shm_store *other;
    struct shm_actor *actor;
    struct shm_fault fault;
    char name[80], from[300];
    snprintf(name, sizeof(name), "%s-b", late_fixture->name);
    config.name = name;
    assert_int_equal(shm_store_open(&other, &config, &fault), SHM_OK);
    assert_int_equal(shm_actor_join(&actor, other, SHM_ACTOR_MASTER, 0, &fault), SHM_OK);
    users_insert(actor, 0, 5, 5);
    shm_actor_leave(actor);
    shm_store_close(other);
    assert_int_equal(shm_file_path(from, name, NULL), SHM_OK);
    assert_int_equal(rename(from, path), 0);
}

static void take_the_name_away(const char *point)
{
    struct fixture *f = late_fixture;
    struct shm_store *other;
    char path[300];
    if (strcmp(point, "file opened") != 0)
        return;
    shm_test_hook = NULL;
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    if (late_way == MOVED_OVER) {
        move_another_over(path);
    } else if (late_way == REMOVED_WITH_A_SECOND_LINK) {
        assert_int_equal(unlink(path), 0);
    } else {
        assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
        if (late_way == UNLINKED)
            return;
        assert_int_equal(shm_store_open(&other, &f->config, &f->fault), SHM_OK);
        shm_store_close(other);
    }
}

static void file_that_lost_its_name_while_it_was_opened_is_not_taken_over(void **state)
{
    struct fixture *f = *state;
    late_fixture = f;
    for (late_way = UNLINKED; late_way <= MOVED_OVER; late_way++) {
        users_insert(f->actor, 10, 20, 10);
        if (late_way >= REMOVED_WITH_A_SECOND_LINK)
            assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
        fixture_close(f); /* the second link remains, as after a kill */
        shm_test_hook = take_the_name_away;
        assert_int_equal(fixture_reopen(f), SHM_OK);
        assert_true(shm_store_has_name(f->store));
        segment_check(f->store, late_way == MOVED_OVER ? 5 : 0);
    }
    char moved_to[256];
    (void)shm_store_release_name(f->store, moved_to);
}

/* A process that removes a segment must check the name, too. */
static void file_that_lost_its_name_is_not_unlinked_by_name(void **state)
{
    struct fixture *f = *state;
    late_fixture = f;
    users_insert(f->actor, 10, 20, 10);
    assert_int_equal(shm_store_hold_name(f->store), SHM_NAME_OURS);
    fixture_close(f);
    late_way = MOVED_OVER;
    shm_test_hook = take_the_name_away;
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_ENOSEG);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 5);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_takeover_for_more_users_admits_no_duplicate),
        cmocka_unit_test(killed_takeover_that_drops_indexes_admits_no_duplicate),
        cmocka_unit_test(writing_tool_finishes_a_dead_takeovers_log_first),
        WITH(max_users_is_written_after_its_tables_exist),
        WITH(partly_moved_index_is_not_finished_without_its_key),
        WITH(stopped_reader_makes_a_takeover_fail_before_any_change),
        WITH(stopped_reader_does_not_prevent_a_takeover_that_frees_no_table),
        WITH(takeover_without_room_changes_nothing),
        WITH(start_with_a_stopped_lock_holder_fails_and_names_it),
        WITH(chains_are_moved_in_their_order),
        WITH(reader_from_before_the_move_of_an_index_finds_its_user),
        WITH(careful_reader_from_before_the_move_of_an_index_reports_it),
        WITH(file_that_lost_its_name_while_it_was_opened_is_not_taken_over),
        WITH(file_that_lost_its_name_is_not_unlinked_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
