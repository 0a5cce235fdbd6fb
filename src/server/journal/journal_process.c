/* SPDX-License-Identifier: MIT */
#include "server/journal/journal_process.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/core_filter.h"
#include "journal/data_lock.h"
#include "server/journal/journal_stats.h"
#include "server/os/log.h"
#include "server/os/orders.h"

enum {
    WAIT_MS = 100,      /* without a commit: between two turns */
    LOCK_WAIT_MS = 500, /* between two signs of life while another process writes the file */
};

struct journal_process {
    const struct journal_process_config *config;
    struct shm_actor *actor;
    struct journal *journal;
    struct stats *stats;
    int lock_fd;
};

/* ---- what the journal calls ---- */

/* The master kills a journal whose turns do not increase. */
static void show_turn(void *data)
{
    struct stats_board *board = ((struct journal_process *)data)->config->board;
    __atomic_store_n(&board->turns, board->turns + 1, __ATOMIC_RELAXED);
}

static void wake_waiting(void *data, unsigned slot)
{
    wake_slot(((struct journal_process *)data)->config->wake, slot);
}

static void log_journal_note(void *data, enum journal_note kind, const char *text)
{
    static const enum log_level levels[] = {[JOURNAL_SAYS] = LOG_LEVEL_NOTICE,
                                            [JOURNAL_WARNS] = LOG_LEVEL_WARNING,
                                            [JOURNAL_ERRORS] = LOG_LEVEL_ERROR};
    (void)data;
    log_line(levels[kind], "%s", text);
}

/* ---- start and end ---- */

/* One that is told to end before it has begun tries once, too: it writes what there is. */
static bool take_file(struct journal_process *process, struct fault *fault)
{
    const struct journal_process_config *config = process->config;
    enum data_result result;
    do {
        show_turn(process);
        result = data_lock_writer(config->path, LOCK_WAIT_MS, &process->lock_fd, fault);
    } while (result == DATA_BUSY && !orders_to_end());
    return result == DATA_OK || result == DATA_BUSY;
}

static bool start_journal(struct journal_process *process, struct fault *fault)
{
    const struct journal_process_config *config = process->config;
    struct shm_fault why;
    if (!take_file(process, fault))
        return false;
    if (process->lock_fd < 0)
        return true;
    if (shm_actor_join(&process->actor, config->store, SHM_ACTOR_JOURNAL, 0, &why) != SHM_OK)
        return fault_set(fault, "%s", why.text);
    unsigned slot = shm_actor_slot(process->actor);
    __atomic_store_n(&config->board->slot, slot, __ATOMIC_RELAXED);
    process->stats = stats_create(shm_counters_row(config->counters, slot));
    const struct journal_config journal = {
        .store = config->store,
        .actor = process->actor,
        .path = config->path,
        .durability = config->durability,
        .interval_ms = config->interval_ms,
        .poll_us = config->poll_us,
        .alive = show_turn,
        .woken = wake_waiting,
        .note = log_journal_note,
        .data = process,
    };
    if (process->stats == NULL)
        return fault_set(fault, "out of memory");
    return journal_resume(&process->journal, &journal, fault);
}

static void end_journal(struct journal_process *process)
{
    struct fault fault;
    if (process->journal != NULL && !journal_settle(process->journal, &fault))
        log_error("journal: %s; what is not in the data file yet stays in the segment", fault.text);
    journal_close(process->journal, true);
    if (process->stats != NULL)
        journal_stats_fold(process->stats);
    stats_destroy(process->stats);
    shm_actor_leave(process->actor);
    if (process->lock_fd >= 0)
        close(process->lock_fd);
}

int journal_process_run(const struct journal_process_config *config)
{
    struct journal_process process = {.config = config, .lock_fd = -1};
    struct fault fault;
    prctl(PR_SET_NAME, "rosterd-journal");
    prctl(PR_SET_TIMERSLACK, 1000); /* ns: an open window sleeps for 20 us and more */
    (void)core_filter_set(CORE_FILTER_NOTHING, NULL); /* SQLite's memory has hashes of passwords */
    orders_take();
    data_watch(show_turn, &process);
    bool started = start_journal(&process, &fault);
    if (!started)
        log_error("journal: %s", fault.text);
    while (started && !orders_to_end()) {
        journal_turn(process.journal, WAIT_MS);
        journal_stats_fold(process.stats);
        orders_follow();
    }
    end_journal(&process);
    data_watch(NULL, NULL);
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
