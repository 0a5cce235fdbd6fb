/* SPDX-License-Identifier: MIT */
/* Functions that all processes of the storm use. */
#include "tests/torture/storm.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/core/hash.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/table/tower.h"
#include "shm/table/unique.h"

struct storm *storm;
struct model storm_model;
struct shm_store *storm_store;

/* A body describes itself: a process that reads freed or half-written memory notices it. */
struct body {
    uint64_t check; /* checksum over all fields after it */
    uint32_t length;
    uint32_t writer, op;
    uint32_t hidden; /* length of the second part, whose bytes the other fields tell */
    struct model_change is;
    uint8_t fill[];
};

static uint64_t random_state = 1;

void storm_seed(uint64_t seed)
{
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

uint64_t storm_random(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

double storm_seconds(void)
{
    return (double)clock_monotonic_ns() / 1e9;
}

void storm_beat(unsigned worker)
{
    atomic_fetch_add_explicit(&storm->beats[worker], 1, memory_order_relaxed);
}

void storm_fail(const char *format, ...)
{
    int first = 0;
    if (atomic_compare_exchange_strong(&storm->failed, &first, 1)) {
        va_list args;
        va_start(args, format);
        vsnprintf(storm->failure, sizeof(storm->failure), format, args);
        va_end(args);
        atomic_store(&storm->failed, 2);
    }
    _exit(1);
}

/* ---- ids, keys, bodies ---- */

void storm_id(uint8_t id[SHM_ID_SIZE], uint32_t n)
{
    uint64_t words[2] = {storm->id_salt[n % MODEL_IDS] * UINT64_C(0x9e3779b97f4a7c15), n};
    memcpy(id, words, sizeof(words));
}

uint32_t storm_key(unsigned key, uint32_t value, uint8_t *out)
{
    if (key == 1 && value == 0)
        return 0;
    /* Values differ in length. */
    return (uint32_t)sprintf((char *)out, key == 0 ? "user%u.%u" : "mail.%u.%u@example.com", value,
                             storm->key_salt[key][value % (MODEL_IDS + 1)]);
}

void storm_choose_ids(void)
{
    enum { LOW = 8191 }; /* buckets of the smallest table: the secret of the hash is known here */
    uint64_t few = UINT64_C(1) << (2 + storm_random(8));
    for (uint32_t n = 0; n < MODEL_IDS; n++) {
        uint8_t id[SHM_ID_SIZE];
        uint64_t hash;
        bool tower = storm_random(3) == 0;
        do {
            storm->id_salt[n]++;
            storm_id(id, n);
            hash = shm_hash_id(shm_header(), id);
        } while ((hash & LOW) >= few || (tower && shm_tower_height(hash) == 0));
    }
    for (unsigned key = 0; key < SHM_KEYS; key++)
        for (uint32_t value = key; value <= MODEL_IDS; value++) {
            uint8_t bytes[SHM_KEY_MAX];
            uint32_t length;
            do {
                storm->key_salt[key][value]++;
                length = storm_key(key, value, bytes);
            } while ((shm_unique_hash(shm_header(), key, bytes, length) & LOW) >= few);
        }
}

uint32_t storm_key_of(unsigned key, const uint8_t *bytes, uint32_t length, uint8_t *out)
{
    struct body body;
    if (length < sizeof(body))
        return 0;
    memcpy(&body, bytes, sizeof(body));
    return storm_key(key, key == 0 ? body.is.name : body.is.email, out);
}

/* Byte number `at` of the second part: each version of a user has others. */
static uint8_t hidden_byte(const struct body *body, uint32_t at)
{
    uint32_t seed = body->op * UINT32_C(40503) + body->writer * UINT32_C(65537) + body->is.id;
    return (uint8_t)((seed + at) * UINT32_C(2654435761) >> 24);
}

/* The length of a part of a body, of which `most` bytes are left. */
static uint32_t part_length(uint32_t most)
{
    uint64_t length = storm_random(storm->large ? 2 : 64) == 0 ? storm_random(most + 1)
                      : storm_random(16) == 0                  ? storm_random(600)
                                                               : storm_random(160);
    return length < most ? (uint32_t)length : most;
}

void storm_body(struct shm_new_user *user, uint8_t bytes[SHM_BODY_MAX], const struct storm_op *op,
                size_t i)
{
    struct body *body = (void *)bytes;
    uint32_t fill = part_length(SHM_BODY_MAX - sizeof(*body));
    *body = (struct body){.length = (uint32_t)sizeof(*body) + fill,
                          .writer = op->head.writer,
                          .op = op->head.op,
                          .is = op->change[i]};
    if (storm_random(3) != 0)
        body->hidden = part_length(SHM_BODY_MAX - body->length);
    memset(body->fill, (int)(op->head.op + i), fill);
    uint8_t *hidden = bytes + SHM_BODY_MAX - body->hidden;
    for (uint32_t at = 0; at < body->hidden; at++)
        hidden[at] = hidden_byte(body, at);
    body->check = XXH3_64bits(&body->length, body->length - sizeof(body->check));
    user->body = bytes;
    user->body_len = body->length;
    user->hidden = hidden;
    user->hidden_len = body->hidden;
    user->if_version = op->change[i].if_version;
}

/* The second part must be the one that was written with the first. */
static void check_hidden(const struct shm_user *user, const struct body *body)
{
    if (user->hidden_len != body->hidden)
        storm_fail("seq %llu, version %llu: the hidden part has %u bytes and should have %u",
                   (unsigned long long)user->seq, (unsigned long long)user->version,
                   user->hidden_len, body->hidden);
    for (uint32_t at = 0; at < body->hidden; at++)
        if (shm_user_hidden(user)[at] != hidden_byte(body, at))
            storm_fail("seq %llu, version %llu: byte %u of %u of the hidden part is wrong",
                       (unsigned long long)user->seq, (unsigned long long)user->version, at,
                       body->hidden);
}

void storm_read(const struct shm_user *user, struct model_row *row)
{
    struct body body;
    if (user->body_len < sizeof(body))
        storm_fail("a body of %u bytes, which no writer wrote", user->body_len);
    memcpy(&body, user->body, sizeof(body));
    if (body.length != user->body_len ||
        body.check !=
            XXH3_64bits(user->body + sizeof(body.check), user->body_len - sizeof(body.check)))
        storm_fail("a body was changed under its reader: seq %llu, version %llu, of %u bytes,"
                   " says %u; first word %llx",
                   (unsigned long long)user->seq, (unsigned long long)user->version, user->body_len,
                   body.length, (unsigned long long)body.check);
    check_hidden(user, &body);
    *row = (struct model_row){.seq = user->seq,
                              .version = user->version,
                              .writer = body.writer,
                              .op = body.op,
                              .is = body.is,
                              .there = true};
}

bool storm_same(const struct model_row *a, const struct model_row *b)
{
    if (!a->there || !b->there)
        return a->there == b->there;
    return a->seq == b->seq && a->version == b->version && a->writer == b->writer &&
           a->op == b->op && memcmp(&a->is, &b->is, sizeof(a->is)) == 0;
}

const char *storm_row_text(const struct model_row *row)
{
    static char text[4][160];
    static unsigned next;
    char *out = text[next++ % 4];
    if (row == NULL || !row->there)
        return "nobody";
    snprintf(out, sizeof(text[0]), "user %u (seq %llu, version %llu, writer %u, op %u, amount %d)",
             row->is.id, (unsigned long long)row->seq, (unsigned long long)row->version,
             row->writer, row->op, row->is.amount);
    return out;
}

/* ---- the store ---- */

uint64_t storm_version(void)
{
    uint64_t version = __atomic_load_n(&shm_control()->published, __ATOMIC_ACQUIRE);
    if (atomic_load(&storm->strict) != 0 && version > atomic_load(&storm->disk))
        storm_fail("version %llu is published, the disk has %llu", (unsigned long long)version,
                   (unsigned long long)atomic_load(&storm->disk));
    return version;
}

uint64_t storm_newest(void)
{
    return __atomic_load_n(&shm_control()->version, __ATOMIC_ACQUIRE);
}

void storm_replay(struct model *model, uint64_t version)
{
    if (version < model->version)
        storm_fail("version went back from %llu to %llu", (unsigned long long)model->version,
                   (unsigned long long)version);
    while (model->version < version) {
        const char *wrong = model_step(model, &storm->ledger);
        if (wrong != NULL) {
            const struct model_commit *commit = ledger_commit(&storm->ledger, model->version);
            storm_fail("commit %llu (writer %u, op %u, kind %u, %u users) %s",
                       (unsigned long long)model->version, commit->writer, commit->op, commit->kind,
                       commit->count, wrong);
        }
    }
}

void storm_check_acknowledged(void)
{
    uint64_t version = storm_newest();
    for (uint64_t v = version + 1; v < version + LEDGER_COMMITS / 2; v++) {
        const struct model_commit *commit = ledger_commit(&storm->ledger, v);
        if (atomic_load(&commit->acknowledged) == v)
            storm_fail("version %llu was acknowledged to writer %u, and the segment is at %llu",
                       (unsigned long long)v, commit->writer, (unsigned long long)version);
        if (commit->count == 0)
            break; /* no writer has come this far */
    }
}

struct shm_actor *storm_join(enum shm_actor_kind kind, unsigned number)
{
    struct shm_fault fault;
    struct shm_actor *actor;
    if (shm_actor_join(&actor, storm_store, kind, number, &fault) != SHM_OK)
        storm_fail("%s", fault.text);
    return actor;
}

void storm_become_tool(enum shm_attach_mode mode)
{
    struct shm_fault fault;
    shm_store_close(storm_store); /* closes this process's part of the store */
    if (shm_store_attach(&storm_store, storm_name, mode, storm_key_of, &fault) != SHM_OK)
        storm_fail("a tool cannot attach: %s", fault.text);
    atomic_fetch_add(&storm->tools, 1);
}

static void first_fault(void *data, const char *line)
{
    char *text = data;
    if (text[0] == '\0')
        snprintf(text, 400, "%s", line);
}

void storm_verify_live(void)
{
    struct shm_verify_report report;
    char text[400] = "";
    int rc = shm_store_verify(storm_store, &report, first_fault, text);
    if (rc != SHM_OK && rc != SHM_EBUSY)
        storm_fail("verify of the live segment: %s; %llu faults, first: %s", shm_strerror(rc),
                   (unsigned long long)report.faults, text);
    if (rc == SHM_OK)
        atomic_fetch_add(&storm->verified, 1);
}

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
