/* SPDX-License-Identifier: MIT */
/*
 * A fake gRPC runtime and a fake store for the handlers of UserService. A test sets what they do:
 * lock contention, a full table, a slow reader.
 */
#ifndef ROSTERD_TESTS_SERVICE_FAKES_H
#define ROSTERD_TESTS_SERVICE_FAKES_H

#include "grpc/grpc.h"
#include "service/users/user_service.h"
#include "shm/disk.h"
#include "shm/store.h"

struct grpc_call {
    struct grpc_server *server;
    const struct grpc_method *method;
    const void *connection;
    void *state;
    struct grpc_arena arena;
    /* what the handler did, and what the test allows */
    uint8_t out[1 << 20]; /* the last message */
    size_t out_len;
    unsigned messages; /* sent */
    unsigned finishes;
    enum grpc_status status; /* of the first finish */
    char message[1200];
    char field[64];    /* of its field violation */
    uint64_t retry_ms; /* of its retry info */
    char token[64];    /* next-page-token */
    uint64_t deadline; /* ms; UINT64_MAX: none */
    bool paused, wants_write;
    size_t work;       /* ns, taken from the connection's turn */
    unsigned writable; /* messages that there is room for */
    size_t held;       /* bytes of grpc_call_hold() */
    size_t may_hold;
    unsigned refused_holds;
};

struct fake_store {
    unsigned busy;      /* how many of the next inserts find the lock taken */
    bool busy_by_turns; /* every second insert finds the lock taken */
    uint64_t room;      /* users that still fit */
    unsigned inserts;   /* calls of shm_users_insert() */
    unsigned largest;   /* the most users of one insert */
    uint64_t users;     /* in the table; the n-th has sequence number n and body "n" */
    unsigned snapshots; /* open */
    unsigned collide;   /* how many of the next inserts find the id of their last user taken */
    bool pins_taken;    /* no snapshot can begin */
    unsigned pins;      /* how many there are, one for each snapshot; 0: all snapshots share one */
    bool pins_keep;     /* the pins of ended snapshots still keep memory and are not free */
    bool pin_used[256];
    bool unique;         /* user names are unique */
    uint64_t submitted;  /* users of all inserts, whatever their results */
    bool revoked;        /* all snapshots are revoked */
    uint64_t dead_after; /* behind this user a listing has deleted users to pass ... */
    unsigned dead_steps; /* ... in so many steps */
    uint64_t version;    /* commits */
    bool durable;        /* a commit is published by the test alone */
    uint64_t published;
    uint64_t waits; /* the version that shm_wait_begin() noted; 0: none */
    bool overtakes; /* the next shm_wait_begin() finds all commits published meanwhile */
    struct shm_disk_info disk;
};
extern struct fake_store fake_store;
extern uint64_t fake_now;
extern uint64_t fake_expected_ns;   /* of the last grpc_server_poll_expect() */
extern unsigned fake_expects;       /* calls of it */
extern const void *fake_connection; /* of the calls that are opened from now on */
extern char fake_note[256];         /* the last line noted */

struct grpc_server *fake_server_create(void);
void fake_server_destroy(struct grpc_server *server);
/** What the next server's services are made from, beside the fake store. */
extern struct service_config fake_config;
/** Lets time pass, one millisecond at a time; timers fire. */
void fake_pass(struct grpc_server *server, unsigned ms);
/** The end of a turn of the worker's loop, or a wake-up by the journal. */
void fake_settle(struct grpc_server *server);
/** @param method a name, or one with its service: "Directory/CreateUser" */
struct grpc_call *fake_call_open(struct grpc_server *server, const char *method);
/** Ends the call as the runtime does: calls on_end and frees the call. */
void fake_call_end(struct grpc_call *call, enum grpc_status status);

#endif
