/* SPDX-License-Identifier: MIT */
/* The state of the master process, which the files of this folder work on. */
#ifndef ROSTERD_SERVER_MASTER_MASTER_STATE_H
#define ROSTERD_SERVER_MASTER_MASTER_STATE_H

#include "server/master/control.h"
#include "server/master/generation.h"
#include "server/master/journal_owner.h"
#include "server/master/password_owner.h"
#include "server/master/predecessor.h"
#include "server/master/refusals.h"
#include "server/master/segment_owner.h"
#include "server/master/successor.h"
#include "server/os/listen.h"
#include "server/os/pid_file.h"
#include "service/observe/stats.h"

enum master_phase {
    MASTER_STARTING, /* until all workers of the first generation accept connections */
    MASTER_SERVING,
    MASTER_STOPPING,
};

/** Times are ms of the monotonic clock. */
struct master {
    int argc;
    char *const *argv;              /* main()'s, for reloads and upgrades */
    struct listeners handed;        /* sockets that this process was started with */
    struct predecessor predecessor; /* the program that this one replaces */
    struct successor successor;     /* the program that replaces this one */
    struct segment_owner segment;
    struct generation_common common;
    struct journal_owner journal;
    struct password_owner passwords;
    struct control control;
    struct refusals refusals; /* of creates, for want of room */
    struct pid_file pid_file;
    struct generation *newest; /* a list, by `older` */
    int death_fd;              /* the write end of the death pipe; -1: none */
    int signal_fd;             /* -1: none */
    enum master_phase phase;
    bool is_worker;   /* this process was forked by the master: a worker, the journal, ... */
    bool served;      /* phase was MASTER_SERVING once */
    bool fast;        /* while stopping: calls are cut off */
    bool handed_over; /* the successor serves now */
    bool reload_due;
    char unchanged[256];  /* options that the last reload could not change: "a, b" */
    uint64_t maintain_at; /* the next shm_maintain() */
    uint64_t check_workers_at;
    uint64_t check_names_at; /* the next segment_owner_check_names() */
    uint64_t check_room_at;  /* the next room_watch_check() */
    uint64_t status_at;      /* the next status line for systemd */
    uint64_t upgrade_until;  /* then a successor that does not serve is killed */
    uint64_t progress_at;    /* when any worker last made progress */
    int exit_status;         /* of this process */
};

/** The generation that serves, of which all workers have started. NULL: none yet. */
struct generation *state_serving(const struct master *master);
/** Counts an event in the master's row of counters. */
void state_count(const struct master *master, enum stats_counter counter);
/** Closes the master's descriptors and frees its memory: at its end, and in a forked worker. Has no
 * effect on other processes. The segment is left open. */
void state_close(struct master *master);

#endif
