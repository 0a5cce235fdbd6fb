/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_late.h"

#include <stdlib.h>
#include <sys/param.h>

/* @return whether there is room for another range */
static bool late_grow(struct directory_late **set)
{
    enum { LEAST = 4 };
    unsigned old = *set != NULL ? (*set)->cap : 0;
    if (*set != NULL && (*set)->count < old)
        return true;
    unsigned cap = MIN(old != 0 ? 2 * old : (unsigned)LEAST, (unsigned)DIRECTORY_LATE_MAX);
    if (cap == old)
        return false;
    struct directory_late *grown =
        realloc(*set, sizeof(struct directory_late) + cap * sizeof(struct directory_late_range));
    if (grown == NULL)
        return false;
    if (old == 0) {
        grown->count = 0;
        grown->oldest = UINT64_MAX;
    }
    grown->cap = cap;
    *set = grown;
    return true;
}

/* @return false: the last range does not go on there */
static bool late_goes_on(struct directory_late *set, uint64_t seq, uint64_t version)
{
    if (set == NULL || set->count == 0)
        return false;
    struct directory_late_range *last = &set->ranges[set->count - 1];
    if (last->version != version || last->last + 1 != seq)
        return false;
    last->last = seq;
    return true;
}

void directory_late_extend(struct directory_late *set, uint64_t seq, uint64_t version)
{
    (void)late_goes_on(set, seq, version);
}

void directory_late_add(struct directory_late **set, const struct directory_late_range *range)
{
    if ((range->first == range->last && late_goes_on(*set, range->first, range->version)) ||
        !late_grow(set))
        return;
    struct directory_late *to = *set;
    to->ranges[to->count++] = *range;
    to->oldest = MIN(to->oldest, range->version);
}

bool directory_late_covers(const struct directory_late *set, const struct shm_change *change)
{
    for (unsigned i = 0; set != NULL && i < set->count; i++) {
        const struct directory_late_range *range = &set->ranges[i];
        if (change->seq >= range->first && change->seq <= range->last &&
            change->version <= range->version)
            return true;
    }
    return false;
}

void directory_late_pass(struct directory_late **set, uint64_t version)
{
    struct directory_late *from = *set;
    if (from == NULL || from->oldest > version)
        return;
    unsigned kept = 0;
    from->oldest = UINT64_MAX;
    for (unsigned i = 0; i < from->count; i++) {
        if (from->ranges[i].version <= version)
            continue;
        from->oldest = MIN(from->oldest, from->ranges[i].version);
        from->ranges[kept++] = from->ranges[i];
    }
    from->count = kept;
    if (kept == 0)
        directory_late_clear(set);
}

void directory_late_clear(struct directory_late **set)
{
    free(*set);
    *set = NULL;
}
