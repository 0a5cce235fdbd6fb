/* SPDX-License-Identifier: MIT */
#include "journal/recent_changes.h"

#include <stdlib.h>

bool recent_begin(struct recent_changes *recent, uint64_t from)
{
    *recent = (struct recent_changes){.from = from, .sorted = true};
    recent->changes = malloc(RECENT_ROOM * sizeof(*recent->changes));
    recent->versions = malloc(RECENT_ROOM * sizeof(*recent->versions));
    if (recent->changes != NULL && recent->versions != NULL)
        return true;
    recent_free(recent);
    return false;
}

void recent_free(struct recent_changes *recent)
{
    free(recent->changes);
    free(recent->versions);
    *recent = (struct recent_changes){0};
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t kept = *a;
    *a = *b;
    *b = kept;
}

/* The element with this index if all were sorted. Changes their order. */
static uint64_t select_version(uint64_t *versions, size_t count, size_t index)
{
    size_t low = 0, high = count - 1;
    while (low < high) {
        uint64_t pivot = versions[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (versions[i] < pivot)
                i++;
            while (versions[j] > pivot)
                j--;
            if (i >= j)
                break;
            swap(&versions[i++], &versions[j--]);
        }
        if (index <= j)
            high = j;
        else
            low = j + 1;
    }
    return versions[low];
}

/* The version of the newest change that is to be dropped. */
static uint64_t last_to_drop(const struct recent_changes *recent)
{
    size_t index = recent->count - RECENT_MAX - 1;
    if (recent->sorted)
        return recent->changes[index].version;
    for (size_t i = 0; i < recent->count; i++)
        recent->versions[i] = recent->changes[i].version;
    return select_version(recent->versions, recent->count, index);
}

/* All changes of a commit are kept, or none: with one of them missing the others are no use. */
static void drop_until(struct recent_changes *recent, uint64_t version)
{
    size_t kept = 0;
    recent->from = version;
    for (size_t i = 0; i < recent->count; i++)
        if (recent->changes[i].version > version)
            recent->changes[kept++] = recent->changes[i];
    recent->count = kept;
}

void recent_halve(struct recent_changes *recent)
{
    drop_until(recent, last_to_drop(recent));
}

static int order_changes(const void *a, const void *b)
{
    const struct shm_change *one = a, *two = b;
    if (one->version != two->version)
        return one->version < two->version ? -1 : 1;
    return one->seq < two->seq ? -1 : one->seq > two->seq;
}

void recent_finish(struct recent_changes *recent)
{
    if (recent->count > RECENT_MAX)
        recent_halve(recent);
    if (!recent->sorted)
        qsort(recent->changes, recent->count, sizeof(*recent->changes), order_changes);
    recent->sorted = true;
}
