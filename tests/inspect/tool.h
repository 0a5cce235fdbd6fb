/* SPDX-License-Identifier: MIT */
/* Runs shm-inspect as a process and keeps what it said; makes the segments it is run on. */
#ifndef ROSTERD_TESTS_INSPECT_TOOL_H
#define ROSTERD_TESTS_INSPECT_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <json-c/json.h>

#include "proto/user_service.pb-c.h"
#include "shm/store.h"

struct tool_result {
    int exit;  /* its status, or 128 + the signal that killed it */
    char *out; /* with a final NUL; may hold others */
    char *err;
    size_t out_len;
};

/** Runs shm-inspect with these arguments, NULL at the end, and waits for it. */
struct tool_result tool_run(const char *first, ...) __attribute__((sentinel));
/** The same with stdout already open at `fd`; out stays empty. */
struct tool_result tool_run_into(int fd, const char *first, ...) __attribute__((sentinel));
/** Starts it beside the test; stdin, stdout and stderr are these descriptors, -1 the test's own. */
pid_t tool_start(int in_fd, int out_fd, int err_fd, const char *first, ...)
    __attribute__((sentinel));
/** Waits for its end. @return its status, or 128 + the signal that killed it */
int tool_wait(pid_t pid);
/** Whether it runs as user nobody from now on; needs root. */
void tool_as_nobody(bool yes);
void tool_free(struct tool_result *result);
/** One whose lines are read while it runs. */
struct tool_running {
    pid_t pid;
    FILE *out; /* the pipe that it writes to; who closes it early sets it to NULL */
    FILE *err;
};
void tool_follow(struct tool_running *tool, const char *first, ...) __attribute__((sentinel));
/** Its next line, without the newline, until the next call; NULL: it has ended. */
const char *tool_line(struct tool_running *tool);
/** Waits for its end; result.out stays NULL. What it still writes nobody reads. */
struct tool_result tool_end(struct tool_running *tool);
/** Asserts status and that stderr is one `shm-inspect: ` line with `what` in it. */
void tool_assert_failed(const struct tool_result *result, int code, const char *what);

/** This test program's segment name; it is gone, with its counters, after segment_remove(). */
const char *segment_name(void);
void segment_remove(void);
/** Creates it, or takes it over, as a server does; an owner until segment_close(). */
struct shm_store *segment_open(void);
/** The same with the given config, whose name is set. */
struct shm_store *segment_open_as(struct shm_config config);
/** Ends the ownership; nothing where none is open. */
void segment_close(void);

/** Inserts a user whose id is 16 times `id`, made as the server makes one. */
void segment_insert(struct shm_store *store, uint8_t id, const Userservice__User *user);
/** The same with a body of any bytes. */
void segment_insert_body(struct shm_store *store, uint8_t id, const void *body, size_t len);

Userservice__User user_make(ProtobufCBinaryData username, ProtobufCBinaryData email,
                            int64_t created_at);
/** ada, bob and Zoë, with the ids 1, 2 and 3. */
void segment_insert_three(struct shm_store *store);
/** cmocka's setup: a segment of those three, whose server is dead. */
int segment_setup_three(void **state);
/** cmocka's teardown. */
int segment_teardown(void **state);

/** The one JSON value that the text holds; the caller's to put. */
struct json_object *json_parse(const char *text);
/** The object's field, which must be there and of that type. */
struct json_object *json_field(struct json_object *object, const char *key);
const char *json_string_field(struct json_object *object, const char *key);
uint64_t json_number_field(struct json_object *object, const char *key);

#define ON_SEGMENT "--segment", segment_name()
#define ID_1       "01010101-0101-0101-0101-010101010101"
#define ID_2       "02020202-0202-0202-0202-020202020202"
#define ID_3       "03030303-0303-0303-0303-030303030303"

/** A byte string for a field of a message. */
#define BYTES(literal)                                                                             \
    (ProtobufCBinaryData)                                                                          \
    {                                                                                              \
        .len = sizeof(literal) - 1, .data = (uint8_t *)(literal)                                   \
    }

#endif
