/* SPDX-License-Identifier: MIT */
/* A directory for data files, and a table in memory that a data file is compared with. */
#ifndef ROSTERD_TESTS_JOURNAL_DATA_SUPPORT_H
#define ROSTERD_TESTS_JOURNAL_DATA_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/data_file.h"
#include "tests/journal/data_create.h"

extern char data_folder[64];    /* made by data_folder_make() */
extern char data_file_name[96]; /* "rosterd.db" in it */

int data_folder_make(void **state);
/** Empties and removes the directory. */
int data_folder_remove(void **state);
/** Removes the files in the directory, before each test. */
int data_folder_clear(void **state);
/** The name of a file in the directory, in one of four static buffers. */
const char *data_name(const char *name);
/** @return whether PATH + suffix exists */
bool data_exists(const char *suffix);

/* Users are numbers: user n has seq n, and an id and a body that follow from n and its version.
 * Each second commit does a request. */
enum { MODEL_PAST = 4096 };
struct model {
    uint64_t versions[4096]; /* of each user; 0: there is none */
    struct {
        uint32_t version, seq;
    } deletes[MODEL_PAST];
    uint32_t requests[MODEL_PAST]; /* the commits that did one */
    uint32_t num_deletes, num_requests;
    uint64_t version, seq;
    const uint8_t *store; /* the file's store id; NULL: the one that all models have */
};
struct data_meta model_meta(const struct model *model);
/** The row of a user. Both parts of its body lie in static buffers. */
struct data_row model_row(uint64_t seq, uint64_t version);
/** One transaction: puts the users first to last and deletes `deleted`, if that is not 0. The model
 * changes when the commit succeeded. */
enum data_result model_commit(struct model *model, struct data_file *file, uint64_t first,
                              uint64_t last, uint64_t deleted, struct fault *fault);
/** As model_commit(), for the model alone. */
void model_change(struct model *model, uint64_t first, uint64_t last, uint64_t deleted);
/** Writes a new file of the model's content. */
enum data_result model_rewrite(const struct model *model, const char *path, struct fault *fault);
/** Reads the file. @return false, with a fault: it differs from the model */
bool model_equals(const struct model *model, const char *path, struct fault *fault);

/** Fails the test, with the fault's text, if the result is another. */
#define assert_result(wanted, call) assert_result_at(wanted, call, &fault, __FILE__, __LINE__)
void assert_result_at(enum data_result wanted, enum data_result result, const struct fault *fault,
                      const char *file, int line);
#define assert_model(model, path) assert_model_at(model, path, __FILE__, __LINE__)
void assert_model_at(const struct model *model, const char *path, const char *file, int line);

/** Makes a backup of the file and checks it, as shm-inspect does; removes it after a failure. */
enum data_result make_backup(const char *to, data_progress *progress, void *data,
                             struct data_meta *meta, struct fault *fault);
/** Checks a backup. */
enum data_result check_backup_of(const char *path, struct data_meta *meta, struct fault *fault);
/** Opens the file; fails the test if that fails. */
struct data_file *open_file(void);
/** Makes a new file; fails the test if that fails. */
struct data_file *create_file(struct model *model);
/** Runs SQL on a connection of its own, without the layers of rosterd. Fails the test on errors. */
void run_sql(const char *path, const char *sql);
long long ask_sql(const char *path, const char *sql);

#endif
