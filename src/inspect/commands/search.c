/* SPDX-License-Identifier: MIT */
#include "inspect/commands/search.h"

#include <stdio.h>
#include <unistd.h>

#include "inspect/core/progress.h"
#include "inspect/core/stdout.h"

/* A listing leaves its read section after this many users, so that retired memory can be freed. */
enum { REST_EVERY = 4096 };

enum inspect_exit search_print(const struct shm_record *record, show_printer *print)
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

static enum inspect_exit each_listed(const struct table_reader *table, search_visitor *visit,
                                     void *data, struct progress *progress)
{
    enum inspect_exit code = INSPECT_DONE;
    struct shm_record record;
    for (uint64_t seen = 1;; seen++) {
        struct shm_fault fault = {{0}};
        int error = shm_reader_next(table->reader, &record, &fault);
        if (error == SHM_ENOENT)
            return code;
        if (error != SHM_OK)
            progress_clear(progress);
        if (error != SHM_OK && error != SHM_ECORRUPT)
            return report_store_fault(error, &fault);
        if (error == SHM_ECORRUPT)
            code = report_store_fault(error, &fault);
        else if (!visit(data, &record, &code))
            return code;
        bool full = stdout_is_full(stdout);
        if (!full && seen % REST_EVERY != 0)
            continue;
        enum inspect_exit stopped;
        shm_reader_rest(table->reader);
        progress_show(progress, seen, seen);
        if (full && !stdout_flush(&stopped))
            return stopped;
    }
}

enum inspect_exit search_each(const struct table_reader *table, search_visitor *visit, void *data,
                              const char *what)
{
    struct progress progress;
    struct shm_info info;
    shm_store_info(table->store, &info);
    /* On a terminal the progress and the users would be mixed. */
    progress_start(&progress, what, info.users, what == NULL || isatty(STDOUT_FILENO));
    enum inspect_exit code = each_listed(table, visit, data, &progress);
    progress_clear(&progress);
    return code;
}

/* ---- by an operand ---- */

struct operand_search {
    const struct user_operand *operand;
    show_printer *print;
    uint64_t found;
};

static bool visit_meant(void *data, const struct shm_record *record, enum inspect_exit *code)
{
    struct operand_search *search = data;
    if (!user_operand_matches(search->operand, record->id, record->body, record->body_len))
        return true;
    if (search->found++ > 0 && search->print == show_user_block)
        putchar('\n');
    enum inspect_exit told = search_print(record, search->print);
    if (told != INSPECT_DONE)
        *code = told;
    return true;
}

/* Without a unique index of the key: several users may have it. */
static enum inspect_exit search_all(const struct table_reader *table,
                                    const struct inspect_options *options,
                                    const struct user_operand *operand, show_printer *print)
{
    struct operand_search search = {.operand = operand, .print = print};
    struct shm_fault fault = {{0}};
    int error = shm_reader_begin(table->reader, 0, &fault);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    enum inspect_exit code = search_each(table, visit_meant, &search, NULL);
    if (code == INSPECT_DONE && search.found == 0)
        return user_operand_fail(operand, options->segment);
    return code;
}

enum inspect_exit search_operand(const struct table_reader *table,
                                 const struct inspect_options *options,
                                 const struct user_operand *operand, show_printer *print)
{
    struct shm_record record;
    struct shm_fault fault = {{0}};
    int error = operand->by_key ? shm_reader_find_key(table->reader, operand->key, operand->value,
                                                      operand->len, &record, &fault)
                                : shm_reader_find(table->reader, operand->id, &record, &fault);
    if (error == SHM_EINVAL && operand->by_key)
        return search_all(table, options, operand, print);
    if (error == SHM_ENOENT)
        return user_operand_fail(operand, options->segment);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    return search_print(&record, print);
}

/* ---- by a filter ---- */

struct filter_search {
    const struct filter *filter;
    show_printer *print;
    uint64_t left;
};

static bool visit_filtered(void *data, const struct shm_record *record, enum inspect_exit *code)
{
    struct filter_search *search = data;
    if (!filter_match(search->filter, record->body, record->body_len, shm_record_hidden(record),
                      record->hidden_len))
        return true;
    enum inspect_exit told = search_print(record, search->print);
    if (told != INSPECT_DONE)
        *code = told;
    return --search->left > 0;
}

/* @return false: there is no index of the key that could answer the filter */
static bool search_by_index(const struct table_reader *table, struct filter_search *search,
                            enum inspect_exit *code)
{
    enum user_key key;
    struct user_text text;
    struct shm_record record;
    struct shm_fault fault = {{0}};
    if (!filter_key(search->filter, &key, &text))
        return false;
    int error =
        shm_reader_find_key(table->reader, key, text.data, (uint32_t)text.len, &record, &fault);
    if (error == SHM_EINVAL)
        return false;
    *code = INSPECT_DONE;
    if (error == SHM_OK)
        visit_filtered(search, &record, code);
    else if (error != SHM_ENOENT)
        *code = report_store_fault(error, &fault);
    return true;
}

enum inspect_exit search_filter(const struct table_reader *table,
                                const struct inspect_options *options, const struct filter *filter,
                                show_printer *print)
{
    struct filter_search search = {filter, print, options->limit};
    struct shm_fault fault = {{0}};
    enum inspect_exit code;
    if (options->limit == 0 || search_by_index(table, &search, &code))
        return options->limit == 0 ? INSPECT_DONE : code;
    int error = shm_reader_begin(table->reader, 0, &fault);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    return search_each(table, visit_filtered, &search, "find");
}
