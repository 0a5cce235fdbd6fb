/* SPDX-License-Identifier: MIT */
/* Between the files of UserService; nobody else includes this. */
#ifndef ROSTERD_SERVICE_USERS_CALLS_H
#define ROSTERD_SERVICE_USERS_CALLS_H

#include <urcu/list.h>

#include "service/users/page_token.h"
#include "service/users/pin_share.h"
#include "service/users/user_request.h"
#include "service/users/user_service.h"

/** The listings that wait, mostly for their clients to read, and what ends those that wait long. */
struct listings {
    struct timer sweep;           /* armed while there are any */
    struct cds_list_head waiting; /* the oldest first */
    struct pin_shares shares;     /* of the connections that they are on */
    uint64_t made_room;           /* ms, when one was ended for its pin; 0: none, or it was found */
    uint64_t max_age;             /* ms */
    char old_text[128];           /* what a listing past it is told */
    char revoked_text[128];       /* and one whose snapshot was revoked */
};

struct user_service {
    struct shm_store *store;
    struct shm_actor *actor;
    void (*note)(const char *line);
    char full_text[96]; /* what a full table is told as */
    struct uuid_source ids;
    struct listings listings;
    struct shm_new_user batch[SHM_BATCH_MAX]; /* one insert's users, empty between two calls */
};

/* A call that found the writer lock taken waits this long in all, then ends UNAVAILABLE. */
enum { PARK_FIRST_MS = 1, PARK_LONGEST_MS = 32, PARK_TOTAL_MS = 1000 };

/** A call that waits for its next try to write. The timer is the first member, so
 * that the callback finds the call. */
struct parking {
    struct timer timer;
    struct grpc_call *call;
    uint64_t until; /* ms; 0: not parked */
    uint32_t delay; /* ms until the next try */
};
/** Tries again soon by retry(); the second and later tries of one wait come ever slower.
 * @return false where the call has waited for PARK_TOTAL_MS: give up */
bool parking_enter(struct parking *parking, struct grpc_call *call,
                   void (*retry)(struct timer *timer));
/** The try came to an end, or the call did. */
void parking_leave(struct parking *parking, struct grpc_call *call);

enum {
    USER_SHOWN_MAX = 128, /* bytes of a client's text in a status text */
    USER_SHOWN_SIZE = USER_SHOWN_MAX + 3,
    USER_TAKEN_SIZE = USER_SHOWN_SIZE + 32,
};

/** Sends a user as the store has it. */
void user_reply(struct grpc_call *call, const uint8_t *id, const uint8_t *body, size_t body_len);
/** Ends the call with a field violation (google.rpc.BadRequest) for clients that unpack it. The
 * text's first word is the name of the request's field. */
void user_refuse(struct grpc_call *call, enum grpc_status status, const char *text);
/** What a client is told of an insert that failed; text stays the service's. */
enum grpc_status user_insert_status(const struct user_service *service, int error,
                                    const char **text);
/**
 * Copies what a client sent into a status text: at most USER_SHOWN_MAX bytes of it, cut at a
 * character and with "..." behind. A status text is a C string: U+0000 becomes a '?'.
 * @param out at least USER_SHOWN_SIZE bytes; not terminated
 * @return where the next character goes
 */
char *user_show(char *out, const uint8_t *text, size_t len);
/** "username 'ann' is taken": what a client is told of SHM_EKEY. */
void user_taken_text(char text[USER_TAKEN_SIZE], const struct shm_new_user *user, unsigned key);
int64_t user_clock_seconds(void);

/* ---- create, user_create.c ---- */

struct create_call {
    struct parking parking;
    struct shm_new_user user; /* while parked; its body lies in the call's arena */
};
void user_create_on_message(struct grpc_call *call, ProtobufCMessage *message);
void user_create_on_end(struct grpc_call *call, enum grpc_status status);

/* ---- list, user_list.c ---- */

struct list_call {
    struct parking parking;       /* until there is a pin for it */
    struct grpc_call *call;       /* NULL until it waits for its client */
    struct cds_list_head waiting; /* among the service's listings */
    struct pin_share *share;      /* while it waits */
    uint64_t began;               /* ms, when it first waited */
    uint64_t until;               /* ms; snapshot-max-age after its begin */
    uint64_t sent;                /* ms, when it last got on */
    bool continues;               /* after a user of an earlier page */
    uint8_t after_id[UUID_SIZE];  /* that user; when all is sent, this page's last */
    uint64_t after_seq;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    uint32_t left; /* users still to send on this page */
    bool open;     /* the snapshot is */
};
void user_list_on_message(struct grpc_call *call, ProtobufCMessage *message);
void user_list_on_writable(struct grpc_call *call);
void user_list_on_end(struct grpc_call *call, enum grpc_status status);
void listings_init(struct listings *listings, uint64_t max_age, uint64_t max_bytes);

/* ---- batch, user_batch.c ---- */

struct batch_error {
    const char *reason; /* static, the service's, or in the call's arena */
    uint32_t position;  /* of the request in the stream, from 0 */
};
struct batch_call {
    struct parking parking;
    /* Users that wait for their insert: {position, body length, body} one after the other.
     * Given back with each insert, so that a stream that rests holds nothing. */
    uint8_t *buffer;
    uint32_t buffer_len, buffer_cap;
    uint32_t waiting;  /* users in buffer, <= SHM_BATCH_MAX */
    uint32_t chunk;    /* of those, how many to try first; 0: all */
    uint32_t position; /* of the next request */
    uint32_t created;
    uint32_t num_errors, errors_cap; /* in errors; num_errors stops at BATCH_ERRORS_MAX */
    uint64_t more_errors;            /* beyond those */
    struct batch_error *errors;
    bool half_closed;
};
void user_batch_on_message(struct grpc_call *call, ProtobufCMessage *message);
void user_batch_on_half_close(struct grpc_call *call);
void user_batch_on_end(struct grpc_call *call, enum grpc_status status);

#endif
