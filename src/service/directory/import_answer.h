/* SPDX-License-Identifier: MIT */
/* The answers of ImportUsers: a user, or a status as CreateUser would have ended. */
#ifndef ROSTERD_SERVICE_DIRECTORY_IMPORT_ANSWER_H
#define ROSTERD_SERVICE_DIRECTORY_IMPORT_ANSWER_H

#include <stdint.h>

#include "service/directory/import_entry.h"

/** Sends the answer of a settled entry. @param index of its request in the stream */
void import_answer_send(const struct import_entry *entry, int64_t index);

#endif
