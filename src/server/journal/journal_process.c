/* SPDX-License-Identifier: MIT */
#include "server/journal/journal_process.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "journal/data_lock.h"
#include "server/journal/journal_stats.h"
#include "server/os/log.h"

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

/* ---- signals ---- */

/* process-wide, like the handlers */
static volatile sig_atomic_t must_stop, must_reopen_log;

static void on_journal_signal(int signal)
{
    if (signal == SIGTERM)
        must_stop = 1;
    else
        must_reopen_log = 1;
}

/* The others stay blocked: TERM comes from the master, which takes care of the order. A handler,
 * and no signalfd, because it ends a sleep on a futex. */
static void take_signals(void)
{
    const struct sigaction action = {.sa_handler = on_journal_signal};
    sigset_t set;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void reopen_journal_log(void)
{
    struct fault fault;
    must_reopen_log = 0;
    if (!log_reopen(&fault))
        log_error("log-file: %s; the old file stays in use", fault.text);
}

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
    } while (result == DATA_BUSY && !must_stop);
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
    int exit_status = EXIT_SUCCESS;
    prctl(PR_SET_NAME, "rosterd-journal");
    prctl(PR_SET_TIMERSLACK, 1000); /* ns: an open window sleeps for some 20 us */
    take_signals();
    data_watch(show_turn, &process);
    if (!start_journal(&process, &fault)) {
        log_error("journal: %s", fault.text);
        exit_status = EXIT_FAILURE;
        must_stop = 1;
    }
    while (!must_stop) {
        journal_turn(process.journal, WAIT_MS);
        journal_stats_fold(process.stats);
        if (must_reopen_log)
            reopen_journal_log();
    }
    end_journal(&process);
    data_watch(NULL, NULL);
    return exit_status;
}
