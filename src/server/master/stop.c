/* SPDX-License-Identifier: MIT */
#include "server/master/stop.h"

#include <signal.h>

#include "base/clock.h"
#include "server/os/notify.h"

enum { KILL_AFTER_MS = 5000 }; /* beyond the patience, before workers are killed */

void stop_generation(struct generation *generation, int signal, uint64_t patience)
{
    generation->state = GENERATION_STOPPING;
    if (generation->balance != NULL)
        balance_close(generation->balance); /* before the signal: see there */
    generation->kill_at = clock_monotonic_ms() + patience + KILL_AFTER_MS;
    children_signal(&generation->children, signal);
}

void stop_server(struct master *master, bool fast)
{
    if (master->phase == MASTER_STOPPING && (master->fast || !fast))
        return;
    master->phase = MASTER_STOPPING;
    master->fast = fast;
    notify_stopping();
    control_close(&master->control);
    if (master->successor.pid != 0)
        kill(master->successor.pid, SIGTERM);
    for (struct generation *g = master->newest; g != NULL; g = g->older) {
        /* closed now; otherwise clients would wait in a backlog from which no process accepts */
        listeners_close(&g->listeners, !master->handed_over);
        if (master->handed_over) /* else /metrics is there until the last call has ended */
            listeners_close(&g->web_listeners, false);
        int slowly = master->handed_over ? SIGHUP : SIGQUIT;
        stop_generation(g, fast ? SIGTERM : slowly, fast ? 0 : g->options.drain_timeout);
    }
    listeners_close(&master->handed, false);
}
