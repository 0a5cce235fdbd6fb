/* SPDX-License-Identifier: MIT */
/*
 * Flips one bit of a dead server's segment. Then shm_store_open() must refuse the segment and leave
 * it unchanged, or shm_store_verify() must find the flip, or the byte must be unused, or it must
 * belong to a field that docs/store.md lists as unchecked. A tool that reads the flipped segment
 * ends, and shows whole users only.
 * FLIPS=all: every bit of every byte of the control pages, and more of the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/segment/segment_file.h"
#include "tests/torture/flips.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LISTED_MAX = 64, DATA_BYTES = 1000, SHOWN = 40, BODY_STEP = 776 };

static struct world *world;
static struct image image;
static struct flips_map map;
static bool all;
static uint64_t tried, found, missed_listed, missed_unused, missed_else;
static char listed[LISTED_MAX][64];
static bool listed_missed[LISTED_MAX];
static unsigned num_listed;

/* ---- the list of unchecked fields ---- */

/* Reads the first column of the table in that section of docs/store.md. */
static void read_list(void)
{
    char path[4096], line[1024];
    bool inside = false;
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/docs/store.md", srcdir != NULL ? srcdir : "..");
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("%s: no such file", path);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "## ", 3) == 0)
            inside = strcmp(line, "## Fields that verify does not check\n") == 0;
        char *end = inside && strncmp(line, "| `", 3) == 0 ? strchr(line + 3, '`') : NULL;
        if (end == NULL)
            continue;
        assert_true(num_listed < LISTED_MAX && end - line - 3 < 64);
        *end = '\0';
        memcpy(listed[num_listed++], line + 3, (size_t)(end - line - 2));
    }
    fclose(file);
}

static bool is_listed(const char *name)
{
    for (unsigned i = 0; i < num_listed; i++)
        if (strcmp(listed[i], name) == 0) {
            listed_missed[i] = true;
            return true;
        }
    return false;
}

/* ---- the segment ---- */

static void unlink_segment(void)
{
    char path[300];
    if (world != NULL && shm_file_path(path, world->name, NULL) == SHM_OK)
        unlink(path);
}

static void in_child(void (*run)(struct world *w))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct shm_fault fault;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (shm_store_open(&world_store, &world->config, &fault) != SHM_OK)
            world_fail(world, "%s", fault.text);
        run(world);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail_msg("cannot create the segment: %s", world->why);
}

static int setup(void **state)
{
    (void)state;
    snprintf(world->name, sizeof(world->name), "/rosterd-flips-%ld", (long)getpid());
    world->config = (struct shm_config){.name = world->name,
                                        .size = 12 << 20,
                                        .max_users = 2 * KILLER_USERS,
                                        .unique = 3,
                                        .key_of = world_key_of};
    in_child(flips_fill);
    image_open(&image, world);
    image_save(&image);
    flips_map_make(&map, image.bytes, image.size);
    read_list();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flips_map_free(&map);
    image_close(&image);
    unlink_segment();
    return 0;
}

/* ---- one flip ---- */

/* @return whether the flip was found. Asserts that a refused segment is left unchanged. */
static bool is_found(uint64_t offset, uint8_t bits)
{
    struct shm_store *store;
    struct shm_fault fault = {.text = ""};
    image_restore(&image);
    image.map[offset] ^= bits;
    if (shm_store_open(&store, &world->config, &fault) != SHM_OK) {
        image.map[offset] ^= bits;
        if (!image_is_as_saved(&image))
            fail_msg("offset %llu: refused (%s), but not left as it was",
                     (unsigned long long)offset, fault.text);
        return true;
    }
    struct shm_verify_report report;
    int rc = shm_store_verify(store, &report, NULL, NULL);
    shm_store_close(store);
    return rc != SHM_OK;
}

static void flip(uint64_t offset, uint8_t bits)
{
    if (offset >= SHM_ARENA_AT)
        flips_read(world, &image, offset, bits);
    const char *name = flips_name_at(&map, offset);
    tried++;
    if (is_found(offset, bits))
        found++;
    else if (name[0] == '\0')
        missed_unused++;
    else if (is_listed(name))
        missed_listed++;
    else if (missed_else++ < SHOWN)
        print_error("a flip of bits %#x at offset %llu, in %s, is not found\n", bits,
                    (unsigned long long)offset, name);
}

