/* SPDX-License-Identifier: MIT */
/*
 * Words that other processes write are read by single atomic loads, each once, so that the value
 * that was checked is the value that is used. The bytes of a body are copied without
 * synchronisation: a copy that a writer has torn has a wrong checksum, or the second look detects
 * it.
 */
#include "shm/careful/careful_walk.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shm/core/fail.h"
#include "shm/core/hash.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"

/* One commit can take a body from its user, and another commit can give it to the same user again.
 * If there was at most one commit, a word that leads to the same body has led there all the time.
 */
enum { COMMITS_MAX = 1 };

/* If a later server has grown the arena beyond this process's mapping, a pointer into that part is
 * not damage. */
int careful_bad(struct careful *c, const char *format, ...)
{
    char what[256];
    va_list args;
    if (shm_outgrown(c->store))
        return shm_fail(c->fault, SHM_EOUTGROWN, "segment %s: %s", c->store->name,
                        shm_strerror(SHM_EOUTGROWN));
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return shm_fail(c->fault, SHM_ECORRUPT, "segment %s: corrupt: %s (see: verify)", c->store->name,
                    what);
}

static uint64_t load_copied_word(const void *word)
{
    return __atomic_load_n((const uint64_t *)word, __ATOMIC_ACQUIRE);
}

static const void *load_pointer(const void *word)
{
    return (const void *)(uintptr_t)load_copied_word(word);
}

/* The arena may have grown since the last check, even beyond this process's mapping. An access
 * beyond the end of the file raises SIGBUS. */
static void look_at_end(struct careful *c)
{
    struct stat st;
    uint64_t end = load_copied_word(&shm_control()->arena_end) - SHM_BASE;
    if (end > c->store->size)
        end = c->store->size;
    if (end == c->end || fstat(c->store->fd, &st) != 0 || (uint64_t)st.st_size < end)
        return;
    c->end = end;
}

static bool in_arena(const struct careful *c, uint64_t offset, uint64_t size)
{
    return offset >= SHM_ARENA_AT && offset <= c->end && size <= c->end - offset;
}

bool careful_may_read(struct careful *c, const void *pointer, uint64_t size, uint64_t align)
{
    uint64_t offset = (uint64_t)(uintptr_t)pointer - SHM_BASE;
    if (offset % align != 0)
        return false;
    if (!in_arena(c, offset, size))
        look_at_end(c);
    return in_arena(c, offset, size);
}

int careful_node(struct careful *c, const void *pointer, const char *from,
                 struct careful_node *node)
{
    const struct shm_node *at = pointer;
    if (!careful_may_read(c, at, sizeof(*at), SHM_GRANULE))
        return careful_bad(c, "a pointer in %s leads nowhere", from);
    uint64_t id[2] = {load_copied_word(at->id), load_copied_word(at->id + 8)};
    struct shm_node copy = {.hash = load_copied_word(&at->hash),
                            .seq = load_copied_word(&at->seq),
                            .born = load_copied_word(&at->born)};
    uint64_t check = load_copied_word(&at->check);
    copy.state = (uint32_t)(check >> 32);
    memcpy(copy.id, id, sizeof(id));
    memcpy(node->id, id, sizeof(id));
    node->at = at;
    node->hash = copy.hash;
    node->seq = copy.seq;
    node->born = copy.born;
    node->check = (uint32_t)check; /* check and state are one word: layout.h */
    node->state = (uint32_t)(check >> 32);
    node->died = load_copied_word(&at->died);
    node->next = load_pointer(&at->order.next);
    if (node->check != shm_check_node(&copy) || node->seq == 0)
        return careful_bad(c, "in %s: user number %llu: its checksum is wrong", from,
                           (unsigned long long)node->seq);
    return SHM_OK;
}

bool careful_node_stands(const struct careful_node *node)
{
    const struct shm_node *at = node->at;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t linked = SHM_NODE_LIVE | (node->state & SHM_NODE_RENAMED);
    return load_copied_word(&at->check) == (linked << 32 | node->check) &&
           load_copied_word(&at->seq) == node->seq && load_copied_word(&at->born) == node->born;
}

/* ---- bodies ---- */

struct body_copy {
    const struct shm_body *at;
    uint64_t born, died;
    uint32_t check;
    uint32_t length, hidden;
};

