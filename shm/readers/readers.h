/* SPDX-License-Identifier: MIT */
/*
 * What reclaim knows about the readers: which grace-period tokens have passed, and which versions
 * are pinned.
 *
 * A look at all slots and pins costs one cache line for each, and there may be a hundred thousand
 * of them. A process that looks therefore does not hold the writer lock. The result stays valid for
 * every body that had settled at the time of the look, however old the look is: its token had
 * passed, and the commit in which it died was published and the token of that publication had
 * passed, too (publication.h):
 *
 * - gp is loaded first, then the slots, then the pins. If a token up to that gp has passed, the
 *   unlinking that it stands for happened before this load. (grace.h has the rest of the argument.)
 * - A snapshot that needs such a body stored its pin inside a section that began before one of the
 *   two tokens, and that section has ended, so the look saw the pin. A process that pins a version
 *   later pins a version that does not show the body.
 * - The only possible difference is therefore that a pin has ended since the look. That is checked
 *   under the lock, when a body is about to be held for the pin. The pin may end, and be used for
 *   another version, immediately after that check: `held_for` records the version for which a pin's
 *   list was made, and a list that was made for a version other than the pin's current one keeps
 *   nothing.
 *
 * Whatever is decided by a look, from the queue or from a pin's list, is decided only for bodies
 * that had settled in that look: another process, with a newer look, may have filled the list
 * since.
 */
#ifndef ROSTERD_SHM_READERS_READERS_H
#define ROSTERD_SHM_READERS_READERS_H

#include <stdbool.h>

#include "shm/core/layout.h"

struct shm_pin_seen {
    uint64_t version;
    struct shm_pin *pin; /* NULL: the pin has ended since the look */
};

struct shm_readers {
    uint64_t passed; /* this token and all earlier tokens have passed */
    uint64_t seen;   /* nobody can ask for a commit before this one any more, unless it is pinned */
    struct {
        uint64_t version, token; /* a publication whose grace period may not have passed yet */
    } publication;
    struct shm_pin_seen *pins; /* pins that keep memory from being freed, sorted by version */
    struct shm_pin **sources;  /* pins that keep nothing, and whose lists still have bodies */
    size_t num_pins, num_sources;
    size_t room_pins, room_sources;
    size_t ended;     /* pins that have ended since the look */
    size_t revocable; /* index in pins: the pins before it have been considered for revocation */
    uint64_t going;   /* bytes held by sources and by the pins considered: they become free */
};

/** Looks at all slots and pins, without the writer lock, and clears the slots of dead processes
 * that delay reclaim. If memory is exhausted the result is empty, and no token has passed. */
void shm_readers_look(struct shm_readers *readers);
void shm_readers_free(struct shm_readers *readers);

/* The following functions are called under the writer lock and use the result of the last look. */

/** Whether all readers that could see a block with this token have gone offline. */
static inline bool shm_readers_passed(const struct shm_readers *readers, uint64_t token)
{
    return token <= readers->passed;
}
/** Whether each reader that could find a retired body has gone offline, or has a pin that the look
 * has seen: the body's token has passed, and no reader loads a version any more that shows it. */
static inline bool shm_readers_settled(const struct shm_readers *readers,
                                       const struct shm_body *retired)
{
    return shm_readers_passed(readers, retired->token) && retired->died <= readers->seen;
}
/** Whether enough pins have ended since the last look for a new look to be due. */
bool shm_readers_outdated(const struct shm_readers *readers);
/** The newest pin that needs a record with the lifetime [born, died), or {0, NULL}. If
 * shm_readers_outdated() is true afterwards, the search was abandoned and the result is
 * meaningless. */
struct shm_pin_seen shm_readers_pin(struct shm_readers *readers, uint64_t born, uint64_t died);
/** Whether the pin's list was made for a version other than `version`, its current one. */
bool shm_readers_holds_for_another(const struct shm_pin *pin, uint64_t version);
/** Adds a pin whose list keeps nothing; reclaim empties it before all others. */
void shm_readers_add_source(struct shm_readers *readers, struct shm_pin *pin);
/** A pin that needs nothing any more and whose list still has bodies, or NULL. */
struct shm_pin *shm_readers_source(struct shm_readers *readers);
/** Records that `bytes` more are held for this pin. */
void shm_readers_note_held(struct shm_readers *readers, const struct shm_pin_seen *pin,
                           uint64_t bytes);
/** Records that `bytes` have left the list of a source. */
void shm_readers_note_taken(struct shm_readers *readers, uint64_t bytes);
/**
 * The pin to revoke next, or {0, NULL}. None is returned if at most held_max bytes remain when
 * the lists of ended and revoked pins are empty, or if *asks pins have been considered.
 * @param asks how many pins may still be considered in this hold of the lock; is decremented
 */
struct shm_pin_seen shm_readers_to_revoke(struct shm_readers *readers, unsigned *asks);

#endif
