/* SPDX-License-Identifier: MIT */
#include "inspect/commands/user_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect/commands/search.h"
#include "inspect/core/show.h"
#include "inspect/core/table_reader.h"

/* How list and find print a user: a program that reads a pipe gets no header. */
static show_printer *listed_printer(const struct inspect_options *options)
{
    if (options->json)
        return show_user_json;
    return isatty(STDOUT_FILENO) ? show_user_row : show_user_line;
}

/* ---- get ---- */

/* The user that the options of get or find name by USER, --username or --email. */
static enum inspect_exit take_operand(struct user_operand *operand,
                                      const struct inspect_options *options)
{
    static char typed[512];
    if (options->username == NULL && options->email == NULL)
        return user_operand_parse(operand, options->operands[0]);
    bool named = options->username != NULL;
    const char *text = named ? options->username : options->email;
    snprintf(typed, sizeof(typed), "%s %s", named ? "named" : "with the e-mail", text);
    return user_operand_of_key(operand, named ? USER_KEY_USERNAME : USER_KEY_EMAIL, text, typed);
}

static enum inspect_exit print_operand(const struct inspect_options *options, show_printer *print)
{
    struct table_reader table;
    struct user_operand operand;
    enum inspect_exit code = take_operand(&operand, options);
    if (code != INSPECT_DONE)
        return code;
    code = table_reader_open(&table, options);
    if (code != INSPECT_DONE)
        return code;
    code = search_operand(&table, options, &operand, print);
    table_reader_close(&table);
    return code;
}

enum inspect_exit command_get(const struct inspect_options *options)
{
    return print_operand(options, options->json ? show_user_json : show_user_block);
}

/* ---- find ---- */

static enum inspect_exit find_by_filter(const struct inspect_options *options, show_printer *print)
{
    struct table_reader table;
    struct filter *filter;
    struct fault fault;
    if (filter_parse(&filter, options->filter, strlen(options->filter), &fault) != FILTER_OK)
        return report_fail(INSPECT_USAGE, "--filter: %s", fault.text);
    enum inspect_exit code = table_reader_open(&table, options);
    if (code == INSPECT_DONE) {
        code = search_filter(&table, options, filter, print);
        table_reader_close(&table);
    }
    free(filter);
    return code;
}

enum inspect_exit command_find(const struct inspect_options *options)
{
    show_printer *print = listed_printer(options);
    if ((options->username != NULL) + (options->email != NULL) + (options->filter != NULL) > 1)
        return report_fail(INSPECT_USAGE,
                           "find: --username, --email and --filter exclude each other; a filter "
                           "can have all of them");
    if (options->filter != NULL)
        return find_by_filter(options, print);
    if (options->limit != UINT64_MAX)
        return report_fail(INSPECT_USAGE, "find: --limit needs --filter");
    return print_operand(options, print);
}

/* ---- list ---- */

struct listing {
    show_printer *print;
    uint64_t left;
};

static bool visit_listed(void *data, const struct shm_record *record, enum inspect_exit *code)
{
    struct listing *listing = data;
    enum inspect_exit told = search_print(record, listing->print);
    if (told != INSPECT_DONE)
        *code = told;
    return --listing->left > 0;
}

enum inspect_exit command_list(const struct inspect_options *options)
{
    struct listing listing = {listed_printer(options), options->limit};
    struct table_reader table;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = table_reader_open(&table, options);
    if (code != INSPECT_DONE)
        return code;
    int error = shm_reader_begin(table.reader, options->after, &fault);
    if (error == SHM_EINVAL)
        code =
            report_fail(INSPECT_FAILED, "--after: sequence number %" PRIu64 " does not exist yet",
                        options->after);
    else if (error != SHM_OK)
        code = report_store_fault(error, &fault);
    else if (options->limit > 0)
        code = search_each(&table, visit_listed, &listing, NULL);
    table_reader_close(&table);
    return code;
}
