/* SPDX-License-Identifier: MIT */
/*
 * How many of a worker's pins (shm/store.h) the waiting listings of each connection hold. The bound
 * keeps one connection from taking all pins, so that others could not list. Listings that share a
 * pin count as one.
 */
#ifndef ROSTERD_SERVICE_USERS_PIN_SHARE_H
#define ROSTERD_SERVICE_USERS_PIN_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

enum {
    /** Of the 126 pins of a worker: it takes eight connections to use them up. */
    PIN_SHARE_MAX = 16,
    PIN_SHARE_BUCKETS = 256,
};

struct pin_share; /* the pins of one connection */

/** A hash table by connection; one per worker. */
struct pin_shares {
    struct cds_list_head buckets[PIN_SHARE_BUCKETS];
};
void pin_shares_init(struct pin_shares *shares);

/**
 * Notes that a listing of the connection holds the pin.
 * @param connection what grpc_call_connection() returns; only compared
 * @return for pin_share_give(), which must be called once for each take. NULL: the connection holds
 *   PIN_SHARE_MAX other pins, or memory is exhausted
 */
struct pin_share *pin_share_take(struct pin_shares *shares, const void *connection, uint32_t pin);
void pin_share_give(struct pin_share *share, uint32_t pin);

#endif