static uint64_t random_state = 1; /* fixed seed: short rounds repeat the same flips */

static uint64_t random_next(void)
{
    uint64_t state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    random_state = state;
    return state >> 24;
}

static void flip_at(uint64_t offset)
{
    if (!all) {
        flip(offset, (uint8_t)(1u << random_next() % 8));
        return;
    }
    for (unsigned bit = 0; bit < 8; bit++)
        flip(offset, (uint8_t)(1u << bit));
}

static void flip_range(uint64_t from, uint64_t size, uint64_t every)
{
    for (uint64_t at = from; at < from + size; at += all ? 1 : every)
        flip_at(at);
}

static void report(uint64_t before)
{
    print_message("%llu flips so far: %llu found, %llu in unused bytes, %llu in listed fields\n",
                  (unsigned long long)tried, (unsigned long long)found,
                  (unsigned long long)missed_unused, (unsigned long long)missed_listed);
    assert_int_equal(missed_else, before);
}

/* ---- tests ---- */

static void the_fields_that_are_listed_exist(void **state)
{
    (void)state;
    assert_true(num_listed != 0);
    for (unsigned i = 0; i < num_listed; i++)
        if (!flips_name_known(listed[i]))
            fail_msg("docs/store.md lists %s, but there is no such field", listed[i]);
}

static void a_whole_segment_is_taken(void **state)
{
    (void)state;
    image_restore(&image);
    assert_false(is_found(SHM_ARENA_AT, 0));
}

static void a_flip_of_the_header_is_found(void **state)
{
    uint64_t before = missed_else;
    (void)state;
    flip_range(0, offsetof(struct shm_header, reserved), 1);
    flip_range(offsetof(struct shm_header, reserved), sizeof(struct shm_header) - 300, 16);
    report(before);
}

static void a_flip_of_the_control_page_is_found_or_listed(void **state)
{
    uint64_t before = missed_else;
    (void)state;
    flip_range(SHM_CONTROL_AT, offsetof(struct shm_control, reserved), 1);
    flip_range(SHM_CONTROL_AT + offsetof(struct shm_control, reserved),
               SHM_PAGE - offsetof(struct shm_control, reserved), 16);
    report(before);
}

static void a_flip_of_the_empty_log_is_found_or_listed(void **state)
{
    uint64_t before = missed_else;
    (void)state;
    flip_range(SHM_LOG_AT, offsetof(struct shm_log, entry), 1);
    for (unsigned bit = 0; bit < 8; bit++) { /* one of the bits is SEALED, with the last commit */
        uint64_t found_before = found;
        flip(SHM_LOG_AT + offsetof(struct shm_log, state), (uint8_t)(1u << bit));
        assert_int_equal(found - found_before, 1u << bit == SHM_LOG_SEALED ? 0 : 1);
    }
    flip_range(SHM_LOG_AT + offsetof(struct shm_log, entry), 64 * sizeof(struct shm_log_entry), 7);
    report(before);
}

static void a_flip_of_a_slot_or_pin_is_found_or_listed(void **state)
{
    uint64_t before = missed_else;
    uint64_t pins = offsetof(struct shm_slot, pins);
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        flip_range(SHM_SLOTS_AT + i * sizeof(struct shm_slot), pins, i < 2 ? 1 : 3);
    flip_range(SHM_SLOTS_AT + pins, sizeof(struct shm_pin), 1);
    flip_range(SHM_SLOTS_AT + pins + 125 * sizeof(struct shm_pin), sizeof(struct shm_pin), 1);
    report(before);
}

static void a_flip_of_the_feed_is_found_or_listed(void **state)
{
    uint64_t before = missed_else;
    uint64_t used = image_control(&image)->feed_head * sizeof(struct shm_feed_entry);
    (void)state;
    flip_range(SHM_FEED_AT, used, 17);
    report(before);
}

