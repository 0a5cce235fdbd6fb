/* SPDX-License-Identifier: MIT */
/* How long the writer lock is held: the rows of the table, and the scenes that fill them. */
#ifndef ROSTERD_TESTS_BENCH_HOLD_H
#define ROSTERD_TESTS_BENCH_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/store.h"

/** What is held against the target. */
enum hold_figure { HOLD_P999, HOLD_MAX };

/** A line of the table; its memory is the program's. */
struct hold_row {
    char what[96];
    enum hold_figure figure;
    double target_us; /* 0: none */
    uint64_t *ns;     /* of each hold, or call */
    size_t count, room;
};

extern bool hold_full; /* else a short round: some hundreds of calls a scene */

/** `full` of something, in a short round a hundredth of it, at least `least`. */
uint64_t hold_scale(uint64_t full, uint64_t least);

/** Each hold of the writer lock is counted to this row from now on; NULL: to none. */
void hold_count_to(struct hold_row *row);
/** CPU time of this thread, in nanoseconds. */
uint64_t hold_cpu_ns(void);
/** Counts a call that began at `since` (hold_cpu_ns()). */
void hold_add_call(struct hold_row *row, uint64_t since);
/** Prints the row, and forgets what it has. */
void hold_print(struct hold_row *row);
/** Ends the program: the segment is removed. */
void hold_die(const char *what, const char *why) __attribute__((noreturn));
/** The result of a call that has to work. */
void hold_must(int result, const char *what);

/* ---- the table that a scene works on: one at a time ---- */

struct hold_table {
    struct shm_store *store;
    struct shm_actor *actor;
    uint64_t low, high; /* the users that are there: [low, high) */
    uint32_t body_len;
};

/** A new segment, with two unique keys or none; `unique` users share nothing. */
void hold_open(struct hold_table *table, uint32_t body_len, bool unique);
void hold_close(struct hold_table *table);
/** A process more, as far as the store can tell. */
struct shm_actor *hold_join(struct hold_table *table);
/** The next `count` users, in one call. */
void hold_insert(struct hold_table *table, size_t count);
/** `count` users in a row, from user `from` on. */
void hold_update(struct hold_table *table, uint64_t from, size_t count);
/** The oldest users. */
void hold_delete(struct hold_table *table, size_t count);
/** Inserts until there are so many users, uncounted. */
void hold_fill(struct hold_table *table, uint64_t users);
/** Housekeeping until there is nothing to do, or what is left has to wait. */
void hold_maintain(struct hold_table *table);
/** An insert and a delete of a user whose e-mail is always the same. */
void hold_same_email(struct hold_table *table);

/* hold_scenes.c */
void hold_scene_single_calls(void);
void hold_scene_batches(void);
void hold_scene_pins(void);
void hold_scene_maintain(void);
void hold_scene_same_email(void);
void hold_scene_first_page(void);

#endif