static int copy_head(struct careful *c, const struct careful_node *node, const void *pointer,
                     struct body_copy *copy)
{
    const struct shm_body *at = pointer;
    unsigned long long seq = node->seq;
    SHM_POINT("careful copy");
    if (!careful_may_read(c, at, sizeof(*at), 16))
        return careful_bad(c, "user number %llu: its body's pointer leads nowhere", seq);
    uint64_t word = load_copied_word(&at->word);
    copy->at = at;
    copy->check = (uint32_t)word;
    copy->length = (uint32_t)(word >> 32 & UINT16_MAX);
    copy->hidden = (uint32_t)(word >> SHM_BODY_HIDDEN_SHIFT) & ((1u << 12) - 1);
    copy->born = load_copied_word(&at->born);
    copy->died = load_copied_word(&at->died);
    if (copy->length == 0 || copy->length > SHM_BODY_MAX ||
        copy->hidden > SHM_BODY_MAX - copy->length ||
        !careful_may_read(c, at, sizeof(*at) + copy->length + copy->hidden, 16))
        return careful_bad(c, "user number %llu: its body's length is wrong", seq);
    return SHM_OK;
}

/*
 * The walk goes down from the node, body by body, newest first; each body is older than the one
 * before. The `from` of a body is the address of the word that points to it. If that is the word
 * that the walk followed, the body belongs to the user of that word. Without this check a pointer
 * to another user's body would pass all other tests.
 *
 * If `from` is another word, the body that the walk came from may have been unlinked meanwhile, or
 * an update is half applied. Then `from` must lead up to the node through newer bodies (a detour).
 * For a protected reader none of those bodies is freed, and a body that is unlinked while the
 * reader stands on it still leads to the body that was the next newer linked one at that time. The
 * detour therefore ends at the node. It is short if neighbouring bodies were unlinked, and as long
 * as the chain if many bodies were added since the last step; that happens only at the few steps at
 * which the process was stopped. More long detours are damage, or a chain that keeps changing, and
 * the walk gives up before they cost quadratic time.
 *
 * An unprotected reader may be led away by a body that belongs to another user by now, whose `from`
 * is correct too. The second look, still_stands(), detects that.
 */
enum { SHORT_DETOUR = 64, LONG_DETOURS_MAX = 16 };

struct walk {
    const struct careful_node *node;
    uint64_t version, commits, gp; /* commits and gp: values at the start of the walk */
    unsigned long_detours;
};

static struct walk start_walk(const struct careful_node *node, uint64_t version)
{
    const struct shm_control *control = shm_control();
    uint64_t gp = load_copied_word(&control->gp);
    return (struct walk){node, version, load_copied_word(&control->version), gp, 0};
}

/* Whether any transaction has happened since the walk began. */
static bool has_moved(const struct walk *walk)
{
    const struct shm_control *control = shm_control();
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return load_copied_word(&control->gp) != walk->gp ||
           load_copied_word(&control->version) != walk->commits;
}

/* Whether `from` leads up to the node. Each body is newer than the last one, so the loop ends. */
static bool belongs(struct careful *c, const struct body_copy *copy, struct walk *walk)
{
    const struct shm_body *body = copy->at;
    uint64_t born = copy->born;
    for (unsigned steps = 0;; steps++) {
        const void *from = load_pointer(&body->from);
        SHM_POINT("careful detour");
        if (from == (const void *)&walk->node->at->body)
            return true;
        if (steps == SHORT_DETOUR && walk->long_detours++ == LONG_DETOURS_MAX)
            return false;
        body = (const void *)((uintptr_t)from - offsetof(struct shm_body, prev));
        if (!careful_may_read(c, body, sizeof(*body), 16))
            return false;
        uint64_t newer = load_copied_word(&body->born);
        if (newer <= born)
            return false;
        born = newer;
    }
}

/* Finds the newest body born at or before the walk's version. `born` decreases along the chain, so
 * the loop ends. */
static int find_body(struct careful *c, struct walk *walk, struct body_copy *copy)
{
    const struct careful_node *node = walk->node;
    unsigned long long seq = node->seq;
    const void *word = &node->at->body;
    uint64_t last = UINT64_MAX;
    for (;;) {
        SHM_POINT("careful body");
        const void *pointer = load_pointer(word);
        if (pointer == NULL && last == UINT64_MAX)
            return careful_bad(c, "user number %llu: it has no body", seq);
        if (pointer ==
            NULL) /* the user was not born yet, or the body of that version has been freed */
            return c->protected || node->born > walk->version ? SHM_ENOENT : SHM_EBUSY;
        int rc = copy_head(c, node, pointer, copy);
        if (rc != SHM_OK)
            return rc;
        if (copy->born >= last || copy->born < node->born ||
            (load_pointer(&copy->at->from) != word && !belongs(c, copy, walk)))
            return careful_bad(c, "user number %llu: its chain of bodies is broken", seq);
        if (copy->born <= walk->version)
            return SHM_OK;
        last = copy->born;
        word = &copy->at->prev;
    }
}

