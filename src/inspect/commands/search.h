/* SPDX-License-Identifier: MIT */
/* Looks for users in one snapshot and prints them. */
#ifndef ROSTERD_INSPECT_COMMANDS_SEARCH_H
#define ROSTERD_INSPECT_COMMANDS_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "inspect/core/show.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/user_operand.h"
#include "user/filter/filter.h"

/** Prints a user. @return as search_each() */
enum inspect_exit search_print(const struct shm_record *record, show_printer *print);

/** Called for each user of a listing. Sets *code to the exit status if the user cannot be printed.
 * Returns false to end the listing. */
typedef bool search_visitor(void *data, const struct shm_record *record, enum inspect_exit *code);
/**
 * Visits the users of the reader's listing, which has begun. Continues after a user that cannot be
 * read, because the other users are still worth showing. Pauses, so that memory can be freed.
 * @param what the command, for its progress; NULL: none is shown
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit search_each(const struct table_reader *table, search_visitor *visit, void *data,
                              const char *what);

/** Prints all users that an operand means: one, or several where its key is not unique.
 * @return as search_each(); a failure, too, if there is none */
enum inspect_exit search_operand(const struct table_reader *table,
                                 const struct inspect_options *options,
                                 const struct user_operand *operand, show_printer *print);
/** Prints the users that match, at most options->limit. @return as search_each() */
enum inspect_exit search_filter(const struct table_reader *table,
                                const struct inspect_options *options, const struct filter *filter,
                                show_printer *print);

#endif
