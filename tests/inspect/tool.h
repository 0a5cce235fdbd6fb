/* SPDX-License-Identifier: MIT */
/* Runs shm-inspect as a process and collects its output; creates the segments it is run on. */
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
#include "user/user_record.h"

struct tool_result {
    int exit;  /* the exit status, or 128 + the signal that killed the process */
    char *out; /* stdout, terminated by a NUL; may contain other NULs */
    char *err; /* stderr, terminated by a NUL */
    size_t out_len;
};

/** Runs shm-inspect with these arguments, NULL at the end, and waits for its end. The caller calls
 * tool_free(). */
struct tool_result tool_run(const char *first, ...) __attribute__((sentinel));
/** Like tool_run(), but the tool's stdout is `fd`; result.out is empty. */
struct tool_result tool_run_into(int fd, const char *first, ...) __attribute__((sentinel));
/** Starts shm-inspect and returns at once. Its stdin, stdout and stderr are these descriptors; -1:
 * those of the test. */
pid_t tool_start(int in_fd, int out_fd, int err_fd, const char *first, ...)
    __attribute__((sentinel));
/** Waits for the end of a process. @return its exit status, or 128 + the signal that killed it */
int tool_wait(pid_t pid);
/** Makes the following runs use the user nobody, or the test's own again. Needs root. */
void tool_as_nobody(bool yes);
void tool_free(struct tool_result *result);
/** A tool whose stdout the test reads while it runs. */
struct tool_running {
    pid_t pid;
    FILE *out; /* the tool's stdout; a test that closes it early sets it to NULL */
    FILE *err;
};
void tool_follow(struct tool_running *tool, const char *first, ...) __attribute__((sentinel));
/** The tool's next line without its newline, valid until the next call; NULL at the end. */
const char *tool_line(struct tool_running *tool);
/** Closes the tool's stdout and waits for its end. result.out is NULL. */
struct tool_result tool_end(struct tool_running *tool);
/** Asserts the exit status, and that stderr is one line that starts with `shm-inspect: ` and
 * contains `what`. */
void tool_assert_failed(const struct tool_result *result, int code, const char *what);

/** The segment name of this test program. */
const char *segment_name(void);
/** Removes the segment and its counters. */
void segment_remove(void);
/** Creates the segment or takes it over, as a server does. The test owns it until segment_close().
 */
struct shm_store *segment_open(void);
/** Like segment_open(), with this config; its name is set here. */
struct shm_store *segment_open_as(struct shm_config config);
/** Ends the ownership. Does nothing if no segment is open. */
void segment_close(void);

/** Joins as an actor; fails the test if that fails. */
struct shm_actor *segment_join(struct shm_store *store, enum shm_actor_kind kind, unsigned number);
/** Forks a process that takes the writer lock and stops. @return its pid, to be killed and waited
 * for */
pid_t segment_stopped_lock_holder(struct shm_store *store);
/** Runs verify and asserts that it finds no fault. */
void segment_assert_verified(void);

/** Inserts a user whose id consists of 16 bytes `id`, encoded as the server encodes it. */
void segment_insert(struct shm_store *store, uint8_t id, const Userservice__User *user);
/** Like segment_insert(), with these bytes as body. */
void segment_insert_body(struct shm_store *store, uint8_t id, const void *body, size_t len);

/** Inserts a user with both parts. */
void segment_insert_record(struct shm_store *store, uint8_t id, const struct user_record *record);
/** The user as the table has it: its texts are in memory that lasts until the next call. */
struct user_record segment_record(struct shm_store *store, uint8_t id);
/** A C string as a text of a user. */
struct user_text text_make(const char *string);

Userservice__User user_make(ProtobufCBinaryData username, ProtobufCBinaryData email,
                            int64_t created_at);
/** Inserts ada, bob and Zoë, with the ids 1, 2 and 3. */
void segment_insert_three(struct shm_store *store);
/** A setup function for cmocka: a segment of those three users, whose server is dead. */
int segment_setup_three(void **state);
/** A teardown function for cmocka: removes the segment. */
int segment_teardown(void **state);

/** Parses a text that is one JSON value. The caller releases it. */
struct json_object *json_parse(const char *text);
/** An object's field; fails the test if it is missing. */
struct json_object *json_field(struct json_object *object, const char *key);
/* The same; they also assert the type. */
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
