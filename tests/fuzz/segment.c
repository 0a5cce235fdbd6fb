/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the code that reads an untrusted segment: verify, the take-over by a new owner, and the
 * careful reader of tools. An input changes words of a dead server's segment, eleven bytes each:
 *
 *   how 1 | where 1 | offset 4 | value 5        all little-endian
 *
 * where: a part of the segment; offset: of a word in it, modulo its size.
 * how, modulo 6: 0 the word is the value; 1 SHM_BASE + value; 2 xor 1 << value;
 * 3 plus value, signed; 4 as another word of the part; 5 as another word of the arena.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "shm/careful.h"
#include "shm/error.h"
#include "shm/segment/segment_file.h"
#include "shm/verify/image.h"
#include "shm/verify/verify.h"
#include "tests/torture/killer.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)     ((void)(at), (void)(size))
#define __sanitizer_set_death_callback(unlinks) ((void)(unlinks))
#endif

enum { CHANGE = 11, CHANGES_MAX = 64, RECORDS_MAX = 4096, FOUND_MAX = 256 };

static struct world *world;
static struct image image;
static uint8_t *copy; /* of the segment, of its size exactly */

static void unlink_segment(void)
{
    char path[300];
    if (shm_file_path(path, world->name, NULL) == SHM_OK)
        unlink(path);
}

static void die(const char *what)
{
    fprintf(stderr, "segment: %s\n", what);
    unlink_segment();
    abort();
}

/* ---- the segment to begin with ---- */

static void fill(void)
{
    struct shm_fault fault;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (shm_store_open(&world_store, &world->config, &fault) != SHM_OK)
        _exit(1);
    world_fill_and_die(world);
    _exit(0);
}

/* A hole has no memory: an access to it is an error. */
static void poison(void)
{
    uint64_t slots = SHM_SLOTS_AT + image.slots;
    ASAN_POISON_MEMORY_REGION(copy + SHM_CONTROL_END, SHM_SLOTS_AT - SHM_CONTROL_END);
    ASAN_POISON_MEMORY_REGION(copy + slots, SHM_ARENA_AT - slots);
}

static void start(void)
{
    int status;
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED)
        die("no memory");
    snprintf(world->name, sizeof(world->name), "/rosterd-fuzz-segment-%d", (int)getpid());
    world->config = (struct shm_config){.name = world->name,
                                        .size = 12 << 20,
                                        .max_users = 2 * KILLER_USERS,
                                        .unique = 3,
                                        .key_of = world_key_of};
    pid_t pid = fork();
    if (pid == 0)
        fill();
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("there is no segment to begin with");
    atexit(unlink_segment);
    __sanitizer_set_death_callback(unlink_segment);
    image_open(&image, world);
    image_save(&image);
    copy = malloc(image.size);
    if (copy == NULL)
        die("no memory");
    memcpy(copy, image.bytes, image.size);
    poison();
}

/* ---- changes ---- */

/* @return offset of the part's first byte; its size */
static uint64_t part(uint8_t where, uint64_t *size)
{
    const struct shm_control *control = (const void *)(image.bytes + SHM_CONTROL_AT);
    switch (where % 8) {
    case 0:
        *size = SHM_PAGE;
        return 0;
    case 1:
    case 2:
        *size = offsetof(struct shm_control, reserved);
        return SHM_CONTROL_AT;
    case 3:
        *size = 1024;
        return SHM_LOG_AT;
    case 4:
        *size = control->feed_head * sizeof(struct shm_feed_entry);
        return SHM_FEED_AT;
    case 5:
        *size = 4 * sizeof(struct shm_slot);
        return SHM_SLOTS_AT;
    default:
        *size = control->alloc[SHM_ALLOC_ARENA_CUR] - SHM_BASE - SHM_ARENA_AT;
        return SHM_ARENA_AT;
    }
}

static uint64_t number(const uint8_t *data, size_t len)
{
    uint64_t n = 0;
    memcpy(&n, data, len);
    return n;
}

static uint64_t word_of(uint64_t from, uint64_t size, uint64_t value)
{
    uint64_t word;
    memcpy(&word, image.map + from + value % (size / 8) * 8, sizeof(word));
    return word;
}

