/* SPDX-License-Identifier: MIT */
/*
 * The log of master and workers, a line each:
 *   2026-11-23T03:04:05.678Z notice [4711] Server started on port 50051
 * Where standard error leads to systemd's journal, lines go there by its own protocol instead,
 * with PRIORITY and, of a worker, ROSTERD_WORKER. Nothing that a client sent is ever logged.
 *
 * Nobody waits for a log: what a full pipe or disk does not take is lost, and counted.
 */
#ifndef ROSTERD_SERVER_OS_LOG_H
#define ROSTERD_SERVER_OS_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** "error", "warning", ... */
const char *log_level_name(enum log_level level);
/** Lines of a higher level are dropped from now on; LOG_LEVEL_INFO before. */
void log_set_level(enum log_level level);
/** From now on lines go to this file (output_open()). NULL: the journal or standard error, as at
 * the beginning. @return false with errno set: everything stays as it is */
bool log_open(const char *path);
/** Opens the file anew, which was moved or removed. As log_open(). */
bool log_reopen(void);
/** In a worker: its number goes with each line to the journal. */
void log_set_worker(unsigned number);
/** Longer lines than 1,000 bytes are cut; control characters become '?'. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Lines that this process has lost. */
uint64_t log_dropped(void);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
