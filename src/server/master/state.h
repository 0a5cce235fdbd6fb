/* SPDX-License-Identifier: MIT */
/* What the master's files share: master.c begins, waits and ends, workers.c has its children,
 * change.c reloads and upgrades. */
#ifndef ROSTERD_SERVER_MASTER_STATE_H
#define ROSTERD_SERVER_MASTER_STATE_H

#include "server/master/control.h"
#include "server/master/generation.h"
#include "server/master/upgrade.h"
#include "server/master/user_table.h"

enum phase { STARTING, SERVING, STOPPING };

struct master {
    int argc;
    char *const *argv;
    struct listeners handed; /* that this process was started with */
    struct upgrade_origin origin;
    struct upgrade upgrade;
    struct segment segment;
    struct world world;
    struct control control;
    struct generation *newest; /* the others behind it */
    int death_fd, signal_fd;   /* the master's end of the pipe; -1: none */
    enum phase phase;
    bool served;      /* all workers of the first generation were ready */
    bool fast;        /* the stop is */
    bool handed_over; /* another process serves now */
    bool reload_due;
    char unchanged[256]; /* what the reload under way would have changed, but cannot */
    uint64_t maintain_at, look_at, names_at, status_at, upgrade_until, moved_at; /* ms */
    int exit_status;
};

/* ---- master.c ---- */

/** Milliseconds of the monotonic clock. */
uint64_t master_now(void);
/** The start failed: one line to standard error. @return false */
bool master_fail(struct master *master, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** The generation that has all its workers; NULL: none yet. */
struct generation *master_serving(const struct master *master);
void master_count(const struct master *master, enum stats_counter counter);
/** The whole server. @param fast calls are cut off */
void master_stop(struct master *master, bool fast);
/** In a worker's process, and at the end: closes what is this process's alone. */
void master_close_own(struct master *master);

/* ---- workers.c ---- */

/** Starts those that are due. @return CHILDREN_SPAWNED; in a child its exit status */
int workers_spawn_due(struct master *master);
/** A process has ended that was this one's child: a worker, a new program, a stranger. */
void workers_bury(struct master *master, pid_t pid, int status);
/** Tells a generation's workers to go. @param patience ms, after which they are killed soon */
void workers_leave(struct generation *generation, int signal, uint64_t patience);
/** Those that stand still, or were told to go and have not; and systemd's watchdog. */
void workers_look_after(struct master *master);
bool workers_running(const struct master *master);
/** Forgets generations of whom nobody is left. */
void workers_bury_generations(struct master *master);

/* ---- change.c ---- */

void change_reload(struct master *master);
void change_reload_failed(struct master *master, const char *text);
void change_upgrade(struct master *master);
/** The new program's channel is readable. */
void change_upgrade_news(struct master *master);
/** The new program ended before it served. */
void change_upgrade_failed(struct master *master, int status);
/** A new program that takes too long is killed. */
void change_look_after(struct master *master);
/** All workers of the newest generation accept. */
void change_all_ready(struct master *master, struct generation *generation);

#endif
