/* SPDX-License-Identifier: MIT */
/*
 * A runtime and a store that do as a test tells them, under the handlers of
 * UserService: lock contention, a full table, a slow reader, all on demand.
 */
#ifndef ROSTERD_TESTS_SERVICE_FAKES_H
#define ROSTERD_TESTS_SERVICE_FAKES_H

#include "grpc/grpc.h"
#include "service/users/user_service.h"
#include "shm/store.h"

struct grpc_call {
    struct grpc_server *server;
    const struct grpc_method *method;
    const void *connection;
    void *state;
    struct grpc_arena arena;
    /* what the handler did */
    uint8_t out[1 << 20]; /* the last message */
    size_t out_len;
    unsigned messages; /* sent */
    unsigned finishes;
    enum grpc_status status; /* of the first finish */
    char message[1200];
    char field[64]; /* of its field violation */
    char token[64]; /* next-page-token */
    bool paused, wants_write;
    size_t work;       /* ns, taken from the connection's turn */
    unsigned writable; /* how many messages there is room for */
};

struct fake_store {
    unsigned busy;      /* so many inserts find the lock taken */
    bool busy_by_turns; /* every second one does */
    uint64_t room;      /* users that still fit */
    unsigned inserts;   /* that were tried */
    unsigned largest;   /* users of one insert */
    uint64_t users;     /* in the table; the n-th has sequence number n and body "n" */
    unsigned snapshots; /* open */
    unsigned collide;   /* so many inserts find their last id taken */
    bool pins_taken;
    unsigned pins;  /* that there are, one for each snapshot; 0: all share one */
    bool pins_keep; /* memory: those of ended snapshots are not free yet */
    bool pin_used[256];
    bool unique;         /* user names are */
    uint64_t submitted;  /* users of all inserts, whatever came of them */
    bool revoked;        /* every snapshot is */
    uint64_t dead_after; /* after this user a listing has deleted ones to pass, */
    unsigned dead_steps; /* for so many steps */
};
extern struct fake_store fake_store;
extern uint64_t fake_now;
extern const void *fake_connection; /* of the calls that are opened */
extern char fake_note[256];         /* the last line noted */

struct grpc_server *fake_server_create(void);
void fake_server_destroy(struct grpc_server *server);
/** Time goes by, a millisecond at a time; timers fire. */
void fake_pass(struct grpc_server *server, unsigned ms);
struct grpc_call *fake_call_open(struct grpc_server *server, const char *method);
/** The call's end, as the runtime tells it; frees it. */
void fake_call_end(struct grpc_call *call, enum grpc_status status);

#endif
