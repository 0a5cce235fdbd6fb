/* SPDX-License-Identifier: MIT */
#include "tests/inspect/tool.h"

#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/core/writer_lock.h"
#include "shm/error.h"
#include "shm/store.h"

/* make check runs the tests in the build directory. */
static const char tool_path[] = "src/inspect/shm-inspect";

enum { ARGS_MAX = 24 };

static void collect_args(char *argv[ARGS_MAX], const char *first, va_list args)
{
    int n = 0;
    argv[n++] = (char *)tool_path;
    for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *)) {
        assert_true(n < ARGS_MAX - 1);
        argv[n++] = (char *)arg;
    }
    argv[n] = NULL;
}

static char *read_all(FILE *file, size_t *len)
{
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *len, file), *len);
    text[*len] = '\0';
    fclose(file);
    return text;
}

static bool as_nobody; /* run as user nobody, who may write no segment */
enum { NOBODY = 65534, DEADLINE_S = 60 };

void tool_as_nobody(bool yes)
{
    as_nobody = yes;
}

static pid_t tool_fork(const int fds[3], char *argv[])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int fd = 0; fd < 3; fd++)
            if (fds[fd] >= 0)
                dup2(fds[fd], fd);
        alarm(DEADLINE_S); /* a tool that hangs ends with 128 + SIGALRM */
        if (as_nobody && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(126);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int tool_wait(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct tool_result run_and_collect(int out_fd, char *argv[])
{
    struct tool_result result;
    FILE *out = tmpfile(), *err = tmpfile();
    size_t err_len;
    assert_non_null(out);
    assert_non_null(err);
    int fds[3] = {-1, out_fd >= 0 ? out_fd : fileno(out), fileno(err)};
    result.exit = tool_wait(tool_fork(fds, argv));
    result.out = read_all(out, &result.out_len);
    result.err = read_all(err, &err_len);
    return result;
}

struct tool_result tool_run(const char *first, ...)
{
    char *argv[ARGS_MAX];
    va_list args;
    va_start(args, first);
    collect_args(argv, first, args);
    va_end(args);
    return run_and_collect(-1, argv);
}

struct tool_result tool_run_into(int fd, const char *first, ...)
{
    char *argv[ARGS_MAX];
    va_list args;
    va_start(args, first);
    collect_args(argv, first, args);
    va_end(args);
    return run_and_collect(fd, argv);
}

pid_t tool_start(int in_fd, int out_fd, int err_fd, const char *first, ...)
{
    const int fds[3] = {in_fd, out_fd, err_fd};
    char *argv[ARGS_MAX];
    va_list args;
    va_start(args, first);
    collect_args(argv, first, args);
    va_end(args);
    return tool_fork(fds, argv);
}

void tool_follow(struct tool_running *tool, const char *first, ...)
{
    char *argv[ARGS_MAX];
    va_list args;
    int ends[2];
    va_start(args, first);
    collect_args(argv, first, args);
    va_end(args);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    tool->err = tmpfile();
    tool->out = fdopen(ends[0], "r");
    assert_non_null(tool->err);
    assert_non_null(tool->out);
    const int fds[3] = {-1, ends[1], fileno(tool->err)};
    tool->pid = tool_fork(fds, argv);
    close(ends[1]);
}

const char *tool_line(struct tool_running *tool)
{
    static char line[4096];
    if (fgets(line, sizeof(line), tool->out) == NULL)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

struct tool_result tool_end(struct tool_running *tool)
{
    struct tool_result result = {.out = NULL};
    size_t err_len;
    if (tool->out != NULL)
        fclose(tool->out);
    result.exit = tool_wait(tool->pid);
    result.err = read_all(tool->err, &err_len);
    return result;
}

void tool_free(struct tool_result *result)
{
    free(result->out);
    free(result->err);
}

void tool_assert_failed(const struct tool_result *result, int code, const char *what)
{
    static const char start[] = "shm-inspect: ";
    const char *newline = strchr(result->err, '\n');
    if (result->exit != code || strncmp(result->err, start, sizeof(start) - 1) != 0 ||
        newline == NULL || newline[1] != '\0' || strstr(result->err, what) == NULL)
        fail_msg("exit %d, wanted %d; stderr, which should be a line with \"%s\": %s", result->exit,
                 code, what, result->err);
}

const char *segment_name(void)
{
    static char name[64];
    if (name[0] == '\0')
        snprintf(name, sizeof(name), "/rosterd-test-inspect-%d", (int)getpid());
    return name;
}

void segment_remove(void)
{
    char path[128];
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    unlink(path);
    snprintf(path, sizeof(path), "/dev/shm%s.stats", segment_name());
    unlink(path);
}

static struct shm_store *opened;

struct shm_store *segment_open(void)
{
    return segment_open_as((struct shm_config){.size = UINT64_C(1) << 30, .max_users = 100000});
}

struct shm_store *segment_open_as(struct shm_config config)
{
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    config.name = segment_name();
    if (shm_store_open(&store, &config, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    opened = store;
    return store;
}

void segment_close(void)
{
    shm_store_close(opened);
    opened = NULL;
}

struct shm_actor *segment_join(struct shm_store *store, enum shm_actor_kind kind, unsigned number)
{
    struct shm_actor *actor;
    struct shm_fault fault = {{0}};
    if (shm_actor_join(&actor, store, kind, number, &fault) != SHM_OK)
        fail_msg("%s", fault.text);
    return actor;
}

pid_t segment_stopped_lock_holder(struct shm_store *store)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (shm_writer_lock(store) != SHM_OK)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

void segment_assert_verified(void)
{
    struct tool_result got = tool_run(ON_SEGMENT, "verify", NULL);
    if (got.exit != 0)
        fail_msg("%s%s", got.out, got.err);
    tool_free(&got);
}

void segment_insert_body(struct shm_store *store, uint8_t id, const void *body, size_t len)
{
    struct shm_new_user user = {.body = body, .body_len = (uint32_t)len};
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    memset(user.id, id, sizeof(user.id));
    assert_int_equal(shm_users_insert(actor, &user, 1, NULL), SHM_OK);
    shm_actor_leave(actor);
}

void segment_insert(struct shm_store *store, uint8_t id, const Userservice__User *user)
{
    uint8_t body[SHM_BODY_MAX];
    assert_true(userservice__user__get_packed_size(user) <= sizeof(body));
    segment_insert_body(store, id, body, userservice__user__pack(user, body));
}

void segment_insert_record(struct shm_store *store, uint8_t id, const struct user_record *record)
{
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    const char *reason;
    if (!user_record_check(record, &reason))
        fail_msg("%s", reason);
    struct shm_new_user user = {.body = body,
                                .body_len = (uint32_t)user_body_encode(body, &record->fields),
                                .hidden = hidden,
                                .hidden_len = (uint32_t)user_hidden_encode(hidden, record)};
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    memset(user.id, id, sizeof(user.id));
    assert_int_equal(shm_users_insert(actor, &user, 1, NULL), SHM_OK);
    shm_actor_leave(actor);
}

struct user_record segment_record(struct shm_store *store, uint8_t id)
{
    static struct user_record_room room;
    static uint8_t bytes[SHM_BODY_MAX];
    struct user_record record;
    struct shm_user user;
    uint8_t whole[SHM_ID_SIZE];
    struct shm_actor *actor = segment_join(store, SHM_ACTOR_WORKER, 0);
    memset(whole, id, sizeof(whole));
    assert_int_equal(shm_user_find(actor, whole, &user), SHM_OK);
    memcpy(bytes, user.body, user.body_len + user.hidden_len);
    assert_true(user_record_decode(&record, &room, bytes, user.body_len, bytes + user.body_len,
                                   user.hidden_len));
    shm_actor_leave(actor);
    return record;
}

struct user_text text_make(const char *string)
{
    return (struct user_text){(const uint8_t *)string, strlen(string)};
}

Userservice__User user_make(ProtobufCBinaryData username, ProtobufCBinaryData email,
                            int64_t created_at)
{
    static ProtobufCBinaryData roles[] = {{4, (uint8_t *)"user"}, {5, (uint8_t *)"admin"}};
    Userservice__User user = USERSERVICE__USER__INIT;
    user.username = username;
    user.email = email;
    user.created_at = created_at;
    user.n_roles = 2;
    user.roles = roles;
    return user;
}

void segment_insert_three(struct shm_store *store)
{
    Userservice__User ada = user_make(BYTES("ada"), BYTES("ada@example.org"), 1700000000);
    Userservice__User bob = user_make(BYTES("bob"), BYTES(""), 1700000001);
    Userservice__User zoe = user_make(BYTES("Zo\xC3\xAB"), BYTES("z@example.org"), 1700000002);
    segment_insert(store, 1, &ada);
    segment_insert(store, 2, &bob);
    segment_insert(store, 3, &zoe);
}

int segment_setup_three(void **state)
{
    struct shm_store *store = segment_open();
    (void)state;
    segment_insert_three(store);
    segment_close();
    return 0;
}

int segment_teardown(void **state)
{
    (void)state;
    segment_close(); /* a failed test has left it open */
    segment_remove();
    return 0;
}

struct json_object *json_parse(const char *text)
{
    struct json_object *value = json_tokener_parse(text);
    if (value == NULL)
        fail_msg("not JSON: %s", text);
    return value;
}

struct json_object *json_field(struct json_object *object, const char *key)
{
    struct json_object *value;
    if (!json_object_object_get_ex(object, key, &value))
        fail_msg("no \"%s\" in %s", key, json_object_to_json_string(object));
    return value;
}

const char *json_string_field(struct json_object *object, const char *key)
{
    assert_int_equal(json_object_get_type(json_field(object, key)), json_type_string);
    return json_object_get_string(json_field(object, key));
}

uint64_t json_number_field(struct json_object *object, const char *key)
{
    assert_int_equal(json_object_get_type(json_field(object, key)), json_type_int);
    return json_object_get_uint64(json_field(object, key));
}
