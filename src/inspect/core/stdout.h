/* SPDX-License-Identifier: MIT */
/*
 * Standard output, with a buffer that the commands flush themselves. stdio must not write on its
 * own while a command is in a read section: a pipe without a reader that empties it would block the
 * command there, and memory that writers have retired could not be freed.
 *
 * A command therefore calls stdout_flush() outside the read section as soon as stdout_is_full().
 */
#ifndef ROSTERD_INSPECT_CORE_STDOUT_H
#define ROSTERD_INSPECT_CORE_STDOUT_H

#include <stdbool.h>
#include <stdio.h>

#include "inspect/core/report.h"

enum {
    STDOUT_BUFFER_SIZE = 256 * 1024, /* bytes */
    /* One user's line is far shorter than the other half, even with every byte escaped. */
    STDOUT_FLUSH_AT = STDOUT_BUFFER_SIZE / 2,
};

/** Gives stdout its buffer. To be called once, before anything is printed. */
void stdout_open(void);

/** Whether the stream's buffer is half full, so that it should be flushed. */
bool stdout_is_full(FILE *stream);

/**
 * Writes the buffered output. A reader that closed the pipe (EPIPE) ends the command without a
 * message; any other error is reported, once per process.
 * @return true, or false if the command must end with the exit status *code
 */
bool stdout_flush(enum inspect_exit *code);

/**
 * Sleeps for `ms` milliseconds, or until one of the signals of guard_hold_signals() arrives.
 * @return false if the reader of stdout has gone
 */
bool stdout_sleep(int ms);

#endif
