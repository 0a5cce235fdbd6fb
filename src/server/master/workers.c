/* SPDX-License-Identifier: MIT */
/* The master's children: begin, death, and what becomes of those that stand still. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "server/master/state.h"
#include "server/os/log.h"
#include "server/os/notify.h"

enum {
    KILL_AFTER_MS = 5000, /* a worker that does not stop in this time is killed */
    LOOK_MS = 500,        /* between two looks at the workers */
    STILL_MS = 5000,      /* no worker moved for so long: the watchdog is not fed */
};

static uint64_t min_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void workers_leave(struct generation *generation, int signal, uint64_t patience)
{
    generation->state = GENERATION_LEAVING;
    if (generation->balance != NULL)
        balance_close(generation->balance);
    generation->kill_at = master_now() + patience + KILL_AFTER_MS;
    children_signal(&generation->children, signal);
}

/* ---- begin and end ---- */

struct birth {
    struct master *master;
    struct generation *of;
};

/* In the child: another generation's, and the master's own, are not a worker's to keep. */
static void in_child(void *data)
{
    const struct birth *birth = data;
    struct master *master = birth->master;
    struct admission *admission = master->world.admission;
    for (struct generation *g = master->newest, *older; g != NULL; g = older) {
        older = g->older;
        if (g != birth->of)
            generation_close(g);
    }
    birth->of->older = NULL;
    master->newest = NULL;
    master->world.admission = NULL;
    master_close_own(master);
    master->world.admission = admission;
    master->newest = birth->of;
}

/* A generation that cannot serve: the first one is the server, another a reload. */
static void give_up(struct master *master, struct generation *generation, const char *text)
{
    if (master->phase == STARTING) {
        master_fail(master, "%s", text);
        master_stop(master, true);
        return;
    }
    const struct generation *stays = master_serving(master);
    generation->given_up = true;
    (void)log_open(stays->options.log_file, NULL);
    workers_leave(generation, SIGKILL, 0);
    change_reload_failed(master, text);
    listeners_remove_files(&generation->listeners, &stays->listeners);
    listeners_remove_files(&generation->web_listeners, &stays->web_listeners);
}

/* @return CHILDREN_SPAWNED; in the child its exit status */
static int spawn(struct master *master, struct generation *generation, unsigned number)
{
    char text[128];
    struct birth birth = {master, generation};
    int result = children_spawn(&generation->children, number, master_now(), in_child, &birth);
    if (result != CHILDREN_NO_FORK)
        return result;
    if (generation->state == GENERATION_STARTING) {
        snprintf(text, sizeof(text), "workers: cannot start one: %s", strerror(errno));
        give_up(master, generation, text);
    } else {
        log_error("worker %u cannot be started: %s", number, strerror(errno));
        children_plan_respawn(&generation->children, number, master_now());
    }
    return CHILDREN_SPAWNED;
}

int workers_spawn_due(struct master *master)
{
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        struct children *children = &g->children;
        for (unsigned i = 0; i < children->count && g->state != GENERATION_LEAVING; i++) {
            if (children->all[i].pid != 0 || children->all[i].respawn_at > master_now())
                continue;
            int result = spawn(master, g, i);
            if (result != CHILDREN_SPAWNED)
                return result;
        }
    }
    return CHILDREN_SPAWNED;
}

static void on_start_failed(struct master *master, struct generation *generation, unsigned number,
                            pid_t pid, int status)
{
    const char *report = generation->children.all[number].report;
    char end[128], text[512];
    children_describe_end(end, sizeof(end), status);
    if (report[0] != '\0' && report[0] != WORKER_READY)
        snprintf(text, sizeof(text), "worker %u: %s", number, report);
    else
        snprintf(text, sizeof(text), "worker %u (pid %d) %s before it was ready", number, (int)pid,
                 end);
    give_up(master, generation, text);
}

static void on_worker_end(struct master *master, struct generation *generation, unsigned number,
                          pid_t pid, int status)
{
    struct children *children = &generation->children;
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (generation->state == GENERATION_STARTING)
        on_start_failed(master, generation, number, pid, status);
    else if (!generation->given_up &&
             (generation->state == GENERATION_SERVING || (!clean && master->served))) {
        children_obituary(children, number, pid, status);
        master_count(master, STATS_WORKER_DEATHS);
    }
    children_release(children, number);
    if (generation->state != GENERATION_SERVING)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG) {
        log_error("worker %u cannot start: %s; the server stops", number,
                  children->all[number].report);
        notify_status("worker %u cannot start: %s", number, children->all[number].report);
        master->exit_status = 1;
        master_stop(master, true);
        return;
    }
    children_plan_respawn(children, number, master_now());
}

void workers_bury(struct master *master, pid_t pid, int status)
{
    if (pid == master->upgrade.pid) {
        change_upgrade_failed(master, status);
        return;
    }
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        int number = children_bury(&g->children, pid);
        if (number >= 0) {
            on_worker_end(master, g, (unsigned)number, pid, status);
            return;
        }
    }
    /* else somebody's whose parent died, and who is ours as pid 1 of a container */
}

/* ---- looking after them ---- */

/* Beside the table's housekeeping: who stands still, and who was told to leave and has not. */
void workers_look_after(struct master *master)
{
    uint64_t now = master_now();
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        if (children_check_progress(&g->children, g->options.worker_timeout, now) != 0)
            master->moved_at = now;
        if (g->state == GENERATION_LEAVING && now >= g->kill_at &&
            children_running(&g->children) != 0) {
            log_warning("workers that did not stop in time are killed");
            children_signal(&g->children, SIGKILL);
            g->kill_at = now + KILL_AFTER_MS;
        }
        if (g->tls != NULL)
            tls_forget_old_secrets(g->tls);
    }
    master->look_at = now + LOOK_MS;
    if (master->phase != SERVING || now < master->moved_at + STILL_MS)
        master->look_at = min_of(master->look_at, notify_watchdog(now));
}

bool workers_running(const struct master *master)
{
    for (const struct generation *g = master->newest; g != NULL; g = g->older)
        if (children_running(&g->children) != 0)
            return true;
    return false;
}

/* Those of whom nobody is left. */
void workers_bury_generations(struct master *master)
{
    for (struct generation **at = &master->newest; *at != NULL;) {
        struct generation *g = *at;
        bool last = at == &master->newest && g->older == NULL;
        if (last || g->state != GENERATION_LEAVING || children_running(&g->children) != 0) {
            at = &g->older;
            continue;
        }
        *at = g->older;
        generation_close(g);
    }
}
