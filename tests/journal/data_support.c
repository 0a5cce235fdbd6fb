/* SPDX-License-Identifier: MIT */
#include "tests/journal/data_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

char data_folder[64], data_file_name[96];

int data_folder_make(void **state)
{
    (void)state;
    /* In memory, where a sync costs nothing. */
    snprintf(data_folder, sizeof(data_folder), "%s/rosterd-test-data-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(data_folder) == NULL)
        return -1;
    snprintf(data_file_name, sizeof(data_file_name), "%s/rosterd.db", data_folder);
    return 0;
}

int data_folder_clear(void **state)
{
    (void)state;
    DIR *folder = opendir(data_folder);
    if (folder == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
    }
    closedir(folder);
    return 0;
}

int data_folder_remove(void **state)
{
    data_folder_clear(state);
    return rmdir(data_folder);
}

const char *data_name(const char *name)
{
    static char names[4][160];
    static unsigned next;
    char *text = names[next++ % 4];
    snprintf(text, sizeof(names[0]), "%s/%s", data_folder, name);
    return text;
}

bool data_exists(const char *suffix)
{
    char name[128];
    snprintf(name, sizeof(name), "%s%s", data_file_name, suffix);
    return access(name, F_OK) == 0;
}

struct data_meta model_meta(const struct model *model)
{
    struct data_meta meta = {.version = model->version, .seq = model->seq};
    memcpy(meta.store, model->store != NULL ? (const void *)model->store : "store-of-a-test.",
           DATA_ID_SIZE);
    return meta;
}

/* Most bodies are as small as users are; some take pages of their own. */
static uint32_t body_length(uint64_t seq, uint64_t version)
{
    if (seq % 97 == 0)
        return 6000;
    return seq % 31 == 0 ? 0 : (uint32_t)(40 + (seq * 7 + version) % 50);
}

struct data_row model_row(uint64_t seq, uint64_t version)
{
    static uint8_t body[6000], hidden[64];
    struct data_row row = {.seq = seq, .version = version, .body_len = body_length(seq, version)};
    row.hidden_len = seq % 3 == 2 ? 1 + (uint32_t)(seq * 7 + version) % sizeof(hidden) : 0;
    uint64_t mixed = seq * UINT64_C(0x9e3779b97f4a7c15) + version;
    memcpy(row.id, &seq, sizeof(seq));
    memcpy(row.id + 8, "-user-id", 8);
    for (uint32_t i = 0; i < row.body_len; i++)
        body[i] = (uint8_t)(mixed >> (i % 8 * 8)) ^ (uint8_t)i;
    for (uint32_t i = 0; i < row.hidden_len; i++)
        hidden[i] = (uint8_t)(mixed >> (i % 7 * 8)) ^ (uint8_t)(3 * i);
    row.hidden = row.hidden_len == 0 ? NULL : hidden;
    row.body = row.body_len == 0 ? NULL : body;
    return row;
}

static struct data_deleted model_deleted(uint64_t version, uint64_t seq)
{
    struct data_deleted deleted = {.version = version, .seq = seq};
    memset(deleted.id, (int)(seq + 1), sizeof(deleted.id));
    return deleted;
}

static bool model_requests(uint64_t version)
{
    return version % 2 == 0;
}

static struct data_request model_request(uint64_t version)
{
    struct data_request request = {.version = version, .time = 3 * version};
    request.fingerprint = version * UINT64_C(0x9e3779b97f4a7c15);
    memset(request.id, (int)(version + 2), sizeof(request.id));
    memset(request.user, (int)(version + 3), sizeof(request.user));
    return request;
}

void model_change(struct model *model, uint64_t first, uint64_t last, uint64_t deleted)
{
    model->version++;
    for (uint64_t seq = first; seq <= last; seq++)
        model->versions[seq] = model->version;
    if (deleted != 0) {
        assert_true(model->num_deletes < MODEL_PAST);
        model->versions[deleted] = 0;
        model->deletes[model->num_deletes].version = (uint32_t)model->version;
        model->deletes[model->num_deletes++].seq = (uint32_t)deleted;
    }
    if (model_requests(model->version)) {
        assert_true(model->num_requests < MODEL_PAST);
        model->requests[model->num_requests++] = (uint32_t)model->version;
    }
    if (last > model->seq)
        model->seq = last;
}

enum data_result model_commit(struct model *model, struct data_file *file, uint64_t first,
                              uint64_t last, uint64_t deleted, struct fault *fault)
{
    enum data_result result = data_file_begin(file, fault);
    for (uint64_t seq = first; seq <= last && result == DATA_OK; seq++) {
        struct data_row row = model_row(seq, model->version + 1);
        result = data_file_put(file, &row, fault);
    }
    if (result == DATA_OK && deleted != 0)
        result = data_file_delete(file, deleted, fault);
    if (result == DATA_OK && deleted != 0) {
        const struct data_deleted row = model_deleted(model->version + 1, deleted);
        result = data_file_note_deleted(file, &row, fault);
    }
    if (result == DATA_OK && model_requests(model->version + 1)) {
        const struct data_request row = model_request(model->version + 1);
        result = data_file_note_request(file, &row, fault);
    }
    if (result == DATA_OK)
        result = data_file_commit(file, model->version + 1, last > model->seq ? last : model->seq,
                                  fault);
    if (result == DATA_OK)
        model_change(model, first, last, deleted);
    return result;
}

enum data_result model_rewrite(const struct model *model, const char *path, struct fault *fault)
{
    struct data_rewrite *rewrite;
    const struct data_meta meta = model_meta(model);
    enum data_result result = data_rewrite_begin(&rewrite, path, &meta, fault);
    if (result != DATA_OK)
        return result;
    for (uint64_t seq = 1; seq <= model->seq && result == DATA_OK; seq++) {
        struct data_row row = model_row(seq, model->versions[seq]);
        if (model->versions[seq] != 0)
            result = data_rewrite_put(rewrite, &row, fault);
    }
    for (uint32_t i = 0; i < model->num_deletes && result == DATA_OK; i++) {
        const struct data_deleted row =
            model_deleted(model->deletes[i].version, model->deletes[i].seq);
        result = data_rewrite_note_deleted(rewrite, &row, fault);
    }
    for (uint32_t i = 0; i < model->num_requests && result == DATA_OK; i++) {
        const struct data_request row = model_request(model->requests[i]);
        result = data_rewrite_note_request(rewrite, &row, fault);
    }
    if (result == DATA_OK)
        return data_rewrite_finish(rewrite, fault);
    data_rewrite_abandon(rewrite);
    return result;
}

/* @return whether the row is the model's next one after `seq`, which it then replaces */
static bool is_next(const struct model *model, const struct data_row *row, uint64_t *seq)
{
    do
        (*seq)++;
    while (*seq <= model->seq && model->versions[*seq] == 0);
    if (*seq > model->seq || row->seq != *seq || row->version != model->versions[*seq])
        return false;
    struct data_row wanted = model_row(*seq, row->version);
    return memcmp(row->id, wanted.id, DATA_ID_SIZE) == 0 && row->body_len == wanted.body_len &&
           row->hidden_len == wanted.hidden_len &&
           (row->body_len == 0 || memcmp(row->body, wanted.body, row->body_len) == 0) &&
           (row->hidden_len == 0 || memcmp(row->hidden, wanted.hidden, row->hidden_len) == 0);
}

/* The model's past beside the file's. */
struct past {
    const struct model *model;
    uint32_t deletes, requests; /* read so far */
    bool same;
};

static bool compare_deleted(void *data, const struct data_deleted *deleted)
{
    struct past *past = data;
    uint32_t i = past->deletes++;
    const struct data_deleted wanted =
        model_deleted(past->model->deletes[i].version, past->model->deletes[i].seq);
    past->same = past->same && i < past->model->num_deletes && deleted->version == wanted.version &&
                 deleted->seq == wanted.seq &&
                 memcmp(deleted->id, wanted.id, sizeof(wanted.id)) == 0;
    return true;
}

static bool compare_request(void *data, const struct data_request *request)
{
    struct past *past = data;
    uint32_t i = past->requests++;
    const struct data_request wanted = model_request(past->model->requests[i]);
    past->same = past->same && i < past->model->num_requests &&
                 request->version == wanted.version && request->time == wanted.time &&
                 request->fingerprint == wanted.fingerprint &&
                 memcmp(request->id, wanted.id, sizeof(wanted.id)) == 0 &&
                 memcmp(request->user, wanted.user, sizeof(wanted.user)) == 0;
    return true;
}

static bool past_equals(const struct model *model, struct data_rows *rows, struct fault *fault)
{
    struct past past = {.model = model, .same = true};
    const struct data_history_reader reader = {
        .deleted = compare_deleted, .request = compare_request, .data = &past};
    if (data_rows_history(rows, &reader, fault) != DATA_OK)
        return false;
    return (past.same && past.deletes == model->num_deletes &&
            past.requests == model->num_requests) ||
           fault_set(fault, "%u deletes for %u, %u requests for %u, or they differ", past.deletes,
                     model->num_deletes, past.requests, model->num_requests);
}

bool model_equals(const struct model *model, const char *path, struct fault *fault)
{
    struct data_rows *rows;
    struct data_row row;
    struct data_meta meta, wanted = model_meta(model);
    enum data_result result = data_rows_open(&rows, path, &meta, fault);
    if (result != DATA_OK)
        return false;
    uint64_t seq = 0, count = 0, users = 0;
    bool same = memcmp(meta.store, wanted.store, DATA_ID_SIZE) == 0 &&
                meta.version == wanted.version && meta.seq == wanted.seq;
    if (!same)
        fault_set(fault, "meta: version %llu for %llu, seq %llu for %llu",
                  (unsigned long long)meta.version, (unsigned long long)wanted.version,
                  (unsigned long long)meta.seq, (unsigned long long)wanted.seq);
    while (same && (result = data_rows_next(rows, &row, fault)) == DATA_OK) {
        count++;
        same = is_next(model, &row, &seq);
        if (!same)
            fault_set(fault, "the row with seq %llu differs", (unsigned long long)row.seq);
    }
    if (same && result == DATA_NONE)
        same = past_equals(model, rows, fault);
    data_rows_close(rows);
    for (uint64_t i = 1; i <= model->seq; i++)
        users += model->versions[i] != 0;
    if (!same || result != DATA_NONE)
        return false;
    return count == users || fault_set(fault, "%llu rows for %llu users", (unsigned long long)count,
                                       (unsigned long long)users);
}

void assert_result_at(enum data_result wanted, enum data_result result, const struct fault *fault,
                      const char *file, int line)
{
    if (result != wanted)
        print_error("result %d for %d: %s\n", result, wanted, result == DATA_OK ? "" : fault->text);
    _assert_int_equal((LargestIntegralType)result, (LargestIntegralType)wanted, file, line);
}

void assert_model_at(const struct model *model, const char *path, const char *file, int line)
{
    struct fault fault = {""};
    bool same = model_equals(model, path, &fault);
    if (!same)
        print_error("%s\n", fault.text);
    _assert_true(same, "the file equals the model", file, line);
}

struct data_file *open_file(void)
{
    struct data_file *file;
    struct data_meta meta;
    struct fault fault;
    assert_result(DATA_OK, data_file_open(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    return file;
}

struct data_file *create_file(struct model *model)
{
    struct data_file *file;
    struct fault fault;
    memset(model, 0, sizeof(*model));
    const struct data_meta meta = model_meta(model);
    assert_result(DATA_OK, data_file_create(&file, data_file_name, DATA_SYNC_FULL, &meta, &fault));
    return file;
}

static sqlite3 *connect_plainly(const char *path)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                     SQLITE_OK);
    return db;
}

void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = connect_plainly(path);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

long long ask_sql(const char *path, const char *sql)
{
    sqlite3 *db = connect_plainly(path);
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    long long number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

enum data_result make_backup(const char *to, data_progress *progress, void *data,
                             struct data_meta *meta, struct fault *fault)
{
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    enum data_result result = data_backup(data_file_name, fd, to, progress, data, fault);
    if (result == DATA_OK)
        result = data_check(fd, to, NULL, NULL, meta, fault);
    close(fd);
    if (result != DATA_OK)
        assert_int_equal(unlink(to), 0);
    return result;
}

enum data_result check_backup_of(const char *path, struct data_meta *meta, struct fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum data_result result = data_check(fd, path, NULL, NULL, meta, fault);
    close(fd);
    return result;
}
