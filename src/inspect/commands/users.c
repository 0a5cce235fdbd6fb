/* SPDX-License-Identifier: MIT */
/* Commands on single users: list, get. */
#include <inttypes.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "inspect/core/inspect.h"
#include "inspect/core/show.h"

static enum inspect_exit print_record(const struct shm_record *record, show_printer *print)
{
    struct show_user user;

    if (!show_user_read(&user, record)) {
        char id[UUID_TEXT_SIZE + 1];
        uuid_to_string(id, record->id);
        return inspect_fail(INSPECT_BAD_SEGMENT, "user %s: its body is no User message", id);
    }
    print(&user);
    return INSPECT_DONE;
}

/* ---- get ---- */

static enum inspect_exit get_by_id(const struct inspect_view *view,
                                   const struct inspect_options *options)
{
    const char *text = options->operands[0];
    uint8_t id[SHM_ID_SIZE];
    struct shm_record record;
    struct shm_fault fault = {{0}};

    if (!uuid_from_string(id, text))
        return inspect_fail(INSPECT_FAILED, "no user %s: an id is a UUID", text);
    int error = shm_reader_find(view->reader, id, &record, &fault);
    if (error == SHM_ENOENT)
        return inspect_fail(INSPECT_FAILED, "no user %s in %s", text, options->segment);
    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    return print_record(&record, options->json ? show_user_json : show_user_block);
}

/* What a loop over users does with each; false ends it. */
typedef bool user_visitor(void *data, const struct shm_record *record, enum inspect_exit *code);

/* Goes on past a user who cannot be read: the others are still worth showing. */
static enum inspect_exit each_user(const struct inspect_view *view, user_visitor *visit, void *data)
{
    enum inspect_exit code = INSPECT_DONE;
    struct shm_record record;

    for (;;) {
        struct shm_fault fault = {{0}};
        int error = shm_reader_next(view->reader, &record, &fault);
        if (error == SHM_ENOENT)
            return code;
        if (error != SHM_OK && error != SHM_ECORRUPT)
            return inspect_fail_store(error, &fault);
        if (error == SHM_ECORRUPT)
            code = inspect_fail_store(error, &fault);
        else if (!visit(data, &record, &code))
            return code;
        if (__fpending(stdout) < INSPECT_FLUSH_AT)
            continue;
        enum inspect_exit stopped;
        shm_reader_rest(view->reader);
        if (!inspect_flush(&stopped))
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

/* By a scan: names are not unique, and those who have one are in no index. */
static enum inspect_exit scan_for_name(const struct inspect_view *view,
                                       const struct inspect_options *options)
{
    struct name_search search = {options->username,
                                 options->json ? show_user_json : show_user_block, 0};
    struct shm_fault fault = {{0}};
    int error = shm_reader_begin(view->reader, 0, &fault);

    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    enum inspect_exit code = each_user(view, visit_named, &search);
    if (code == INSPECT_DONE && search.found == 0)
        return inspect_fail(INSPECT_FAILED, "no user named %s in %s", options->username,
                            options->segment);
    return code;
}

static enum inspect_exit get_by_name(const struct inspect_view *view,
                                     const struct inspect_options *options)
{
    struct user_text name = {(const uint8_t *)options->username, strlen(options->username)};
    uint8_t key[USER_KEY_MAX];
    struct shm_record record;
    struct shm_fault fault = {{0}};

    if (name.len > USER_USERNAME_MAX)
        return inspect_fail(INSPECT_FAILED, "no user has a name of more than %d bytes",
                            USER_USERNAME_MAX);
    uint32_t len = user_key_of_text(USER_KEY_USERNAME, name, key);
    int error = shm_reader_find_key(view->reader, USER_KEY_USERNAME, key, len, &record, &fault);
    if (error == SHM_EINVAL)
        return scan_for_name(view, options);
    if (error == SHM_ENOENT)
        return inspect_fail(INSPECT_FAILED, "no user named %s in %s", options->username,
                            options->segment);
    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    return print_record(&record, options->json ? show_user_json : show_user_block);
}

enum inspect_exit inspect_get(const struct inspect_options *options)
{
    struct inspect_view view;
    enum inspect_exit code = inspect_view_open(&view, options);

    if (code != INSPECT_DONE)
        return code;
    code = options->username != NULL ? get_by_name(&view, options) : get_by_id(&view, options);
    inspect_view_close(&view);
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

enum inspect_exit inspect_list(const struct inspect_options *options)
{
    struct listing listing = {options->json ? show_user_json : show_user_line, options->limit};
    struct inspect_view view;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = inspect_view_open(&view, options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_reader_begin(view.reader, options->after, &fault);
    if (error == SHM_EINVAL)
        code = inspect_fail(INSPECT_FAILED, "--after: number %" PRIu64 " was never given out",
                            options->after);
    else if (error != SHM_OK)
        code = inspect_fail_store(error, &fault);
    else if (options->limit > 0)
        code = each_user(&view, visit_listed, &listing);
    inspect_view_close(&view);
    return code;
}
