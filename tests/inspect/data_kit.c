/* SPDX-License-Identifier: MIT */
#include "tests/inspect/data_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/inspect/tool.h"

static char kit_folder[64];

int kit_make(void **state)
{
    (void)state;
    snprintf(kit_folder, sizeof(kit_folder), "/tmp/rosterd-test-kit-XXXXXX");
    return mkdtemp(kit_folder) != NULL ? 0 : -1;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

const char *kit_path(const char *name)
{
    static char paths[8][384];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", kit_folder, name);
    return path;
}

const char *kit_files(void)
{
    static char list[2048];
    struct dirent **entries;
    int count = scandir(kit_folder, &entries, NULL, compare_names);
    assert_true(count >= 0);
    list[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            strcat(list, entries[i]->d_name);
            strcat(list, " ");
        }
        free(entries[i]);
    }
    free(entries);
    return list;
}

static unsigned each_segment_aside(bool remove)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "/dev/shm%s.2*Z*", segment_name());
    unsigned count = 0;
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        count += strstr(found.gl_pathv[i], ".stats") == NULL;
        if (remove)
            unlink(found.gl_pathv[i]);
    }
    globfree(&found);
    return count;
}

unsigned kit_segments_aside(void)
{
    return each_segment_aside(false);
}

int kit_remove(void **state)
{
    struct dirent **entries;
    int count = scandir(kit_folder, &entries, NULL, NULL);
    for (int i = 0; i < count; i++) {
        unlink(kit_path(entries[i]->d_name));
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    rmdir(kit_folder);
    (void)each_segment_aside(true);
    return segment_teardown(state);
}

const char *kit_data_file(void)
{
    return kit_path("users.db");
}

static struct data_row make_row(uint64_t seq, uint64_t version)
{
    static uint8_t body[80];
    struct data_row row = {.seq = seq, .version = version, .body = body, .body_len = sizeof(body)};
    memset(body, (int)(seq & 0x7f), sizeof(body));
    memcpy(row.id, &seq, sizeof(seq));
    return row;
}

static void kit_done(enum data_result result, const struct fault *fault)
{
    if (result != DATA_OK)
        fail_msg("%s", fault->text);
}

void kit_write(const char *path, uint8_t store, uint64_t users, uint64_t version)
{
    struct data_rewrite *rewrite;
    struct fault fault;
    struct data_meta meta = {.version = version, .seq = users};
    memset(meta.store, store, sizeof(meta.store));
    kit_done(data_rewrite_begin(&rewrite, path, &meta, &fault), &fault);
    for (uint64_t seq = 1; seq <= users; seq++) {
        struct data_row row = make_row(seq, 1);
        kit_done(data_rewrite_put(rewrite, &row, &fault), &fault);
    }
    kit_done(data_rewrite_finish(rewrite, &fault), &fault);
}

struct data_meta kit_read(const char *path)
{
    struct data_rows *rows;
    struct data_row row;
    struct data_meta meta;
    struct fault fault;
    kit_done(data_rows_open(&rows, path, &meta, &fault), &fault);
    enum data_result result;
    while ((result = data_rows_next(rows, &row, &fault)) == DATA_OK)
        assert_int_equal(row.body[0], row.seq & 0x7f);
    if (result != DATA_NONE)
        fail_msg("%s", fault.text);
    data_rows_close(rows);
    return meta;
}

void kit_commit(const char *path)
{
    struct data_file *file;
    struct data_meta meta;
    struct fault fault;
    kit_done(data_file_open(&file, path, DATA_SYNC_FULL, &meta, &fault), &fault);
    struct data_row row = make_row(meta.seq + 1, meta.version + 1);
    kit_done(data_file_begin(file, &fault), &fault);
    kit_done(data_file_put(file, &row, &fault), &fault);
    kit_done(data_file_commit(file, meta.version + 1, meta.seq + 1, &fault), &fault);
    data_file_close(file, false);
}

void kit_damage(const char *path)
{
    struct stat st;
    unsigned char byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    off_t at = st.st_size / 2 / 4096 * 4096 + 4000; /* rows fill a page from its end */
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

struct shm_store *kit_segment(uint8_t store)
{
    uint8_t id[SHM_STORE_ID_SIZE];
    memset(id, store, sizeof(id));
    const struct shm_config config = {.size = UINT64_C(1) << 30,
                                      .max_users = 20000,
                                      .data_file = kit_data_file(),
                                      .store_id = id};
    struct shm_store *opened = segment_open_as(config);
    segment_insert_three(opened);
    return opened;
}
