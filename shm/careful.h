/* SPDX-License-Identifier: MIT */
/*
 * A careful reader of the users, for tools: it takes the segment for hostile. A
 * pointer is followed only where it is aligned and leads into memory, each
 * walk has a bound, each record's checksum is checked and its user is copied
 * out. The functions of store.h that serve calls do none of this.
 *
 * Mostly it takes a slot and pins a snapshot like any other reader. Without
 * a free slot, or without the right to write the segment, it reads on
 * unprotected: no lock, no pin, and memory may be used for something else under its
 * eyes. Then it looks at a record, at what leads to it and at the number of commits
 * again after it has copied it, and tries again where one has changed: each user is
 * whole, as it was at some time during the call, but a listing is no snapshot.
 */
#ifndef ROSTERD_SHM_CAREFUL_H
#define ROSTERD_SHM_CAREFUL_H

#include "shm/store.h"

struct shm_reader;

/** A user, copied out of the segment. */
struct shm_record {
    uint8_t id[SHM_ID_SIZE];
    uint64_t seq;     /* creation order, from 1 */
    uint64_t version; /* the commit that wrote this body */
    uint32_t body_len;
    uint8_t body[SHM_BODY_MAX];
};

/**
 * @return SHM_OK, also without protection; SHM_ECORRUPT, SHM_ESYS. Every call below may return
 *   SHM_ECORRUPT, SHM_EBUSY where users change too fast, which is mostly an unprotected reader's,
 *   and SHM_EOUTGROWN where the next server's segment has grown beyond what is mapped here; the
 *   fault says what and where.
 */
int shm_reader_open(struct shm_reader **reader, struct shm_store *store, struct shm_fault *fault);
/** NULL, or why this reader is unprotected: a text for people. */
const char *shm_reader_unprotected(const struct shm_reader *reader);
/** Ends its listing, too. NULL is allowed. */
void shm_reader_close(struct shm_reader *reader);

/** The user with this id, as it is now. @return SHM_OK, SHM_ENOENT, SHM_ECORRUPT */
int shm_reader_find(struct shm_reader *reader, const uint8_t id[SHM_ID_SIZE],
                    struct shm_record *record, struct shm_fault *fault);

/** The user with this value of a unique key, as the store's key_of gives it.
 * @return as above; SHM_EINVAL where the segment has no index of this key, or rebuilds one, or the
 *   store has no key_of */
int shm_reader_find_key(struct shm_reader *reader, unsigned key, const uint8_t *value, uint32_t len,
                        struct shm_record *record, struct shm_fault *fault);

/**
 * Begins a listing in creation order, of the table as it is now; ends the one before it.
 * @param after only users with a greater sequence number; 0: all
 * @return SHM_OK; SHM_EINVAL where `after` was never given out; SHM_EPINS; SHM_ECORRUPT
 */
int shm_reader_begin(struct shm_reader *reader, uint64_t after, struct shm_fault *fault);
/** Begins the same listing of the same table anew, from the oldest user; for a protected reader
 * whose listing has not failed. @return SHM_OK; SHM_EINVAL for others; SHM_ECORRUPT */
int shm_reader_rewind(struct shm_reader *reader, struct shm_fault *fault);
/** The version that the listing is of; unprotected: users born later are left out. */
uint64_t shm_reader_version(const struct shm_reader *reader);
/**
 * The listing's next user.
 * @return SHM_OK; SHM_ENOENT at the end; SHM_EREVOKED: the listing kept too much memory and is
 * over; SHM_ECORRUPT: call again for what follows, as far as that can be found
 */
int shm_reader_next(struct shm_reader *reader, struct shm_record *record, struct shm_fault *fault);
/** Ends the listing, where there is one: what it kept may be freed. */
void shm_reader_end(struct shm_reader *reader);
/** Before the caller sleeps or waits for output. The listing stays where it is. */
void shm_reader_rest(struct shm_reader *reader);

#endif
