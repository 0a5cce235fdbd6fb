/* SPDX-License-Identifier: MIT */
/*
 * How a command ends, and its messages on stderr.
 *
 * Errors have two forms in shm-inspect. A step of a command that fails prints its one message
 * itself and returns the exit status (enum inspect_exit); the caller passes the status on and
 * prints nothing. A module whose caller adds context to the reason (file name, line number)
 * returns false and fills a struct fault.
 */
#ifndef ROSTERD_INSPECT_CORE_REPORT_H
#define ROSTERD_INSPECT_CORE_REPORT_H

#include "base/fault.h"
#include "shm/error.h"

/** The exit status of shm-inspect. */
enum inspect_exit {
    INSPECT_DONE = 0,
    INSPECT_FAILED = 1, /* not found, a failed check, a failed system call */
    INSPECT_USAGE = 2,
    INSPECT_NO_SEGMENT = 3,
    INSPECT_BAD_SEGMENT = 4, /* of another layout, or corrupt */
};

/**
 * Prints `shm-inspect: MESSAGE` as one line on stderr; characters that could disturb a terminal
 * are escaped (text_print()).
 * @return `code`, so that a function can end with `return report_fail(...)`
 */
enum inspect_exit report_fail(enum inspect_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Prints the fault as a message. @return `code` */
enum inspect_exit report_fault(enum inspect_exit code, const struct fault *fault);

/**
 * Prints why a function of the store failed.
 * @param error what the function returned, not SHM_OK
 * @param fault what it filled; if empty, the error's general text is printed
 * @return the exit status for this error
 */
enum inspect_exit report_store_fault(int error, const struct shm_fault *fault);

#endif
