/* SPDX-License-Identifier: MIT */
/*
 * The log of the master and the workers, one line for each event:
 *   2026-11-23T03:04:05.678Z notice [4711] Server started on port 50051
 * If standard error leads to systemd's journal, lines go to the journal by its own protocol, with
 * the fields PRIORITY and, from a worker, ROSTERD_WORKER. The log never contains what a client
 * sent.
 *
 * Logging never blocks: a line that a full pipe or disk does not take is dropped and counted.
 */
#ifndef ROSTERD_SERVER_OS_LOG_H
#define ROSTERD_SERVER_OS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** Lines of a less urgent level are dropped from now on. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
/**
 * Sends lines to this file from now on (see output_open()).
 * @param path NULL: the journal or standard error, as at the start
 * @return false: "PATH: REASON", and lines go where they went before
 */
bool log_open(const char *path, struct fault *fault);
/** Opens the file again, after it was moved or removed. @return as log_open() */
bool log_reopen(struct fault *fault);
/** In a worker: its number goes with each line to the journal. */
void log_set_worker(unsigned number);
/** Cuts a line at 1,000 bytes and replaces control characters by '?'. Keeps errno. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The number of lines that this process has dropped. */
uint64_t log_dropped(void);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
