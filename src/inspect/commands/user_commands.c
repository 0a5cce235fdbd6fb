/* SPDX-License-Identifier: MIT */
#include "inspect/commands/user_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect/core/show.h"
#include "inspect/core/stdout.h"
#include "inspect/core/table_reader.h"

static enum inspect_exit print_record(const struct shm_record *record, show_printer *print)
{
    struct show_user user;
    if (!show_user_read(&user, record)) {
        char id[UUID_TEXT_SIZE + 1];
        uuid_to_string(id, record->id);
        return report_fail(INSPECT_BAD_SEGMENT, "user %s: its body is not a User message", id);
    }
    print(&user);
    return INSPECT_DONE;
}

/* ---- get ---- */

static enum inspect_exit get_by_id(const struct table_reader *table,
                                   const struct inspect_options *options)
{
    const char *text = options->operands[0];
    uint8_t id[SHM_ID_SIZE];
    struct shm_record record;
    struct shm_fault fault = {{0}};
    if (!uuid_from_string(id, text))
        return report_fail(INSPECT_FAILED, "no user %s: an id is a UUID", text);
    int error = shm_reader_find(table->reader, id, &record, &fault);
    if (error == SHM_ENOENT)
        return report_fail(INSPECT_FAILED, "no user %s in %s", text, options->segment);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    return print_record(&record, options->json ? show_user_json : show_user_block);
}

/* Called for each user of a listing. Sets *code to the exit status if the user cannot be printed.
 * Returns false to end the listing. */
typedef bool user_visitor(void *data, const struct shm_record *record, enum inspect_exit *code);

/* Visits the users of the reader's listing. Continues after a user that cannot be read, because the
 * other users are still worth showing. */
static enum inspect_exit each_user(const struct table_reader *table, user_visitor *visit,
                                   void *data)
{
    enum inspect_exit code = INSPECT_DONE;
    struct shm_record record;
    for (;;) {
        struct shm_fault fault = {{0}};
        int error = shm_reader_next(table->reader, &record, &fault);
        if (error == SHM_ENOENT)
            return code;
        if (error != SHM_OK && error != SHM_ECORRUPT)
            return report_store_fault(error, &fault);
        if (error == SHM_ECORRUPT)
            code = report_store_fault(error, &fault);
        else if (!visit(data, &record, &code))
            return code;
        if (!stdout_is_full(stdout))
            continue;
        enum inspect_exit stopped;
        shm_reader_rest(table->reader);
        if (!stdout_flush(&stopped))
            return stopped;
    }
}

struct name_search {
    const char *name;
    show_printer *print;
    uint64_t found;
};

static bool visit_named(void *data, const struct shm_record *record, enum inspect_exit *code)
{
    struct name_search *search = data;
    struct show_user user;
    if (!show_user_read(&user, record)) {
        *code = print_record(record, search->print);
        return true;
    }
    if (user.fields.username.len != strlen(search->name) ||
        memcmp(user.fields.username.data, search->name, user.fields.username.len) != 0)
        return true;
    if (search->found++ > 0 && search->print == show_user_block)
        putchar('\n');
    search->print(&user);
    return true;
}

/* Without a unique index of names: several users may have the name. */
static enum inspect_exit scan_for_name(const struct table_reader *table,
                                       const struct inspect_options *options)
{
    struct name_search search = {options->username,
                                 options->json ? show_user_json : show_user_block, 0};
    struct shm_fault fault = {{0}};
    int error = shm_reader_begin(table->reader, 0, &fault);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    enum inspect_exit code = each_user(table, visit_named, &search);
    if (code == INSPECT_DONE && search.found == 0)
        return report_fail(INSPECT_FAILED, "no user named %s in %s", options->username,
                           options->segment);
    return code;
}

static enum inspect_exit get_by_name(const struct table_reader *table,
                                     const struct inspect_options *options)
{
    struct user_text name = {(const uint8_t *)options->username, strlen(options->username)};
    uint8_t key[USER_KEY_MAX];
    struct shm_record record;
    struct shm_fault fault = {{0}};
    if (name.len > USER_USERNAME_MAX)
        return report_fail(INSPECT_FAILED, "no user name is longer than %d bytes",
                           USER_USERNAME_MAX);
    uint32_t len = user_key_of_text(USER_KEY_USERNAME, name, key);
    int error = shm_reader_find_key(table->reader, USER_KEY_USERNAME, key, len, &record, &fault);
    if (error == SHM_EINVAL)
        return scan_for_name(table, options);
    if (error == SHM_ENOENT)
        return report_fail(INSPECT_FAILED, "no user named %s in %s", options->username,
                           options->segment);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    return print_record(&record, options->json ? show_user_json : show_user_block);
}

enum inspect_exit command_get(const struct inspect_options *options)
{
    struct table_reader table;
    enum inspect_exit code = table_reader_open(&table, options);
    if (code != INSPECT_DONE)
        return code;
    code = options->username != NULL ? get_by_name(&table, options) : get_by_id(&table, options);
    table_reader_close(&table);
    return code;
}

/* ---- list ---- */

struct listing {
    show_printer *print;
    uint64_t left;
};

static bool visit_listed(void *data, const struct shm_record *record, enum inspect_exit *code)
{
    struct listing *listing = data;
    enum inspect_exit told = print_record(record, listing->print);
    if (told != INSPECT_DONE)
        *code = told;
    return --listing->left > 0;
}

enum inspect_exit command_list(const struct inspect_options *options)
{
    struct listing listing = {options->json ? show_user_json : show_user_line, options->limit};
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
        code = each_user(&table, visit_listed, &listing);
    table_reader_close(&table);
    return code;
}
