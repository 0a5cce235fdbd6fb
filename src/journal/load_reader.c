/* SPDX-License-Identifier: MIT */
/*
 * Reading and checking a row takes about as long as inserting a user, so two threads load in half
 * the time. Blocks go round in a ring: the thread fills the block at `filled`, the caller has the
 * block at `taken`.
 */
#include "journal/load_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

enum { BLOCKS = 16, BLOCK_BYTES = SHM_BATCH_MAX * SHM_BODY_MAX };

struct load_reader {
    const char *path;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t moved; /* filled, taken, ended or stop has changed */
    uint64_t filled, taken;
    bool ended, stop;
    enum data_result result; /* once ended */
    struct fault fault;
    struct history_rows history;
    struct load_block blocks[BLOCKS];
};

/* ---- in the thread ---- */

/* @return NULL: to be stopped */
static struct load_block *wait_for_empty(struct load_reader *reader)
{
    pthread_mutex_lock(&reader->mutex);
    while (!reader->stop && reader->filled - reader->taken == BLOCKS)
        pthread_cond_wait(&reader->moved, &reader->mutex);
    struct load_block *block = reader->stop ? NULL : &reader->blocks[reader->filled % BLOCKS];
    pthread_mutex_unlock(&reader->mutex);
    return block;
}

static void pass_on(struct load_reader *reader)
{
    pthread_mutex_lock(&reader->mutex);
    reader->filled++;
    pthread_cond_signal(&reader->moved);
    pthread_mutex_unlock(&reader->mutex);
}

/* @param at bytes of bodies in the block so far. @return false: the store takes no such body */
static bool add_row(struct load_block *block, const struct data_row *row, size_t *at)
{
    struct shm_loaded_user *user = &block->users[block->count++];
    uint8_t *body = block->bodies + *at;
    if (row->body_len == 0 || row->body_len > SHM_BODY_MAX ||
        row->hidden_len > SHM_BODY_MAX - row->body_len)
        return false;
    memcpy(body, row->body, row->body_len);
    if (row->hidden_len > 0)
        memcpy(body + row->body_len, row->hidden, row->hidden_len);
    *at += row->body_len + row->hidden_len;
    user->user = (struct shm_new_user){.body = body,
                                       .body_len = row->body_len,
                                       .hidden = body + row->body_len,
                                       .hidden_len = row->hidden_len};
    memcpy(user->user.id, row->id, SHM_ID_SIZE);
    user->seq = row->seq;
    user->version = row->version;
    return true;
}

static enum data_result read_block(struct load_reader *reader, struct data_rows *rows,
                                   struct load_block *block)
{
    struct data_row row;
    size_t at = 0;
    block->count = 0;
    while (block->count < SHM_BATCH_MAX) {
        enum data_result result = data_rows_next(rows, &row, &reader->fault);
        if (result != DATA_OK)
            return result;
        if (add_row(block, &row, &at))
            continue;
        fault_set(&reader->fault,
                  "data-file %s: user %llu has a body of %u bytes, %u of them hidden", reader->path,
                  (unsigned long long)row.seq, row.body_len + row.hidden_len, row.hidden_len);
        return DATA_INVALID;
    }
    return DATA_OK;
}

static enum data_result read_all(struct load_reader *reader)
{
    struct data_rows *rows;
    struct data_meta meta;
    struct load_block *block;
    enum data_result result = data_rows_open(&rows, reader->path, &meta, &reader->fault);
    if (result != DATA_OK)
        return result == DATA_NONE ? DATA_FAILED : result;
    while (result == DATA_OK && (block = wait_for_empty(reader)) != NULL) {
        result = read_block(reader, rows, block);
        if (block->count != 0 && (result == DATA_OK || result == DATA_NONE))
            pass_on(reader);
    }
    if (result == DATA_NONE) {
        enum data_result read = history_rows_read(&reader->history, rows, &reader->fault);
        result = read == DATA_OK ? DATA_NONE : read;
    }
    data_rows_close(rows);
    return result;
}

static void *run_reader(void *data)
{
    struct load_reader *reader = data;
    enum data_result result = read_all(reader);
    pthread_mutex_lock(&reader->mutex);
    reader->result = result;
    reader->ended = true;
    pthread_cond_signal(&reader->moved);
    pthread_mutex_unlock(&reader->mutex);
    return NULL;
}

/* ---- in the caller ---- */

static void free_reader(struct load_reader *reader)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        secret_free(reader->blocks[i].bodies, BLOCK_BYTES);
    history_rows_free(&reader->history);
    free(reader);
}

struct load_reader *load_reader_start(const char *path, struct fault *fault)
{
    struct load_reader *reader = calloc(1, sizeof(*reader));
    bool good = reader != NULL;
    for (unsigned i = 0; i < BLOCKS && good; i++) {
        reader->blocks[i].bodies = secret_alloc(BLOCK_BYTES); /* with hashes of passwords */
        good = reader->blocks[i].bodies != NULL;
    }
    if (good) {
        reader->path = path;
        pthread_mutex_init(&reader->mutex, NULL);
        pthread_cond_init(&reader->moved, NULL);
        good = pthread_create(&reader->thread, NULL, run_reader, reader) == 0;
    }
    if (good)
        return reader;
    fault_set(fault, "data-file %s: no memory or no thread to load it", path);
    if (reader != NULL)
        free_reader(reader);
    return NULL;
}

/* The block of the call before is given back only now. */
enum data_result load_reader_next(struct load_reader *reader, const struct load_block **block,
                                  struct fault *fault)
{
    enum data_result result = DATA_OK;
    pthread_mutex_lock(&reader->mutex);
    if (*block != NULL)
        reader->taken++;
    *block = NULL;
    pthread_cond_signal(&reader->moved);
    while (!reader->ended && reader->filled == reader->taken)
        pthread_cond_wait(&reader->moved, &reader->mutex);
    if (reader->filled != reader->taken)
        *block = &reader->blocks[reader->taken % BLOCKS];
    else
        result = reader->result;
    pthread_mutex_unlock(&reader->mutex);
    if (result != DATA_OK)
        *fault = reader->fault;
    return result;
}

const struct history_rows *load_reader_history(const struct load_reader *reader)
{
    return &reader->history;
}

void load_reader_stop(struct load_reader *reader)
{
    if (reader == NULL)
        return;
    pthread_mutex_lock(&reader->mutex);
    reader->stop = true;
    pthread_cond_signal(&reader->moved);
    pthread_mutex_unlock(&reader->mutex);
    pthread_join(reader->thread, NULL);
    free_reader(reader);
}
