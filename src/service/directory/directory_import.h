/* SPDX-License-Identifier: MIT */
/*
 * ImportUsers: a CreateUser for each request of a stream, and an answer for each, in order. Users
 * are inserted in order, so of two requests for one name the first gets it.
 *
 * Requests are gathered while more of them are at hand, and inserted together: up to SHM_BATCH_MAX
 * in one commit. When the turn of the loop has no more of them they are inserted too, so a client
 * that waits for each answer gets it. A password is hashed first, by a process beside the workers;
 * a few passwords of a call at a time, and while a quarter of the pool's queue is taken the call
 * waits, so that imports leave room for logins. Requests behind it wait for their turn.
 *
 * What waits is bounded, in entries and bytes; beyond, the call reads no further requests: they
 * wait with the client. An answer is sent when its commit is published. When the call ends early,
 * what is not inserted is dropped: the client goes on with the request after the last answer.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_IMPORT_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_IMPORT_H

#include "base/timer.h"
#include "grpc/grpc.h"
#include "service/directory/import_entry.h"
#include "service/users/commit_wait.h"
#include "service/users/parking.h"

enum {
    IMPORT_ENTRIES_MAX = 2 * SHM_BATCH_MAX, /* of a call: one batch commits, the next gathers */
    IMPORT_BYTES_MAX = 256 * 1024,          /* with these, no further request is read */
    IMPORT_HASHING_MAX = 8,                 /* passwords of a call that the pool has */
    IMPORT_POOL_RETRY_MS = 20,              /* while the pool's queue is full */
};

/** The call's state. */
struct directory_import_call {
    struct grpc_call *call;
    struct import_entry *first, **end; /* in order; the first ones are settled */
    struct import_entry *unsettled;    /* the first one that is not; NULL: all are */
    struct import_entry *unhashed;     /* the pool's queue had no room for its password */
    struct timer turn;                 /* the turn of the loop ends */
    struct timer pool;                 /* unhashed is tried again */
    struct parking parking;
    struct commit_wait wait; /* of the first entry */
    int64_t answered;        /* requests; the index of the first entry */
    uint32_t entries, bytes, ready, hashing;
    uint32_t chunk; /* of insert_many() */
    bool half_closed;
    bool paused;
    bool over; /* it has its status */
};

void directory_import_on_open(struct grpc_call *call);
void directory_import_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_import_on_half_close(struct grpc_call *call);
void directory_import_on_writable(struct grpc_call *call);
void directory_import_on_end(struct grpc_call *call, enum grpc_status status);

#endif
