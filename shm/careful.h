/* SPDX-License-Identifier: MIT */
/*
 * A careful reader of the users, for tools. It treats the segment as untrusted: it follows a
 * pointer only if the pointer is aligned and leads into the mapped segment, each walk has a bound,
 * it checks the checksum of each record, and it copies each user out of the segment. The functions
 * of store.h, which serve calls, do none of this.
 *
 * A careful reader normally takes a slot and pins a snapshot like any other reader. Without a free
 * slot, or without permission to write the segment, it reads unprotected: it has no pin, and memory
 * may be reused while it reads. It then copies a record, checks the record, the word that led to it
 * and the number of commits again, and retries if one of them has changed. Each user that it
 * returns is complete, as the user was at some time during the call, but a listing is not a
 * snapshot.
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
    uint32_t hidden_len;
    uint8_t body[SHM_BODY_MAX]; /* both parts: body_len bytes, then hidden_len */
};
/** The second part of the record's body: hidden_len bytes. */
static inline const uint8_t *shm_record_hidden(const struct shm_record *record)
{
    return record->body + record->body_len;
}

/**
 * Opens a reader, protected or unprotected. Every function below may also return SHM_ECORRUPT,
 * SHM_EBUSY (users change too fast, mostly for an unprotected reader) and SHM_EOUTGROWN (a later
 * server has grown the segment beyond this process's mapping); the fault says what is wrong and
 * where.
 * @return SHM_OK, SHM_ECORRUPT, SHM_ESYS
 */
int shm_reader_open(struct shm_reader **reader, struct shm_store *store, struct shm_fault *fault);
/** Why this reader is unprotected, as a text for people; NULL: it is protected. */
const char *shm_reader_unprotected(const struct shm_reader *reader);
/** Closes the reader and ends its listing. The parameter may be NULL. */
void shm_reader_close(struct shm_reader *reader);

/** Reads the current version of the user with this id. @return SHM_OK, SHM_ENOENT, SHM_ECORRUPT */
int shm_reader_find(struct shm_reader *reader, const uint8_t id[SHM_ID_SIZE],
                    struct shm_record *record, struct shm_fault *fault);

/** Reads the current version of the user with this value of a unique key, as the store's key_of
 * returns it. @return as above; SHM_EINVAL (the segment has no index of this key or is rebuilding
 * it, or the store has no key_of) */
int shm_reader_find_key(struct shm_reader *reader, unsigned key, const uint8_t *value, uint32_t len,
                        struct shm_record *record, struct shm_fault *fault);

/**
 * Begins a listing of the current version of the table, in creation order. Ends the previous
 * listing.
 * @param after list only users with a greater sequence number; 0: list all
 * @return SHM_OK; SHM_EINVAL (no user ever had the number `after`); SHM_EPINS; SHM_ECORRUPT
 */
int shm_reader_begin(struct shm_reader *reader, uint64_t after, struct shm_fault *fault);
/** Starts the listing again from the oldest user, in the same version of the table. Only for a
 * protected reader whose listing has not failed. @return SHM_OK; SHM_EINVAL (any other reader);
 * SHM_ECORRUPT */
int shm_reader_rewind(struct shm_reader *reader, struct shm_fault *fault);
/** The version of the listing. An unprotected listing leaves out users created later. */
uint64_t shm_reader_version(const struct shm_reader *reader);
/**
 * Reads the listing's next user.
 * @return SHM_OK; SHM_ENOENT: the end; SHM_EREVOKED: the listing kept too much memory and has
 *   ended; SHM_ECORRUPT: a damaged user; call again to continue after it, as far as possible
 */
int shm_reader_next(struct shm_reader *reader, struct shm_record *record, struct shm_fault *fault);
/** Ends the listing, if there is one, so that the memory that it kept can be freed. */
void shm_reader_end(struct shm_reader *reader);
/** Call this before the program sleeps or waits for output. The listing keeps its position. */
void shm_reader_rest(struct shm_reader *reader);

#endif
