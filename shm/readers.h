/* SPDX-License-Identifier: MIT */
/*
 * What a round of reclaim knows of the readers: which tokens have passed, and
 * which pins there are. Looked at once a round, and only when a step asks.
 */
#ifndef ROSTERD_SHM_READERS_H
#define ROSTERD_SHM_READERS_H

#include "shm/internal.h"

enum {
    SHM_PINS_SEEN = 256, /* more than that are looked up one by one */
    SHM_SOURCES = 8,
};

struct shm_pin_seen {
    uint64_t version;
    struct shm_pin *pin;
    struct shm_slot *slot;
};

struct shm_readers {
    bool looked, seen, all; /* looked at the slots; seen the pins; seen them all */
    unsigned num_pins, num_sources;
    struct shm_pin_seen pins[SHM_PINS_SEEN];
    struct shm_pin *source[SHM_SOURCES]; /* ended, and still hold blocks */
    struct shm_pin *oldest;              /* of those who hold something */
    bool revoking;                       /* one has ended or been revoked, and holds something */
};

/* All under the writer lock. */
void shm_readers_init(struct shm_readers *readers);
/** Whether each reader who could see what got this token is done; the dead in the way are reaped.
 */
bool shm_readers_passed(struct shm_readers *readers, uint64_t token);
/** The oldest pin that needs what lived in [born, died), or NULL. */
struct shm_pin *shm_readers_pin(struct shm_readers *readers, uint64_t born, uint64_t died);
/** A pin that needs nothing any more and still holds blocks, or NULL. */
struct shm_pin *shm_readers_source(struct shm_readers *readers);
/** The pin to revoke next, or NULL: one is being revoked, or none holds anything. */
struct shm_pin *shm_readers_to_revoke(struct shm_readers *readers);

#endif