/* The head of each reserved block, and some bytes of the rest. */
static void a_flip_of_a_reserved_block_is_found_or_listed(void **state)
{
    uint64_t before = missed_else, blocks = 0;
    (void)state;
    for (uint64_t at = SHM_ARENA_AT; at < image.size; at += SHM_GRANULE) {
        uint64_t granule = (at - SHM_ARENA_AT) / SHM_GRANULE;
        if (flips_kind_at(&map, at) != FLIPS_RESERVED || map.record[granule] != granule)
            continue;
        flip_range(at, sizeof(struct shm_body), blocks++ < 2 ? 1 : 7);
        for (uint64_t i = 0; i < SHM_BODY_MAX; i += BODY_STEP)
            flip_at(at + sizeof(struct shm_body) + i);
    }
    assert_int_equal(blocks, FLIPS_RESERVES);
    report(before);
}

/* Half of the flips are anywhere, half are in user records. */
static void a_flip_of_the_data_is_found_or_listed(void **state)
{
    uint64_t before = missed_else;
    const struct shm_control *control =
        (const struct shm_control *)(const void *)(image.bytes + SHM_CONTROL_AT);
    uint64_t used = control->alloc[SHM_ALLOC_ARENA_CUR] - SHM_BASE - SHM_ARENA_AT;
    (void)state;
    for (int i = 0; i < (all ? 10 : 1) * DATA_BYTES; i++) {
        uint64_t offset;
        do {
            offset = SHM_ARENA_AT + random_next() % used;
        } while (i % 2 == 0 && (flips_kind_at(&map, offset) == FLIPS_UNUSED ||
                                flips_kind_at(&map, offset) == FLIPS_RESERVED ||
                                flips_kind_at(&map, offset) == FLIPS_TABLE));
        flip(offset, (uint8_t)(1u << random_next() % 8));
    }
    report(before);
}

/* Whether a link of the order list leads to a node with this number. */
static bool leads_to(const struct cds_list_head *link, uint64_t seq)
{
    uint64_t at = (uint64_t)(uintptr_t)link - SHM_BASE;
    const struct shm_node *node =
        (const void *)(image.bytes + at - offsetof(struct shm_node, order));
    return at >= SHM_ARENA_AT && at < image.size && node->seq == seq;
}

static bool is_of_renamed_user(const struct shm_node *node)
{
    if ((node->state & SHM_NODE_RENAMED) != 0 || leads_to(node->order.next, node->seq))
        return true;
    return (node->state & SHM_NODE_UNLINKED) == 0 && leads_to(node->order.prev, node->seq);
}

/* The nodes of users who got other keys, linked and unlinked ones. */
static void a_flip_of_a_renamed_user_is_found_or_listed(void **state)
{
    enum { EVERY = 3, NODES = 7 };
    uint64_t before = missed_else, nodes = 0;
    (void)state;
    for (uint64_t at = SHM_ARENA_AT; at < image.size; at += SHM_GRANULE) {
        enum flips_kind kind = flips_kind_at(&map, at);
        if ((kind != FLIPS_NODE && kind != FLIPS_GONE_NODE) ||
            map.record[(at - SHM_ARENA_AT) / SHM_GRANULE] != (at - SHM_ARENA_AT) / SHM_GRANULE ||
            !is_of_renamed_user((const void *)(image.bytes + at)))
            continue;
        flip_range(at, sizeof(struct shm_node), EVERY);
        nodes++;
    }
    assert_int_equal(nodes, NODES);
    report(before);
}

static void a_flip_of_a_hidden_part_is_found(void **state)
{
    enum { EVERY = 11, PARTS = 40 };
    uint64_t before = missed_else, parts = 0;
    (void)state;
    for (uint64_t at = SHM_ARENA_AT; at < image.size && parts < PARTS; at += SHM_GRANULE) {
        const struct shm_body *body = (const void *)(image.bytes + at);
        if (flips_kind_at(&map, at) != FLIPS_BODY ||
            map.record[(at - SHM_ARENA_AT) / SHM_GRANULE] != (at - SHM_ARENA_AT) / SHM_GRANULE ||
            body->hidden == 0)
            continue;
        uint64_t found_before = found, tried_before = tried;
        flip_range(at + sizeof(*body) + body->length, body->hidden, EVERY);
        assert_int_equal(found - found_before, tried - tried_before);
        parts++;
    }
    assert_int_equal(parts, PARTS);
    report(before);
}

/* ---- a sealed log ---- */

static struct shm_actor *writer;

static void join(struct world *w)
{
    writer = world_join(w);
}

