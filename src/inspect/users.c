/* SPDX-License-Identifier: MIT */
/* Commands on single users: list, get. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "inspect/inspect.h"
#include "inspect/text.h"
#include "proto/user_service.pb-c.h"
#include "shm/store.h"
#include "user/uuid.h"

/* One user's line is far shorter than the other half of stdout's buffer (see main.c), even with
 * each byte of a body escaped: stdio never writes by itself, and so never inside a read section,
 * where a pipe that nobody empties would hold up the reclaiming of memory. */
enum { FLUSH_AT = INSPECT_STDOUT_BUFFER / 2 };

struct view {
    const struct inspect_options *options;
    struct shm_store *store;
    struct shm_actor *actor;
};

/* CPU seconds in which the next users must be found. Reading FLUSH_AT bytes of them takes far
 * less than a hundredth of it. */
enum { PATIENCE = 2 };

/* A damaged segment can hold any pointer, and the read path follows them unchecked for the sake
 * of its speed; verify is the careful one. */
static void damaged(int signal_number)
{
    static const char nowhere[] = "shm-inspect: the segment is corrupt: a pointer in it leads "
                                  "nowhere (see: verify)\n";
    static const char endless[] = "shm-inspect: the segment is corrupt: a list in it has no end "
                                  "(see: verify)\n";
    ssize_t ignored = signal_number == SIGVTALRM
                          ? write(STDERR_FILENO, endless, sizeof(endless) - 1)
                          : write(STDERR_FILENO, nowhere, sizeof(nowhere) - 1);

    (void)ignored;
    _exit(INSPECT_BAD_SEGMENT);
}

static void watch_start(void)
{
    struct itimerval patience = {.it_value.tv_sec = PATIENCE};

    setitimer(ITIMER_VIRTUAL, &patience, NULL);
}

static void watch_install(void)
{
    struct sigaction action = {.sa_handler = damaged};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGVTALRM, &action, NULL);
    watch_start();
}

static enum inspect_exit view_open(struct view *view, const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};

    enum inspect_exit code = inspect_attach(&view->store, options);

    view->options = options;
    if (code != INSPECT_DONE)
        return code;
    int error = shm_actor_join(&view->actor, view->store, SHM_ACTOR_TOOL, 0, &fault);
    if (error != SHM_OK) {
        shm_store_close(view->store);
        return inspect_fail_store(error, &fault);
    }
    watch_install();
    return INSPECT_DONE;
}

static void view_close(struct view *view)
{
    shm_actor_leave(view->actor);
    shm_store_close(view->store);
}

/* A body is a User message without its id, which the identity node has. */
static Userservice__User *user_decode(const struct shm_user *user)
{
    if (user->body_len > SHM_BODY_MAX)
        return NULL;
    return userservice__user__unpack(NULL, user->body_len, user->body);
}

static void user_print_json(const struct shm_user *user, const Userservice__User *message)
{
    char id[UUID_TEXT_SIZE + 1];
    struct json_object *object = json_object_new_object();
    struct json_object *roles = json_object_new_array();

    uuid_to_string(id, user->id);
    json_object_object_add(object, "id", json_object_new_string(id));
    json_object_object_add(object, "username",
                           text_json_string(message->username.data, message->username.len));
    json_object_object_add(object, "email",
                           text_json_string(message->email.data, message->email.len));
    json_object_object_add(object, "created_at", json_object_new_int64(message->created_at));
    for (size_t i = 0; i < message->n_roles; i++)
        json_object_array_add(roles,
                              text_json_string(message->roles[i].data, message->roles[i].len));
    json_object_object_add(object, "roles", roles);
    json_object_object_add(object, "seq", json_object_new_uint64(user->seq));
    text_print_json(stdout, object);
    json_object_put(object);
}

static void roles_print(const Userservice__User *message)
{
    for (size_t i = 0; i < message->n_roles; i++) {
        if (i > 0)
            putchar(',');
        text_print(stdout, message->roles[i].data, message->roles[i].len);
    }
}

/* Columns are parted by tabs, which text_print() lets through nowhere else. */
static void user_print_line(const struct shm_user *user, const Userservice__User *message)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];

    uuid_to_string(id, user->id);
    text_time_format(created, message->created_at);
    printf("%" PRIu64 "\t%s\t%s\t", user->seq, id, created);
    text_print(stdout, message->username.data, message->username.len);
    putchar('\t');
    text_print(stdout, message->email.data, message->email.len);
    putchar('\t');
    roles_print(message);
    putchar('\n');
}

