/* SPDX-License-Identifier: MIT */
#include "inspect/core/moves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "inspect/core/guard.h"
#include "inspect/core/memory.h"
#include "inspect/core/record_merge.h"
#include "inspect/core/report.h"

enum {
    WRITE_TRIES = 100, /* of a user that other processes change at the same time */
};

/* Records that are looked at. They may have secrets, so they are overwritten after each use. */
static struct {
    struct record later, on_stack;
    struct merged_hidden merged;
} scratch;

/* ---- the table ---- */

/* Finds the other user that has this key of the record. @return false: nobody has it */
static bool find_holder(const struct moves *moves, const struct record *record, unsigned key,
                        uint8_t id[UUID_SIZE])
{
    struct table_writer *writer = moves->writer;
    struct shm_user user;
    uint8_t value[USER_KEY_MAX];
    uint32_t len = user_key_of(key, record->body, record->body_len, value);
    bool found = table_writer_find_key(writer, key, value, len, &user) == SHM_OK &&
                 memcmp(user.id, record->id, UUID_SIZE) != 0;
    if (found)
        memcpy(id, user.id, UUID_SIZE);
    shm_actor_offline(writer->actor);
    guard_progress();
    return found;
}

/* Whether the user has the same key by its line as by the other record, who wants it. */
static bool keeps_key(const struct record *record, const struct record *wants, unsigned key)
{
    uint8_t a[USER_KEY_MAX], b[USER_KEY_MAX];
    uint32_t len = user_key_of(key, record->body, record->body_len, a);
    return user_key_of(key, wants->body, wants->body_len, b) == len && memcmp(a, b, len) == 0;
}

/* Loads a line before its turn. */
static int write_move(struct moves *moves, struct record *record)
{
    struct merged_hidden *merged = &scratch.merged;
    struct table_writer *writer = moves->writer;
    struct shm_user user;
    const char *reason;
    int error = SHM_ESTALE;
    for (int i = 0; i < WRITE_TRIES && error == SHM_ESTALE; i++) {
        if (table_writer_find(writer, record->id, &user) != SHM_OK ||
            !record_merge(merged, record, &user, &reason)) {
            error = SHM_EKEY;
            break;
        }
        struct shm_new_user new_user = {.body = record->body,
                                        .body_len = record->body_len,
                                        .hidden = merged->bytes,
                                        .hidden_len = merged->len,
                                        .if_version = user.version};
        struct shm_conflict conflict;
        memcpy(new_user.id, record->id, sizeof(new_user.id));
        error = table_writer_update(writer, &new_user, 1, &conflict);
    }
    shm_actor_offline(writer->actor);
    return error == SHM_ENOENT ? SHM_EKEY : error;
}

/* Replaces a key of a user, and leaves the rest as it is. */
static int replace_key(struct moves *moves, const uint8_t id[UUID_SIZE], unsigned key,
                       struct user_text value)
{
    static uint8_t old[SHM_BODY_MAX], body[SHM_BODY_MAX + USER_KEY_MAX];
    struct table_writer *writer = moves->writer;
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields;
    struct shm_user user;
    struct shm_conflict conflict;
    if (table_writer_find(writer, id, &user) != SHM_OK ||
        user.body_len + user.hidden_len > sizeof(old))
        return SHM_EKEY;
    struct shm_new_user new_user = {
        .body = body, .hidden_len = user.hidden_len, .if_version = user.version};
    memcpy(new_user.id, id, UUID_SIZE);
    memcpy(old, user.body, user.body_len + user.hidden_len);
    new_user.hidden = old + user.body_len;
    if (!user_body_decode(&fields, roles, old, user.body_len))
        return SHM_EKEY;
    *(key == USER_KEY_EMAIL ? &fields.email : &fields.username) = value;
    new_user.body_len = (uint32_t)user_body_encode(body, &fields);
    int error = table_writer_update(writer, &new_user, 1, &conflict);
    explicit_bzero(old, sizeof(old));
    return error == SHM_ENOENT || error == SHM_EINVAL ? SHM_EKEY : error;
}

/* ---- chains ---- */

/* What one look at a chain, or one walk along it, is about. */
struct chain {
    struct moves *moves;
    const struct record *first; /* who wants a key */
    uint64_t line;
    size_t seen;      /* users who have to make room */
    size_t depth;     /* of moves->stack */
    size_t num_wants; /* of moves->wants */
    bool parked;      /* somebody has been, lastly this user with this name */
    uint8_t parked_id[UUID_SIZE];
    char parked_name[64];
};

