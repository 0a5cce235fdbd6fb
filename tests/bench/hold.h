/* SPDX-License-Identifier: MIT */
/* Measures how long the writer lock is held: the rows of the table, and the scenes that fill
 * them. */
#ifndef ROSTERD_TESTS_BENCH_HOLD_H
#define ROSTERD_TESTS_BENCH_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/store.h"

/** The figure of a row that is compared with the target. */
enum hold_figure { HOLD_P999, HOLD_MAX };

/** A row of the table. The program never frees its memory. */
struct hold_row {
    char what[96];
    enum hold_figure figure;
    double target_us; /* 0: no target */
    uint64_t *ns;     /* duration of each hold, or call */
    size_t count, room;
};

extern bool hold_full; /* false: a short round, with some hundreds of calls per scene */

/** @return `full`; in a short round a hundredth of it, but at least `least`. */
uint64_t hold_scale(uint64_t full, uint64_t least);

/** From now on, counts each hold of the writer lock in this row; NULL: counts none. */
void hold_count_to(struct hold_row *row);
/** @return the CPU time of this thread in nanoseconds. */
uint64_t hold_cpu_ns(void);
/** Counts a call that began at `since` (a value of hold_cpu_ns()). */
void hold_add_call(struct hold_row *row, uint64_t since);
/** Prints the row and clears its counts. */
void hold_print(struct hold_row *row);
/** Prints the reason, removes the segment and ends the program. */
void hold_die(const char *what, const char *why) __attribute__((noreturn));
/** Ends the program unless `result`, of a call that must succeed, is SHM_OK. */
void hold_must(int result, const char *what);

/* ---- the table of a scene; one at a time ---- */

struct hold_table {
    struct shm_store *store;
    struct shm_actor *actor;
    uint64_t low, high; /* the existing users: [low, high) */
    uint32_t body_len;
};

/** Opens a new segment, with two unique keys or none. With unique keys, all users differ in
 * them. */
void hold_open(struct hold_table *table, uint32_t body_len, bool unique);
void hold_close(struct hold_table *table);
/** Joins one more actor: for the store, it is one more process. */
struct shm_actor *hold_join(struct hold_table *table);
/** Inserts the next `count` users, in one call. */
void hold_insert(struct hold_table *table, size_t count);
/** Updates `count` consecutive users, from user `from` on, in one call. */
void hold_update(struct hold_table *table, uint64_t from, size_t count);
/** Deletes the `count` oldest users. */
void hold_delete(struct hold_table *table, size_t count);
/** Inserts users, uncounted, until there are `users`. */
void hold_fill(struct hold_table *table, uint64_t users);
/** Does housekeeping until nothing is left to do, or until the rest must wait. */
void hold_maintain(struct hold_table *table);
/** Inserts and deletes a user whose e-mail is always the same. */
void hold_same_email(struct hold_table *table);

/* hold_scenes.c */
void hold_scene_single_calls(void);
void hold_scene_batches(void);
void hold_scene_pins(void);
void hold_scene_maintain(void);
void hold_scene_same_email(void);
void hold_scene_first_page(void);

#endif
