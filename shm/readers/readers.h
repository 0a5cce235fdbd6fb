/* SPDX-License-Identifier: MIT */
/*
 * What reclaim knows of the readers: which tokens have passed, and which versions are pinned.
 *
 * A look at all slots and pins costs a cache line each, and there may be a hundred thousand of
 * them: so nobody who looks holds the writer lock. What was seen stays good for every body
 * whose token had passed by then, however old the look is:
 *
 * - gp is loaded first, then the slots, then the pins. A token up to that gp which has passed
 *   stands for an unlinking that came before our load. (grace.h has the rest of that argument.)
 * - A snapshot that needs such a body stored its pin inside a section that began before the
 *   token, and that section is over: so its pin was there to be seen. Who pins a version later
 *   pins one that does not show the body.
 * - So a pin can only be missing that has ended since. That is looked at under the lock, when a
 * body is about to be held for it. It may end, and be used for another version, in the very moment
 * after: `held_for` says for which version a pin's list was made, and a list that was made for
 * another version than the pin has now keeps nothing.
 *
 * So whatever is judged by a look, from the queue or from a pin's list, is judged only if its token
 * has passed by that look: another process, with a younger one, may have filled the list since.
 */
#ifndef ROSTERD_SHM_READERS_READERS_H
#define ROSTERD_SHM_READERS_READERS_H

#include <stdbool.h>

#include "shm/core/layout.h"

struct shm_pin_seen {
    uint64_t version;
    struct shm_pin *pin; /* NULL: it has ended since */
};

struct shm_readers {
    uint64_t passed;           /* this token and all before it have passed */
    struct shm_pin_seen *pins; /* that keep something from being freed, by version */
    struct shm_pin **sources;  /* that keep nothing, and still hold bodies */
    size_t num_pins, num_sources;
    size_t room_pins, room_sources;
    size_t ended;     /* of pins, since the look */
    size_t revocable; /* of pins: those before it have been asked whether to revoke them */
    uint64_t going;   /* bytes of sources, and of those asked: room is being made */
};

/** Looks at everybody, without the writer lock; reaps the dead who are in the way. Out of memory it
 * has seen nothing, and no token has passed. */
void shm_readers_look(struct shm_readers *readers);
void shm_readers_free(struct shm_readers *readers);

/* Under the writer lock, by what was seen: */

/** Whether each reader who could see what got this token is done. */
static inline bool shm_readers_passed(const struct shm_readers *readers, uint64_t token)
{
    return token <= readers->passed;
}
/** Whether so many pins have ended since the look that another one is due. */
bool shm_readers_outdated(const struct shm_readers *readers);
/** The newest pin that needs what lived in [born, died), or {0, NULL}. Where the look is outdated
 * then, the search was given up, and this says nothing. */
struct shm_pin_seen shm_readers_pin(struct shm_readers *readers, uint64_t born, uint64_t died);
/** A pin whose list was made for another version than it has now. */
bool shm_readers_holds_for_another(const struct shm_pin *pin, uint64_t version);
/** This pin's list keeps nothing: it is to be taken apart before all others. */
void shm_readers_add_source(struct shm_readers *readers, struct shm_pin *pin);
/** A pin that needs nothing any more and still holds bodies, or NULL. */
struct shm_pin *shm_readers_source(struct shm_readers *readers);
/** So many bytes are held for this pin from now on. */
void shm_readers_note_held(struct shm_readers *readers, const struct shm_pin_seen *pin,
                           uint64_t bytes);
/** So many bytes have left a source. */
void shm_readers_note_taken(struct shm_readers *readers, uint64_t bytes);
/** The pin to revoke next, or {0, NULL}: no more than held_max will be held when those that have
 * ended or are revoked hold nothing, or so many pins have been asked as may be in one hold. */
struct shm_pin_seen shm_readers_to_revoke(struct shm_readers *readers, unsigned *asks);

#endif