/* The later line of a user who has a key that the record wants; NULL: it keeps the key. */
static struct move *later_move(const struct chain *chain, const uint8_t id[UUID_SIZE],
                               const struct record *wants, unsigned key)
{
    struct move *move = move_find(&chain->moves->file, id);
    if (move == NULL || move->line <= chain->line || move->applied || move->stuck ||
        !move_read(&chain->moves->file, move, &scratch.later) ||
        keeps_key(&scratch.later, wants, key))
        return NULL;
    return move;
}

/* Notes which keys the record wants. */
static void note_wants(struct chain *chain, const struct record *record)
{
    uint8_t value[USER_KEY_MAX];
    for (unsigned key = 0; key < USER_KEYS; key++) {
        uint32_t len = user_key_of(key, record->body, record->body_len, value);
        if (len != 0)
            chain->moves->wants[chain->num_wants++] = XXH3_64bits_withSeed(value, len, key);
    }
}

static int compare_wants(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Whether no two users of the chain want the same key. (Two keys may have the same hash, once in
 * 2^64: the chain is refused then.) */
static bool wants_differ(struct chain *chain)
{
    uint64_t *wants = chain->moves->wants;
    qsort(wants, chain->num_wants, sizeof(*wants), compare_wants);
    for (size_t i = 1; i < chain->num_wants; i++)
        if (wants[i - 1] == wants[i])
            return false;
    return true;
}

/* Whether the user in the table can become what its line says. */
static bool can_be_written(struct moves *moves, struct record *record)
{
    struct shm_user user;
    const char *reason;
    bool good = table_writer_find(moves->writer, record->id, &user) == SHM_OK &&
                record_merge(&scratch.merged, record, &user, &reason);
    shm_actor_offline(moves->writer->actor);
    return good;
}

/* Somebody keeps a key that the move's user wants, and so all before it in the chain keep theirs:
 * nobody looks along it again. Otherwise each line of a long chain would. */
static void mark_stuck(struct move *move)
{
    for (; move != NULL; move = move->wanted)
        move->stuck = true;
}

/* Puts those who have a key of the record on the stack.
 * @param of the record's; NULL: it is the one that is loaded
 * @return false: one of them keeps it */
static bool push_holders(struct chain *chain, const struct record *record, struct move *of)
{
    struct moves *moves = chain->moves;
    uint8_t id[UUID_SIZE];
    note_wants(chain, record);
    for (unsigned key = 0; key < USER_KEYS; key++) {
        if (!find_holder(moves, record, key, id))
            continue;
        if (memcmp(id, chain->first->id, UUID_SIZE) == 0) {
            if (keeps_key(chain->first, record, key)) {
                mark_stuck(of);
                return false;
            }
            continue;
        }
        struct move *move = later_move(chain, id, record, key);
        if (move == NULL) {
            mark_stuck(of);
            return false;
        }
        if (move->walk == moves->walk)
            continue;
        if (chain->seen++ == MOVES_CHAIN_MAX)
            return false;
        move->walk = moves->walk;
        move->open = false;
        move->wanted = of;
        moves->stack[chain->depth++] = move;
    }
    return true;
}

/* Whether all who have to make room can have what the file says. At least one has to. */
static bool can_make_room(struct chain *chain)
{
    struct moves *moves = chain->moves;
    struct record *record = &scratch.on_stack;
    moves->walk++;
    chain->depth = 0;
    if (!push_holders(chain, chain->first, NULL) || chain->depth == 0)
        return false;
    while (chain->depth > 0 && !guard_stopped()) {
        struct move *move = moves->stack[--chain->depth];
        if (!move_read(&moves->file, move, record) || !can_be_written(moves, record) ||
            !push_holders(chain, record, move))
            return false;
    }
    return chain->depth == 0 && wants_differ(chain);
}

/* Gives a user a key that nobody has. */
static int park_key(struct chain *chain, const uint8_t id[UUID_SIZE], unsigned key)
{
    static struct uuid_source source;
    uint8_t drawn[UUID_SIZE];
    char uuid[UUID_TEXT_SIZE + 1];
    int error = SHM_ESTALE;
    uuid_random(&source, drawn);
    uuid_to_string(uuid, drawn);
    int len = snprintf(chain->parked_name, sizeof(chain->parked_name), "load-%s%s", uuid,
                       key == USER_KEY_EMAIL ? "@load.invalid" : "");
    const struct user_text name = {(const uint8_t *)chain->parked_name, (size_t)len};
    memcpy(chain->parked_id, id, UUID_SIZE);
    for (int i = 0; i < WRITE_TRIES && error == SHM_ESTALE; i++)
        error = replace_key(chain->moves, id, key, name);
    chain->parked = chain->parked || error == SHM_OK;
    return error;
}

/* The walk has ended in the middle of a ring. */
static void report_parked(const struct chain *chain)
{
    char id[UUID_TEXT_SIZE + 1];
    uuid_to_string(id, chain->parked_id);
    report_fail(INSPECT_FAILED,
                "user %s may be called %s now: names were changing hands when another program "
                "changed these users, or the load ended; load the file again",
                id, chain->parked_name);
}

/* Frees one key of the record. @return SHM_OK: the chain is another one now; SHM_ENOENT: all keys
 * are free */
static int step_along(struct chain *chain, const struct record *record)
{
    struct moves *moves = chain->moves;
    uint8_t id[UUID_SIZE];
    unsigned key = 0;
    while (key < USER_KEYS && !find_holder(moves, record, key, id))
        key++;
    if (key == USER_KEYS)
        return SHM_ENOENT;
    struct move *move = move_find(&moves->file, id);
    bool open = move != NULL && move->walk == moves->walk && move->open;
    if (open || memcmp(id, chain->first->id, UUID_SIZE) == 0)
        return park_key(chain, id, key); /* the chain is a ring */
    move = later_move(chain, id, record, key);
    if (move == NULL || chain->depth == MOVES_CHAIN_MAX)
        return SHM_EKEY; /* another process has changed the table */
    move->walk = moves->walk;
    move->open = true;
    moves->stack[chain->depth++] = move;
    return SHM_OK;
}

/* Loads the lines of the chain, those first that nobody has to make room for. */
static int make_room(struct chain *chain)
{
    struct moves *moves = chain->moves;
    struct record *record = &scratch.on_stack;
    /* A user is entered, parked for each key, and left; the rest is for other processes' changes.
     */
    size_t steps = 2 * (2 + (size_t)USER_KEYS) * (size_t)MOVES_CHAIN_MAX;
    moves->walk++;
    chain->depth = 0;
    while (steps-- > 0) {
        struct move *top = chain->depth > 0 ? moves->stack[chain->depth - 1] : NULL;
        if (top != NULL && !move_read(&moves->file, top, record))
            return SHM_EKEY;
        int error = step_along(chain, top != NULL ? record : chain->first);
        if (error == SHM_ENOENT && top == NULL)
            return SHM_OK;
        if (error == SHM_ENOENT) {
            error = write_move(moves, record);
            top->applied = error == SHM_OK;
            top->open = false;
            chain->depth--;
        }
        if (error != SHM_OK)
            return error;
    }
    return SHM_EKEY;
}

int moves_make_room(struct moves *moves, const struct record *record, uint64_t line)
{
    struct chain chain = {.moves = moves, .first = record, .line = line};
    if (moves->file.fd < 0)
        return SHM_EKEY;
    if (moves->stack == NULL) {
        moves_gather(&moves->file, moves->writer, line);
        moves->stack = memory_new_array(MOVES_CHAIN_MAX, sizeof(*moves->stack));
        moves->wants =
            memory_new_array((MOVES_CHAIN_MAX + 1) * (size_t)USER_KEYS, sizeof(*moves->wants));
    }
    int error = can_make_room(&chain) ? make_room(&chain) : SHM_EKEY;
    if (error != SHM_OK && chain.parked)
        report_parked(&chain);
    explicit_bzero(&scratch, sizeof(scratch));
    return error;
}

bool moves_have_applied(const struct moves *moves, const uint8_t id[UUID_SIZE], uint64_t line)
{
    const struct move *move = move_find(&moves->file, id);
    return move != NULL && move->applied && move->line == line;
}

void moves_free(struct moves *moves)
{
    free(moves->file.all);
    free(moves->stack);
    free(moves->wants);
}
