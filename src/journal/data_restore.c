/* SPDX-License-Identifier: MIT */
#include "journal/data_restore.h"

#include <sys/param.h>
#include <sys/random.h>

enum { ROWS_A_SIGN = 4096 };

enum data_result data_restore_look(struct data_restore *restore, struct fault *fault)
{
    struct data_file *file;
    enum data_result result =
        data_file_open(&file, restore->path, DATA_SYNC_FULL, &restore->old, fault);
    restore->old_is_valid = result == DATA_OK;
    if (result == DATA_OK)
        data_file_close(file, true);
    /* A damaged file is a reason to restore; it is kept as it is. */
    return result == DATA_NONE || result == DATA_INVALID || result == DATA_FAILED ? DATA_OK
                                                                                  : result;
}

/* A random UUID, version 4. */
static bool make_store_id(uint8_t id[DATA_ID_SIZE])
{
    if (getrandom(id, DATA_ID_SIZE, 0) != DATA_ID_SIZE)
        return false;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    return true;
}

/* @param backup its meta data, which become the new file's */
static bool choose_meta(struct data_restore *restore, const struct data_meta *backup,
                        struct fault *fault)
{
    uint64_t version = MAX(backup->version, restore->version);
    uint64_t seq = MAX(backup->seq, restore->seq);
    if (restore->old_is_valid) {
        version = MAX(version, restore->old.version);
        seq = MAX(seq, restore->old.seq);
    }
    if (version >= INT64_MAX || seq > INT64_MAX)
        return fault_set(fault, "data-file %s: no version is left behind that of %s", restore->path,
                         restore->name);
    restore->meta = (struct data_meta){
        .version = version + 1, .seq = seq, .count = backup->count, .feed = version + 1};
    return make_store_id(restore->meta.store) ||
           fault_set_errno(fault, "data-file %s: cannot choose an id", restore->path);
}

static enum data_result copy_rows(struct data_restore *restore, struct data_rows *rows,
                                  struct data_rewrite *rewrite, struct fault *fault)
{
    struct data_row row;
    uint64_t done = 0;
    enum data_result result;
    while ((result = data_rows_next(rows, &row, fault)) == DATA_OK) {
        result = data_rewrite_put(rewrite, &row, fault);
        if (result != DATA_OK)
            return result;
        if (++done % ROWS_A_SIGN == 0 && restore->progress != NULL &&
            !restore->progress(restore->data, done, restore->meta.count)) {
            fault_set(fault, "%s: interrupted", restore->path);
            return DATA_FAILED;
        }
    }
    return result == DATA_NONE ? DATA_OK : result;
}

static enum data_result write_file(struct data_restore *restore, struct data_rows *rows,
                                   struct fault *fault)
{
    struct data_rewrite *rewrite;
    enum data_result result = data_rewrite_begin(&rewrite, restore->path, &restore->meta, fault);
    if (result != DATA_OK)
        return result;
    data_rewrite_keep_old(rewrite, restore->kept);
    result = copy_rows(restore, rows, rewrite, fault);
    if (result == DATA_OK)
        return data_rewrite_finish(rewrite, fault);
    data_rewrite_abandon(rewrite);
    return result;
}

enum data_result data_restore_run(struct data_restore *restore, struct fault *fault)
{
    struct data_meta backup;
    struct data_rows *rows;
    restore->kept[0] = '\0';
    enum data_result result =
        data_rows_open_at(&rows, restore->from, restore->name, &backup, fault);
    if (result != DATA_OK)
        return result;
    result = choose_meta(restore, &backup, fault) ? write_file(restore, rows, fault) : DATA_FAILED;
    data_rows_close(rows);
    return result;
}
