/* SPDX-License-Identifier: MIT */
#include "server/master/master_state.h"

#include <unistd.h>

struct generation *state_serving(const struct master *master)
{
    struct generation *generation = master->newest;
    while (generation != NULL && generation->state != GENERATION_SERVING)
        generation = generation->older;
    return generation;
}

void state_count(const struct master *master, enum stats_counter counter)
{
    stats_add(master->segment.stats, counter, 1);
}

static void close_descriptor(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void state_close(struct master *master)
{
    for (struct generation *g = master->newest, *older; g != NULL; g = older) {
        older = g->older;
        generation_close(g);
    }
    master->newest = NULL;
    listeners_close(&master->handed, false);
    admission_destroy(master->common.admission);
    master->common.admission = NULL;
    wake_destroy(master->common.wake);
    master->common.wake = NULL;
    pool_channels_destroy(master->common.pool);
    master->common.pool = NULL;
    tries_destroy(master->common.tries);
    master->common.tries = NULL;
    journal_owner_close(&master->journal);
    password_owner_close(&master->passwords);
    control_close(&master->control);
    successor_forget(&master->successor);
    close_descriptor(&master->predecessor.channel);
    close_descriptor(&master->signal_fd);
    close_descriptor(&master->death_fd);
}