static bool same_body(const struct body_copy *a, const struct body_copy *b)
{
    return a->at == b->at && a->born == b->born && a->check == b->check && a->length == b->length &&
           a->hidden == b->hidden;
}

/*
 * The second look of an unprotected reader: whether the node still leads to the copied body, and
 * the body cannot have been reused and restored meanwhile.
 *
 * The first walk was led away if a body that it stood on was taken from this user and given to
 * another, which takes a commit. The second walk begins at the node again. For it to be led to the
 * same wrong body another commit is necessary. At most one commit has happened.
 */
static bool still_stands(struct careful *c, const struct walk *first, const struct body_copy *copy)
{
    struct body_copy again = {0};
    struct walk walk = {.node = first->node, .version = first->version};
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    bool stands = find_body(c, &walk, &again) == SHM_OK && same_body(copy, &again) &&
                  careful_node_stands(first->node) &&
                  load_copied_word(&shm_control()->version) - first->commits <= COMMITS_MAX;
#ifdef SHM_MUTANT_ONE_LOOK
    stands = true;
#endif
    return stands;
}

static int copy_record(struct careful *c, struct walk *walk, struct shm_record *record,
                       bool *deleted)
{
    const struct careful_node *node = walk->node;
    struct body_copy copy = {0};
    int rc = find_body(c, walk, &copy);
    if (rc != SHM_OK)
        return rc;
    assert(copy.at != NULL);
    *deleted = walk->version >= copy.died;
    memcpy(record->id, node->id, SHM_ID_SIZE);
    record->seq = node->seq;
    record->version = copy.born;
    record->body_len = copy.length;
    record->hidden_len = copy.hidden;
    memcpy(record->body, copy.at->bytes, copy.length + copy.hidden);
    uint32_t check =
        shm_check_parts(record->body, copy.length, shm_record_hidden(record), copy.hidden);
    if (copy.check != shm_check_body(check, copy.born))
        return careful_bad(c, "user number %llu: its body's checksum is wrong",
                           (unsigned long long)node->seq);
    if (!c->protected && !still_stands(c, walk, &copy))
        return SHM_EBUSY;
    return SHM_OK;
}

int careful_last_record(struct careful *c, const struct careful_node *node, uint64_t version,
                        struct shm_record *record, bool *deleted)
{
    struct walk walk = start_walk(node, version);
    int rc = copy_record(c, &walk, record, deleted);
    if (rc != SHM_ECORRUPT)
        return rc;
    /* An unprotected reader may have read memory that was reused: no proof of damage. */
    if (!c->protected && (has_moved(&walk) || !careful_node_stands(node)))
        return SHM_EBUSY;
    /* An intact chain has so many long detours only if it keeps changing. */
    if (walk.long_detours > LONG_DETOURS_MAX && has_moved(&walk))
        return shm_fail(c->fault, SHM_EBUSY,
                        "segment %s: user number %llu changes too fast to be read", c->store->name,
                        (unsigned long long)node->seq);
    return rc;
}

int careful_record(struct careful *c, const struct careful_node *node, uint64_t version,
                   struct shm_record *record)
{
    bool deleted = false;
    int rc = careful_last_record(c, node, version, record, &deleted);
    return rc == SHM_OK && deleted ? SHM_ENOENT : rc;
}

/* ---- the index by sequence ---- */

static int step_tower(struct careful *c, const struct shm_tower *tower, unsigned level,
                      uint64_t last)
{
    uint64_t size = sizeof(*tower) + (level + 1) * sizeof(tower);
    if (!careful_may_read(c, tower, size, 16) || load_copied_word(&tower->height) <= level ||
        load_copied_word(&tower->height) > SHM_LEVELS || load_copied_word(&tower->seq) <= last)
        return careful_bad(c, "the index by sequence number is broken after number %llu",
                           (unsigned long long)last);
    return SHM_OK;
}

int careful_locate(struct careful *c, uint64_t seq, const struct shm_node **found)
{
    const void *next = shm_control()->index; /* an array of pointers, one for each level */
    uint64_t last = 0;
    *found = NULL;
    for (unsigned level = SHM_LEVELS; level-- > 0;) {
        for (;;) {
            const struct shm_tower *tower = load_pointer((const uint64_t *)next + level);
            if (tower == NULL)
                break;
            int rc = step_tower(c, tower, level, last);
            if (rc != SHM_OK)
                return rc;
            uint64_t at = load_copied_word(&tower->seq);
            if (at > seq)
                break;
            last = at;
            *found = load_pointer(&tower->node);
            next = tower->next;
        }
    }
    return SHM_OK;
}