static void insert(struct world *w)
{
    world_check(w, world_insert(w, writer, WORLD_NEW + 3, 2, 1) == SHM_OK);
}

static void seal(struct world *w)
{
    static const struct killer_case kase = {.name = "seal", .before = join, .run = insert};
    struct shm_fault fault;
    struct trace trace;
    size_t i = 0;
    image_restore(&image);
    assert_int_equal(shm_store_open(&world_store, &w->config, &fault), SHM_OK);
    assert_true(trace_record(&trace, &kase, w, &image));
    while (i < trace.count && !trace.at[i].sealed)
        i++;
    assert_true(i < trace.count && trace_kill_at(&trace, &trace.at[i], &kase, w, &image));
    trace_free(&trace);
    image_save(&image);
    shm_store_close(world_store);
}

/* Whether the word that a log entry changes is unchecked or unused. */
static bool is_unchecked(uint64_t word)
{
    const char *name = word < image.size ? flips_name_at(&map, word) : "out of bounds";
    return name[0] == '\0' || is_listed(name);
}

/* Whether the entry's value is overwritten: users whose ids or keys share a bucket change its word
 * one after the other. */
static bool is_written_again(const struct shm_log *log, const struct shm_log_entry *entry)
{
    for (const struct shm_log_entry *later = entry + 1; later < log->entry + log->count; later++)
        if (later->offset == entry->offset)
            return true;
    return false;
}

static void flip_entry(const struct shm_log *log, const struct shm_log_entry *entry, uint64_t at,
                       uint8_t bits)
{
    struct shm_log_entry flipped = *entry;
    uint64_t offset = (uint64_t)((const uint8_t *)entry - image.bytes) + at;
    ((uint8_t *)&flipped)[at] ^= bits;
    tried++;
    if (is_found(offset, bits))
        found++;
    else if (is_unchecked(entry->offset) && is_unchecked(flipped.offset))
        missed_listed++;
    else if (flipped.offset == entry->offset && is_written_again(log, entry))
        missed_unused++;
    else if (missed_else++ < SHOWN)
        print_error("a flip in the log of the word in %s to %#llx = %#llx is not found\n",
                    flips_name_at(&map, entry->offset), (unsigned long long)flipped.offset,
                    (unsigned long long)flipped.value);
}

static void a_flip_of_a_sealed_log_is_found_or_of_a_listed_word(void **state)
{
    uint64_t before = missed_else;
    (void)state;
    seal(world);
    const struct shm_log *log = (const struct shm_log *)(const void *)(image.bytes + SHM_LOG_AT);
    assert_int_equal(log->state, SHM_LOG_SEALED);
    flip_range(SHM_LOG_AT + offsetof(struct shm_log, count), sizeof(log->count), 1);
    for (uint64_t i = 0; i < log->count; i++)
        for (uint64_t at = 0; at < sizeof(log->entry[i]); at++)
            for (unsigned bit = 0; bit < 8; bit++)
                if (all || bit == random_next() % 8)
                    flip_entry(log, &log->entry[i], at, (uint8_t)(1u << bit));
    report(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fields_that_are_listed_exist),
        cmocka_unit_test(a_whole_segment_is_taken),
        cmocka_unit_test(a_flip_of_the_header_is_found),
        cmocka_unit_test(a_flip_of_the_control_page_is_found_or_listed),
        cmocka_unit_test(a_flip_of_the_empty_log_is_found_or_listed),
        cmocka_unit_test(a_flip_of_a_slot_or_pin_is_found_or_listed),
        cmocka_unit_test(a_flip_of_the_feed_is_found_or_listed),
        cmocka_unit_test(a_flip_of_the_data_is_found_or_listed),
        cmocka_unit_test(a_flip_of_a_renamed_user_is_found_or_listed),
        cmocka_unit_test(a_flip_of_a_hidden_part_is_found),
        cmocka_unit_test(a_flip_of_a_reserved_block_is_found_or_listed),
        cmocka_unit_test(a_flip_of_a_sealed_log_is_found_or_of_a_listed_word),
    };
    const char *text = getenv("FLIPS");
    all = text != NULL && strcmp(text, "all") == 0;
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED)
        return 2;
    if (all)
        random_state = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)random_state);
    atexit(unlink_segment);
    return cmocka_run_group_tests_name("flips", tests, setup, teardown);
}
