/* SPDX-License-Identifier: MIT */
/* Creation, takeover, limits, and every refusal of a segment. */
#include "tests/shm/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/segment/segment_file.h"

static int segment_fd(const struct fixture *f)
{
    char path[300];
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void flip(const struct fixture *f, uint64_t offset, uint8_t bits)
{
    uint8_t byte;
    int fd = segment_fd(f);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

/* Returns the text of the error for a segment size above the limit. */
static const char *too_large_text(void)
{
    static char text[96];
    snprintf(text, sizeof(text), "segment-size %llu: must be at most %llu bytes",
             (unsigned long long)SHM_SIZE_MAX + 1, (unsigned long long)SHM_SIZE_MAX);
    return text;
}

static void assert_refused(struct fixture *f, int error, const char *text)
{
    struct shm_store *store = NULL;
    struct shm_fault fault = {.text = ""};
    int rc = shm_store_open(&store, &f->config, &fault);
    if (rc != error || strstr(fault.text, text) == NULL)
        print_message("open: %d \"%s\", expected %d \"%s\"\n", rc, fault.text, error, text);
    assert_int_equal(rc, error);
    assert_non_null(strstr(fault.text, text));
    assert_null(strchr(fault.text, '\n'));
    void *at = mmap((void *)(uintptr_t)SHM_BASE, SHM_PAGE, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(at, (void *)(uintptr_t)SHM_BASE);
    munmap(at, SHM_PAGE);
}

static void next_owner_finds_the_users(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    users_insert(f->actor, 0, 500, 100);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    for (uint64_t n = 0; n < 500; n++)
        assert_user(f->actor, n);
    users_insert(f->actor, 500, 600, 1);
    shm_store_info(f->store, &info);
    assert_int_equal(info.users, 600);
    assert_int_equal(info.actors, 1);
    assert_true(info.owned);
    segment_check(f->store, 600);
}

static void bad_names_and_values_are_named(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    struct shm_config good = f->config;
    const char *names[] = {"", "/", "x", "/a/b/c", "/.", "/..", "/.hidden"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        f->config.name = names[i];
        assert_refused(f, SHM_EINVAL, "segment '");
    }
    f->config = good;
    f->config.max_users = 0;
    assert_refused(f, SHM_EINVAL, "max-users 0");
    f->config = good;
    f->config.size = 1 << 20;
    assert_refused(f, SHM_EINVAL, "segment-size 1048576");
    f->config.size = SHM_SIZE_MAX + 1;
    assert_refused(f, SHM_EINVAL, too_large_text());
    f->config = good;
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_ENOSEG);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static const char *expected_place = "";

static void open_live(struct fixture *f, int unlink)
{
    struct shm_store *store;
    struct shm_fault fault;
    fixture_close(f); /* closes the mapping but not the lock, which the parent shares */
    int rc =
        unlink ? shm_store_unlink(f->name, &fault) : shm_store_open(&store, &f->config, &fault);
    char words[80];
    snprintf(words, sizeof(words), "a live server owns it (process %d%s)", (int)getppid(),
             expected_place);
    _exit(rc == SHM_EOWNED && strstr(fault.text, words) != NULL ? 0 : 1);
}

static void live_owner_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *actor = f->actor;
    f->actor = NULL; /* the child must not leave the parent's slot */
    assert_int_equal(in_child(open_live, f, 0), 0);
    assert_int_equal(in_child(open_live, f, 1), 0);
    shm_control()->pid_namespace++;
    expected_place = " of another pid namespace";
    assert_int_equal(in_child(open_live, f, 0), 0);
    shm_control()->pid_namespace--;
    f->actor = actor;
    users_insert(f->actor, 0, 10, 1);
    segment_check(f->store, 10);
}

static void hold(struct fixture *f, int ready)
{
    (void)f;
    if (write(ready, "r", 1) == 1)
        pause();
}

static void forked_child_keeps_the_segment_owned(void **state)
{
    struct fixture *f = *state;
    char byte;
    int pipe_fd[2];
    int status;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = start_child(hold, f, pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    fixture_close(f);
    assert_refused(f, SHM_EOWNED, "a live server owns it");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return pages * SHM_PAGE;
}

static void open_in_little_address_space(struct fixture *f, int unused)
{
    struct shm_store *store;
    struct shm_fault fault = {.text = ""};
    (void)unused;
    struct rlimit limit = {.rlim_cur = address_space() + (UINT64_C(1) << 30),
                           .rlim_max = RLIM_INFINITY};
    f->config.size = SHM_SIZE_MAX;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(2);
    int rc = shm_store_open(&store, &f->config, &fault);
    _exit(rc == SHM_ESYS && strstr(fault.text, "cannot map its segment-size") != NULL ? 0 : 1);
}

static void little_address_space_is_named_with_the_option(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(in_child(open_in_little_address_space, f, 0), 0);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(in_child(open_in_little_address_space, f, 0), 0);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void other_layout_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    flip(f, offsetof(struct shm_header, layout), 1);
    assert_refused(f, SHM_ELAYOUT, "another layout");
    flip(f, offsetof(struct shm_header, layout), 1);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void damaged_header_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    flip(f, 0, 4);
    assert_refused(f, SHM_ECORRUPT, "bad magic");
    flip(f, 0, 4);
    for (uint64_t offset = offsetof(struct shm_header, base); offset < SHM_PAGE; offset += 61) {
        flip(f, offset, 0x10);
        assert_refused(f, SHM_ECORRUPT, "checksum");
        flip(f, offset, 0x10);
    }
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void short_or_foreign_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    fixture_close(f);
    int fd = segment_fd(f);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(ftruncate(fd, st.st_size - (off_t)SHM_HUGE), 0);
    assert_refused(f, SHM_ECORRUPT, "shorter than it says");
    assert_int_equal(ftruncate(fd, st.st_size), 0); /* full length again, but with holes */
    assert_refused(f, SHM_ECORRUPT, "shorter than it says");
    assert_int_equal(ftruncate(fd, SHM_PAGE), 0);
    assert_refused(f, SHM_ECORRUPT, "shorter than its log");
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_refused(f, SHM_ECORRUPT, "shorter than its header");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(ftruncate(fd, SHM_PAGE), 0);
    assert_refused(f, SHM_ECORRUPT, "bad magic");
    close(fd);
}

static void segment_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    int fd = segment_fd(f);
    assert_int_equal(fchmod(fd, 0666), 0);
    assert_refused(f, SHM_EPERM, "others may write it (mode 0666)");
    assert_int_equal(fchmod(fd, 0620), 0);
    assert_refused(f, SHM_EPERM, "others may write it (mode 0620)");
    assert_int_equal(fchmod(fd, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(fchown(fd, 12345, 12345), 0);
        assert_refused(f, SHM_EPERM, "it belongs to user 12345");
        assert_int_equal(fchown(fd, 0, 0), 0);
    }
    close(fd);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void symbolic_link_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[300];
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(shm_file_path(path, f->name, NULL), SHM_OK);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_refused(f, SHM_EPERM, "cannot open it");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void taken_address_range_is_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    struct shm_fault fault;
    fixture_close(f);
    void *at = mmap((void *)(uintptr_t)(SHM_BASE + SHM_HUGE), SHM_PAGE, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(shm_store_open(&store, &f->config, &fault), SHM_EBASE);
    assert_non_null(strstr(fault.text, "address range is taken"));
    munmap(at, SHM_PAGE);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void max_users_follows_the_next_owner(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 1000, 100);
    fixture_close(f);
    f->config.max_users = 999;
    assert_refused(f, SHM_EINVAL, "max-users 999");
    f->config.max_users = 5000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 1000, 5000, 100);
    assert_int_equal(user_insert(f->actor, 5000, 8), SHM_EFULL);
    segment_check(f->store, 5000);
    fixture_close(f);
    f->config.size = 8 << 20;
    assert_refused(f, SHM_EINVAL, "segment-size 8388608");
    f->config.size = SHM_SIZE_MAX + 1;
    assert_refused(f, SHM_EINVAL, too_large_text());
    f->config.size = 300 << 20;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_control()->limit, 300 << 20);
}

static void largest_segment_can_be_mapped(void **state)
{
    struct fixture *f = *state;
    struct shm_store *tool;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.size = SHM_SIZE_MAX;
    if (fixture_reopen(f) != SHM_OK)
        fail_msg("%s", f->fault.text);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    shm_store_close(tool);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_int_equal(shm_control()->limit, SHM_SIZE_MAX);
    shm_control()->limit = SHM_SIZE_MAX + SHM_HUGE; /* impossible in any build */
    fixture_close(f);
    assert_refused(f, SHM_ECORRUPT, "control page is wrong");
    assert_int_equal(shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault),
                     SHM_ECORRUPT);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static void segment_at_its_limit_refuses_and_stays_intact(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.size = 16 << 20; /* the arena starts at 10 MiB, with a table of 1 MiB */
    f->config.max_users = 100000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    uint64_t n = 0;
    int rc;
    while ((rc = user_insert(f->actor, n, 3000)) == SHM_OK)
        n++;
    assert_int_equal(rc, SHM_ELIMIT);
    assert_true(n > 1300); /* 5 MiB of users of 3 KiB and a node each, less an extent */
    segment_check(f->store, n);
    while ((rc = user_insert(f->actor, n, 1)) == SHM_OK)
        n++; /* the rest of the extents still serves small users */
    assert_int_equal(rc, SHM_ELIMIT);
    segment_check(f->store, n);
}

static void tool_attaches_beside_the_owner(struct fixture *f, int expected)
{
    struct shm_store *tool;
    struct shm_actor *actor;
    struct shm_info info;
    struct shm_verify_report report;
    munmap((void *)(uintptr_t)SHM_BASE, f->store->size);
    close(f->store->fd);
    if (shm_store_attach(&tool, f->name, SHM_ATTACH_READ, NULL, &f->fault) != SHM_OK)
        _exit(1);
    if (shm_actor_join(&actor, tool, SHM_ACTOR_TOOL, 0, &f->fault) != SHM_OK)
        _exit(2);
    shm_store_info(tool, &info);
    if (info.users != (uint64_t)expected || !info.owned)
        _exit(3);
    assert_user(actor, 5);
    if (user_insert(actor, 5000, 8) != SHM_EINVAL)
        _exit(4);
    if (shm_store_verify(tool, &report, NULL, NULL) != SHM_OK)
        _exit(5);
    shm_actor_leave(actor);
    shm_store_close(tool);
    _exit(0);
}

static void tool_reads_a_live_segment(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 40, 4);
    assert_int_equal(in_child(tool_attaches_beside_the_owner, f, 40), 0);
}

static void tool_reads_a_dead_servers_segment(void **state)
{
    struct fixture *f = *state;
    struct shm_info info;
    users_insert(f->actor, 0, 40, 4);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&f->store, f->name, SHM_ATTACH_READ, NULL, &f->fault),
                     SHM_OK);
    assert_int_equal(shm_actor_join(&f->actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    shm_store_info(f->store, &info);
    assert_false(info.owned);
    assert_user(f->actor, 39);
    struct shm_store *none;
    assert_int_equal(
        shm_store_attach(&none, "/rosterd-test-none", SHM_ATTACH_READ, NULL, &f->fault),
        SHM_ENOSEG);
}

static void all_slots_taken_is_an_error(void **state)
{
    struct fixture *f = *state;
    static struct shm_actor *actors[SHM_SLOTS];
    struct shm_actor *one_more;
    struct shm_info info;
    for (unsigned i = 1; i < SHM_SLOTS; i++)
        assert_int_equal(shm_actor_join(&actors[i], f->store, SHM_ACTOR_TOOL, i, &f->fault),
                         SHM_OK);
    assert_int_equal(shm_actor_join(&one_more, f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_ESLOTS);
    assert_non_null(strstr(f->fault.text, "no free slot"));
    shm_store_info(f->store, &info);
    assert_int_equal(info.actors, SHM_SLOTS);
    assert_int_equal(shm_actor_slot(actors[700]), 700);
    shm_actor_leave(actors[700]);
    assert_int_equal(shm_actor_join(&actors[700], f->store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    for (unsigned i = 1; i < SHM_SLOTS; i++)
        shm_actor_leave(actors[i]);
    segment_check(f->store, 0);
}

/* ---- verify, and the check at a takeover ---- */

static void damage(struct fixture *f, void *word)
{
    struct shm_verify_report report;
    uint64_t *at = (uint64_t *)((uintptr_t)word & ~(uintptr_t)7);
    uint64_t was = *at;
    for (int bit = 0; bit < 64; bit += 9) {
        *at = was ^ UINT64_C(1) << bit;
        if (shm_store_verify(f->store, &report, NULL, NULL) != SHM_ECORRUPT)
            fail_msg("bit %d at offset %llx was flipped, but not noticed", bit,
                     (unsigned long long)((uintptr_t)at - SHM_BASE));
        assert_true(report.faults > 0);
    }
    *at = was;
}

static void verify_notices_flipped_bits(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 600, 50);
    struct shm_node *node = user_node(f->actor, 300);
    struct shm_control *control = shm_control();
    void *words[] = {
        &node->by_id.next,
        &node->by_id.prev,
        &node->hash,
        node->id,
        &node->body,
        &node->seq,
        &node->check,
        &node->born,
        &node->died,
        &node->order.next,
        &node->order.prev,
        &node->body->prev,
        &node->body->from,
        &node->body->born,
        &node->body->died,
        &node->body->check,
        node->body->bytes,
        &control->users,
        &control->order.next,
        &control->order.prev,
        &control->index[0],
        &control->index[0]->seq,
        &control->index[0]->next[0],
        &control->index[0]->node,
        &control->index_tail[0],
        &control->feed_head,
        &control->version,
        &control->alloc[SHM_ALLOC_BYTES_USED],
        &control->alloc[SHM_ALLOC_CUR],
        &control->alloc[SHM_ALLOC_END],
        &control->alloc[SHM_ALLOC_ARENA_CUR],
        &control->alloc[SHM_ALLOC_RESERVED],
        &control->alloc[3],
        &control->retired.head,
        &control->retired.count,
        &shm_feed()[10].version,
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        damage(f, words[i]);
    segment_check(f->store, 600);
}

static void corrupt_segment_is_not_taken_over(void **state)
{
    struct fixture *f = *state;
    users_insert(f->actor, 0, 600, 50);
    uint64_t at = (uintptr_t)user_node(f->actor, 77)->body->bytes - SHM_BASE;
    fixture_close(f);
    flip(f, at + 3, 0x40);
    assert_refused(f, SHM_ECORRUPT, "corrupt: user 78: a body's checksum is wrong");
    flip(f, at + 3, 0x40);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 600);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(next_owner_finds_the_users),
        WITH(bad_names_and_values_are_named),
        WITH(live_owner_is_left_alone),
        WITH(forked_child_keeps_the_segment_owned),
        WITH(other_layout_is_refused),
        WITH(damaged_header_is_refused),
        WITH(short_or_foreign_file_is_refused),
        WITH(segment_of_another_user_is_refused),
        WITH(symbolic_link_is_refused),
        WITH(taken_address_range_is_refused),
        WITH(little_address_space_is_named_with_the_option),
        WITH(max_users_follows_the_next_owner),
        WITH(largest_segment_can_be_mapped),
        WITH(segment_at_its_limit_refuses_and_stays_intact),
        WITH(tool_reads_a_live_segment),
        WITH(tool_reads_a_dead_servers_segment),
        WITH(all_slots_taken_is_an_error),
        WITH(verify_notices_flipped_bits),
        WITH(corrupt_segment_is_not_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
