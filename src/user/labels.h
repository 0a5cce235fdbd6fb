/* SPDX-License-Identifier: MIT */
/*
 * Labels: texts that somebody hangs on a user, each under a key. The server gives them no meaning.
 *
 * A key is a label key of Kubernetes (kubernetes.io, Labels and Selectors): a name of 1 to 63
 * letters, digits, '-', '_' and '.', with a letter or a digit at both ends; before it an optional
 * prefix and a slash, where the prefix is a DNS subdomain of at most 253 bytes in lower case.
 * Programs that share a directory thereby keep their labels apart.
 *
 * A value is any UTF-8 without an ASCII control character; it may be empty. Kubernetes' rule for
 * values is too narrow here: people label users with names of departments, telephone numbers and
 * ids of other systems. Control characters are refused because tools print a label on one line.
 */
#ifndef ROSTERD_USER_LABELS_H
#define ROSTERD_USER_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/user.h"

enum {
    USER_LABELS_MAX = 32,
    USER_LABELS_BYTES_MAX = 1024, /* all keys and values together */
    USER_LABEL_NAME_MAX = 63,     /* bytes */
    USER_LABEL_PREFIX_MAX = 253,  /* bytes; RFC 1123, and Kubernetes */
    /* What user_labels_encode() writes: a label and its two texts have a tag and a length of up to
     * two bytes each. */
    USER_LABELS_SIZE_MAX = USER_LABELS_MAX * 3 * 3 + USER_LABELS_BYTES_MAX,
};

struct user_label {
    struct user_text key, value;
};

/** @param reason set if no label can have this key, to a static text that begins with "labels" */
bool user_check_label_key(struct user_text key, const char **reason);
/** Checks the labels of a user: how many, each key, each value, that keys differ, and the bytes in
 * all. @param reason set as by user_check_label_key() */
bool user_check_labels(const struct user_label *labels, size_t count, const char **reason);

/**
 * Writes labels that have passed the check, in the order of their keys' bytes, whatever the order
 * in which they come: equal labels are equal bytes.
 * @param count at most USER_LABELS_MAX
 * @param out USER_LABELS_SIZE_MAX bytes
 * @return where the next byte goes
 */
uint8_t *user_labels_encode(uint8_t *out, const struct user_label *labels, size_t count);

/** Reads one label. @return false: the bytes are not a message */
bool user_label_decode(struct user_label *label, const uint8_t *bytes, size_t len);

#endif