static void user_print_block(const struct shm_user *user, const Userservice__User *message)
{
    char id[UUID_TEXT_SIZE + 1], created[TEXT_TIME_SIZE];

    uuid_to_string(id, user->id);
    text_time_format(created, message->created_at);
    printf("id        %s\nusername  ", id);
    text_print(stdout, message->username.data, message->username.len);
    fputs("\nemail     ", stdout);
    text_print(stdout, message->email.data, message->email.len);
    printf("\ncreated   %s\nroles     ", created);
    roles_print(message);
    printf("\nseq       %" PRIu64 "\n", user->seq);
}

typedef void user_printer(const struct shm_user *, const Userservice__User *);

/* @return INSPECT_BAD_SEGMENT, told on stderr, where the body is no User message */
static enum inspect_exit user_print(const struct shm_user *user, user_printer *print)
{
    Userservice__User *message = user_decode(user);

    if (message == NULL) {
        char id[UUID_TEXT_SIZE + 1];
        uuid_to_string(id, user->id);
        return inspect_fail(INSPECT_BAD_SEGMENT, "user %s: its body is no User message", id);
    }
    print(user, message);
    userservice__user__free_unpacked(message, NULL);
    return INSPECT_DONE;
}

enum inspect_exit inspect_get(const struct inspect_options *options)
{
    struct view view;
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    enum inspect_exit code = view_open(&view, options);

    if (code != INSPECT_DONE)
        return code;
    if (!uuid_from_string(id, options->id))
        code = inspect_fail(INSPECT_FAILED, "no user %s: an id is a UUID", options->id);
    else if (shm_user_find(view.actor, id, &user) != SHM_OK)
        code = inspect_fail(INSPECT_FAILED, "no user %s in %s", options->id, options->segment);
    else
        code = user_print(&user, options->json ? user_print_json : user_print_block);
    view_close(&view);
    return code;
}

/* Between two users: writes what has gathered, outside of the read section. */
static bool list_flush(const struct view *view, enum inspect_exit *code)
{
    if (__fpending(stdout) < FLUSH_AT)
        return true;
    shm_actor_offline(view->actor);
    watch_start();
    return inspect_flush(code);
}

static enum inspect_exit list_users(const struct view *view, struct shm_cursor *cursor)
{
    user_printer *print = view->options->json ? user_print_json : user_print_line;
    enum inspect_exit code = INSPECT_DONE;
    uint64_t last = view->options->after;
    struct shm_user user;

    for (uint64_t n = 0; n < view->options->limit && shm_cursor_next(cursor, &user) == SHM_OK;
         n++) {
        /* Rising numbers also see to it that a list bent into a ring has an end. */
        if (user.seq <= last)
            return inspect_fail(INSPECT_BAD_SEGMENT,
                                "the segment is corrupt: user number %" PRIu64
                                " comes after number %" PRIu64 " (see: verify)",
                                user.seq, last);
        last = user.seq;
        enum inspect_exit told = user_print(&user, print);
        if (told != INSPECT_DONE)
            code = told; /* the others are still worth showing */
        enum inspect_exit stopped;
        if (!list_flush(view, &stopped))
            return stopped;
    }
    return code;
}

enum inspect_exit inspect_list(const struct inspect_options *options)
{
    struct view view;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    enum inspect_exit code = view_open(&view, options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_snapshot_begin(view.actor, &snapshot);
    if (error != SHM_OK) {
        view_close(&view);
        return inspect_fail(INSPECT_FAILED, "%s", shm_strerror(error));
    }
    static const uint8_t no_id[SHM_ID_SIZE];
    shm_cursor_first(&cursor, view.actor, &snapshot);
    if (options->after > 0 &&
        shm_cursor_after(&cursor, view.actor, &snapshot, options->after, no_id) != SHM_OK)
        code = inspect_fail(INSPECT_FAILED, "--after: number %" PRIu64 " was never given out",
                            options->after);
    else
        code = list_users(&view, &cursor);
    shm_snapshot_end(view.actor, &snapshot);
    view_close(&view);
    return code;
}
