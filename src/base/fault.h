/* SPDX-License-Identifier: MIT */
/*
 * Why an operation failed, in one line for a person. A function that can fail for reasons that a
 * person must read has the form
 *
 *     bool thing_open(struct thing *thing, ..., struct fault *fault);
 *
 * It returns true, or it returns false and has filled `fault`. The caller that reports the fault
 * adds its own context in front (fault_prefix()), so that each layer names what it knows.
 */
#ifndef ROSTERD_BASE_FAULT_H
#define ROSTERD_BASE_FAULT_H

#include <stdbool.h>

/** Zeroed is a fault that nobody has filled. */
struct fault {
    char text[768]; /* one line, without a newline and without a full stop */
};

/**
 * Fills the fault; a text that is too long ends in "...".
 * @param fault may be NULL: the caller does not want to know
 * @return false, so that a function can end with `return fault_set(fault, ...)`
 */
bool fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The same, and ": " and the text of errno behind it. */
bool fault_set_errno(struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Puts a text in front of what the fault says: "FORMAT: TEXT". @return false */
bool fault_prefix(struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
