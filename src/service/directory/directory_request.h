/* SPDX-License-Identifier: MIT */
/*
 * Requests that carry a request_id (AIP-155) are done once. The store remembers the id with a
 * fingerprint of the contents, the user and the commit (shm_request of shm/store.h). A repeat gets
 * the first answer: the user as it is stored, if it has not changed since. If it has, the answer of
 * CreateUser is made from the repeat, which says the same as the first request, and the record;
 * that of UpdateUser is the user as it is now.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_REQUEST_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_REQUEST_H

#include "grpc/grpc.h"
#include "service/directory/directory_fields.h"
#include "shm/store.h"
#include "user/user_record.h"

/** The request of a call. Zeroed: it has no request_id. */
struct directory_request {
    bool given;
    bool repeated;          /* it was done already, with these contents */
    uint64_t fingerprint;   /* of this call's contents */
    struct shm_request shm; /* what the store gets; of a repeat the first one's */
};

/** What a request asks for, besides the user. */
struct directory_wish {
    const char *method; /* a request_id of one method is none of another */
    const uint8_t *id;  /* the user's, UUID_SIZE bytes; NULL: the server draws one */
    unsigned fields;    /* which ones change */
    uint64_t if_version;
    bool allow_missing;
    bool with_secret; /* it gives the user a password */
};
/** What a CreateUser asks for; the same in a stream of imports, so that either may repeat the
 * other.
 */
static inline struct directory_wish directory_wish_to_create(const uint8_t *id, bool with_secret)
{
    return (struct directory_wish){
        .method = "CreateUser", .id = id, .fields = DIRECTORY_ALL, .with_secret = with_secret};
}

/** As directory_request_take(), for one request of a stream. @return false: it is not a UUID */
bool directory_request_read(struct directory_request *request, const ProtobufCBinaryData *text,
                            const struct directory_wish *wish, const struct user_record *record);
/**
 * Takes the field request_id.
 * @param record the request's user. A password must not become a part of the fingerprint: that is
 *   kept on disk, and a hash of 64 bits without a secret tells who guesses right
 * @return false: it is not a UUID, and the call has ended
 */
bool directory_request_take(struct grpc_call *call, struct directory_request *request,
                            const ProtobufCBinaryData *text, const struct directory_wish *wish,
                            const struct user_record *record);
/** What a write of the store gets: with the time of now, in seconds. NULL: no request_id. */
struct shm_request *directory_request_begin(struct directory_request *request, uint64_t now);
/** After SHM_EREPEAT. @return whether it has the same contents */
bool directory_request_repeats(struct directory_request *request);
/**
 * Answers a repeat and ends the call.
 * @param made the first answer; NULL: the user as it is now
 */
void directory_request_answer(struct grpc_call *call, const struct directory_request *request,
                              const struct shm_user *made);

#endif
