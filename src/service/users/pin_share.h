/* SPDX-License-Identifier: MIT */
/*
 * How many of a worker's pins (see shm/store.h) the waiting listings of each connection hold. One
 * that may hold them all would keep everybody else from listing; listings that share a pin cost
 * one, however many they are.
 */
#ifndef ROSTERD_SERVICE_USERS_PIN_SHARE_H
#define ROSTERD_SERVICE_USERS_PIN_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

enum {
    /** A worker has 126 pins: it takes eight connections to use them up. */
    PIN_SHARE_MAX = 16,
    PIN_SHARE_BUCKETS = 256,
};

struct pin_share; /* one connection's */

/** One per worker. */
struct pin_shares {
    struct cds_list_head buckets[PIN_SHARE_BUCKETS];
};
void pin_shares_init(struct pin_shares *shares);

/**
 * Notes that a listing of this connection holds the pin.
 * @param connection as grpc_call_connection() has it; only compared
 * @return what pin_share_give() takes, once for each take; NULL where the connection holds
 *   PIN_SHARE_MAX others already, or memory is exhausted
 */
struct pin_share *pin_share_take(struct pin_shares *shares, const void *connection, uint32_t pin);
void pin_share_give(struct pin_share *share, uint32_t pin);

#endif
