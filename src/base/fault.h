/* SPDX-License-Identifier: MIT */
/*
 * The reason why an operation failed, as one line for a person. A function that can fail for
 * reasons that a person must read has the form
 *
 *     bool thing_open(struct thing *thing, ..., struct fault *fault);
 *
 * It returns true, or it fills `fault` and returns false. Each caller on the way up may put its own
 * context in front (fault_prefix()), so that each layer names what it knows.
 */
#ifndef ROSTERD_BASE_FAULT_H
#define ROSTERD_BASE_FAULT_H

#include <stdbool.h>

/** A zeroed fault is empty. */
struct fault {
    char text[768]; /* one line, without a newline and without a full stop */
};

/**
 * Fills the fault. A text that is too long is cut and ends in "...".
 * @param fault may be NULL if the caller does not need the reason
 * @return false, so that a function can end with `return fault_set(fault, ...)`
 */
bool fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Like fault_set(), and appends ": " and the text of errno. @return false */
bool fault_set_errno(struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Puts a text and ": " in front of the fault's text. @return false */
bool fault_prefix(struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
