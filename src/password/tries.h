/* SPDX-License-Identifier: MIT */
/*
 * How often a key, a user or an address, may fail: a bounded number of tries, which come back one
 * by one over a window of time. A table in memory that all workers share, of constant size, without
 * locks: a process may be killed at any instruction.
 *
 * Keys are not stored. A keyed hash selects one cell in each of two halves of the table, and a key
 * is refused only if both of its cells are used up. Nobody can fill the table: a cell stays used up
 * only while each try that comes back to it fails again, and each of these costs the pool a
 * verification. A pool that makes 100 verifications a second keeps the cells of 36,000 users and of
 * as many addresses used up, at ten tries an hour each. Then another key is refused by mistake with
 * a probability of 1.6 %, and at ten tries a minute with one of 0.0005 %.
 *
 * A try is taken before the password is verified, so that tries at the same time are bounded, too,
 * and given back behind a right one. While all tries of a key are used and some of them are open
 * like that, the next one is to be taken later.
 *
 * Two workers that take the last try at the same moment may both get it: a bound may be passed by
 * the number of workers. The tries that a killed worker had open stay used, and count as open for
 * two minutes at most. A right try that was verified for longer than it takes a try to come back
 * may take a part of another one with it, at most as much as one try.
 */
#ifndef ROSTERD_PASSWORD_TRIES_H
#define ROSTERD_PASSWORD_TRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** At most `count` tries at once; each one comes back after `window` / `count`. */
struct tries_rate {
    uint32_t count;  /* 0: no limit */
    uint64_t window; /* ms */
};

struct tries;

/** Called by the master, before it forks. @return NULL with errno set */
struct tries *tries_create(void);
/** Unmaps this process's view. NULL is allowed. */
void tries_destroy(struct tries *tries);

/** A try that was taken and is open: tries_give_back() or tries_use() ends it. Zeroed: none is. */
struct tries_pass {
    uint32_t at[2];
    uint64_t cost;    /* ms; 0: no limit */
    uint64_t back[2]; /* ms: when it will have come back by itself */
    uint32_t epoch;   /* when it was taken */
};

/**
 * What stands for a key.
 * @param key of an address: see base/address_key.h
 * @param kind makes different keys of equal bytes: users and addresses
 */
uint64_t tries_key(const struct tries *tries, unsigned kind, const void *key, size_t len);

enum tries_result {
    TRIES_TAKEN,
    TRIES_LATER, /* all are used, but some of them are open: they may come back soon */
    TRIES_NONE,  /* all are used */
};
/**
 * Takes a try.
 * @param key see tries_key()
 * @param now ms of the monotonic clock
 * @param wait set if none is taken: ms until one comes back by itself
 */
enum tries_result tries_take(struct tries *tries, uint64_t key, const struct tries_rate *rate,
                             uint64_t now, struct tries_pass *pass, uint64_t *wait);
/** The try has succeeded, or was never made: what has not come back by itself does now.
 * @param now ms of the monotonic clock */
void tries_give_back(struct tries *tries, struct tries_pass *pass, uint64_t now);
/** The try has failed, or nobody knows: it stays used. */
void tries_use(struct tries *tries, struct tries_pass *pass);

#endif
