/* SPDX-License-Identifier: MIT */
#include "service/users/pin_share.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pin_share {
    struct cds_list_head link; /* in a bucket */
    const void *connection;
    unsigned pins;      /* how many the connection holds */
    uint32_t *listings; /* by pin: how many listings of the connection hold the pin */
    uint32_t cap;       /* entries of listings */
};

void pin_shares_init(struct pin_shares *shares)
{
    for (unsigned i = 0; i < PIN_SHARE_BUCKETS; i++)
        CDS_INIT_LIST_HEAD(&shares->buckets[i]);
}

/* The connection's share, a new one if it has none. @return NULL: out of memory */
static struct pin_share *find_share(struct pin_shares *shares, const void *connection)
{
    uint64_t hash = (uint64_t)(uintptr_t)connection * UINT64_C(0x9e3779b97f4a7c15);
    struct cds_list_head *bucket = &shares->buckets[hash >> 56];
    _Static_assert(PIN_SHARE_BUCKETS == 1 << (64 - 56), "a bucket for each value of hash >> 56");
    struct cds_list_head *at;
    cds_list_for_each(at, bucket)
    {
        struct pin_share *share = cds_list_entry(at, struct pin_share, link);
        if (share->connection == connection)
            return share;
    }
    struct pin_share *share = calloc(1, sizeof(*share));
    if (share == NULL)
        return NULL;
    share->connection = connection;
    cds_list_add(&share->link, bucket);
    return share;
}

/* Makes room for the count of this pin. */
static bool reserve_pin(struct pin_share *share, uint32_t pin)
{
    if (pin < share->cap)
        return true;
    uint32_t cap = pin + 16;
    uint32_t *listings = reallocarray(share->listings, cap, sizeof(*listings));
    if (listings == NULL)
        return false;
    memset(listings + share->cap, 0, (cap - share->cap) * sizeof(*listings));
    share->listings = listings;
    share->cap = cap;
    return true;
}

static void drop_if_unused(struct pin_share *share)
{
    if (share->pins != 0)
        return;
    cds_list_del(&share->link);
    free(share->listings);
    free(share);
}

struct pin_share *pin_share_take(struct pin_shares *shares, const void *connection, uint32_t pin)
{
    struct pin_share *share = find_share(shares, connection);
    if (share == NULL)
        return NULL;
    if (!reserve_pin(share, pin) || (share->listings[pin] == 0 && share->pins == PIN_SHARE_MAX)) {
        drop_if_unused(share);
        return NULL;
    }
    if (share->listings[pin]++ == 0)
        share->pins++;
    return share;
}

void pin_share_give(struct pin_share *share, uint32_t pin)
{
    assert(pin < share->cap && share->listings[pin] > 0 && share->pins > 0);
    if (--share->listings[pin] == 0)
        share->pins--;
    drop_if_unused(share);
}