static uint64_t changed(uint8_t how, uint64_t old, uint64_t value, uint64_t from, uint64_t size)
{
    switch (how % 6) {
    case 0:
        return value;
    case 1:
        return SHM_BASE + value;
    case 2:
        return old ^ UINT64_C(1) << value % 64;
    case 3:
        return old + (uint64_t)(int64_t)(int8_t)value;
    case 4:
        return word_of(from, size, value);
    default:
        from = part(7, &size);
        return word_of(from, size, value);
    }
}

/* In the file and in the copy. @return the words' offsets */
static size_t change(const uint8_t *data, size_t len, uint64_t *at)
{
    size_t count = 0;
    bool header = false;
    for (; len >= CHANGE && count < CHANGES_MAX; data += CHANGE, len -= CHANGE, count++) {
        uint64_t size, old, from = part(data[1], &size);
        at[count] = from + number(data + 2, 4) % (size / 8) * 8;
        memcpy(&old, image.map + at[count], sizeof(old));
        uint64_t word = changed(data[0], old, number(data + 6, 5), from, size);
        memcpy(image.map + at[count], &word, sizeof(word));
        header = header || from == 0;
    }
    struct shm_header *mine = (struct shm_header *)(void *)image.map;
    if (header && len != 0) /* a byte is left over: the checksum is right */
        mine->check = shm_header_check(mine);
    memcpy(copy, image.map, SHM_PAGE);
    for (size_t i = 0; i < count; i++)
        memcpy(copy + at[i], image.map + at[i], sizeof(uint64_t));
    return count;
}

/* ---- the readers of the segment ---- */

static void verify_copy(void)
{
    struct shm_verify_report report;
    const struct shm_image verified = {.bytes = copy, .size = image.size, .key_of = world_key_of};
    int rc = shm_verify_image(&verified, &report);
    if (rc != SHM_OK && rc != SHM_ECORRUPT)
        die("verify of the image has no verdict");
}

static void list(struct shm_reader *reader)
{
    static struct shm_record record;
    struct shm_fault fault;
    uint8_t id[SHM_ID_SIZE];
    for (uint64_t after = 0; after <= 50; after += 50) {
        if (shm_reader_begin(reader, after, &fault) != SHM_OK)
            continue;
        int rc = SHM_OK;
        for (unsigned n = 0; rc == SHM_OK || rc == SHM_ECORRUPT; n++) {
            if (n == RECORDS_MAX)
                die("a listing does not end");
            rc = shm_reader_next(reader, &record, &fault);
        }
        shm_reader_end(reader);
    }
    for (unsigned n = 0; n < FOUND_MAX; n++) {
        world_id(world, n, id);
        (void)shm_reader_find(reader, id, &record, &fault);
    }
}

static void read_carefully(void)
{
    struct shm_store *store;
    struct shm_reader *reader;
    struct shm_fault fault;
    struct shm_info info;
    if (shm_store_attach(&store, world->name, SHM_ATTACH_READ, world_key_of, &fault) != SHM_OK)
        return;
    shm_store_info(store, &info);
    if (shm_reader_open(&reader, store, &fault) == SHM_OK) {
        list(reader);
        shm_reader_close(reader);
    }
    shm_store_close(store);
}

static void take_over(void)
{
    struct shm_store *store;
    struct shm_verify_report report;
    struct shm_fault fault = {.text = ""};
    if (shm_store_open(&store, &world->config, &fault) != SHM_OK) {
        if (fault.text[0] == '\0')
            die("it is refused without a reason");
        return;
    }
    (void)shm_store_verify(store, &report, NULL, NULL);
    shm_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t at[CHANGES_MAX];
    if (world == NULL)
        start();
    size_t count = change(data, len, at);
    verify_copy();
    read_carefully();
    for (size_t i = 0; i < count; i++) /* the reader's slot is its own to write */
        memcpy(image.map + at[i], copy + at[i], sizeof(uint64_t));
    take_over();
    image_restore(&image);
    memcpy(copy, image.bytes, SHM_PAGE);
    for (size_t i = 0; i < count; i++)
        memcpy(copy + at[i], image.bytes + at[i], sizeof(uint64_t));
    return 0;
}
