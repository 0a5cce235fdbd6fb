/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_pending.h"

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

struct pending_user {
    uint64_t seq;
    uint64_t told;
};

struct directory_pending {
    unsigned count, cap;
    struct pending_user users[]; /* by seq */
};

/* @return the index of the first user with this seq or a greater one */
static unsigned pending_at(const struct directory_pending *set, uint64_t seq)
{
    unsigned low = 0, high = set->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (set->users[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* @return whether there is room for another user */
static bool pending_grow(struct directory_pending **set)
{
    enum { LEAST = 16 };
    unsigned old = *set != NULL ? (*set)->cap : 0;
    if (*set != NULL && (*set)->count < old)
        return true;
    unsigned cap = MIN(old != 0 ? 2 * old : (unsigned)LEAST, (unsigned)DIRECTORY_PENDING_MAX);
    if (cap == old)
        return false;
    struct directory_pending *grown =
        realloc(*set, sizeof(struct directory_pending) + cap * sizeof(struct pending_user));
    if (grown == NULL)
        return false;
    if (old == 0)
        grown->count = 0;
    grown->cap = cap;
    *set = grown;
    return true;
}

void directory_pending_add(struct directory_pending **set, uint64_t seq, uint64_t told)
{
    if (!pending_grow(set))
        return;
    struct directory_pending *to = *set;
    unsigned at = pending_at(to, seq);
    memmove(&to->users[at + 1], &to->users[at], (to->count - at) * sizeof(to->users[0]));
    to->users[at] = (struct pending_user){.seq = seq, .told = told};
    to->count++;
}

static void pending_remove(struct directory_pending **set, unsigned at)
{
    struct directory_pending *from = *set;
    from->count--;
    memmove(&from->users[at], &from->users[at + 1], (from->count - at) * sizeof(from->users[0]));
    if (from->count == 0)
        directory_pending_clear(set);
}

bool directory_pending_covers(struct directory_pending **set, const struct shm_change *change)
{
    if (*set == NULL)
        return false;
    unsigned at = pending_at(*set, change->seq);
    if (at == (*set)->count || (*set)->users[at].seq != change->seq)
        return false;
    uint64_t told = (*set)->users[at].told;
    if (change->kind == SHM_DELETED || change->version == told)
        pending_remove(set, at);
    return change->kind == SHM_DELETED ? told == DIRECTORY_GONE : change->version <= told;
}

void directory_pending_clear(struct directory_pending **set)
{
    free(*set);
    *set = NULL;
}
