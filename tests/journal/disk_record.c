/* SPDX-License-Identifier: MIT */
#include "tests/journal/disk_record.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECTOR = 512, FILES_MAX = 64, NAMES_MAX = 12, NAME_SIZE = 32, STEPS_MAX = 8000 };

enum step_kind {
    WRITTEN,
    TRUNCATED,
    SYNCED,
    SYNC_FAILED,
    LINKED,
    UNLINKED,
    RENAMED,
    FOLDER_SYNCED,
    ACKNOWLEDGED
};

struct step {
    enum step_kind kind;
    int file;                            /* as if it were an inode */
    char name[NAME_SIZE], to[NAME_SIZE]; /* of changes of names */
    uint64_t offset;                     /* or the size, or the version */
    size_t len;
    uint8_t *data;
};

/* A directory: names and the files that they lead to. */
struct folder {
    int count;
    struct {
        char name[NAME_SIZE];
        int file;
    } entries[NAMES_MAX];
};

static struct step steps[STEPS_MAX];
static size_t step_count;
static struct folder current;
static int file_count;
static bool recording;

void record_begin(void)
{
    for (size_t i = 0; i < step_count; i++)
        free(steps[i].data);
    memset(steps, 0, sizeof(steps));
    memset(&current, 0, sizeof(current));
    step_count = 0;
    file_count = 0;
    recording = true;
}

void record_end(void)
{
    recording = false;
}

size_t record_steps(void)
{
    return step_count;
}

static struct step *add_step(enum step_kind kind, int file)
{
    assert_true(step_count < STEPS_MAX);
    struct step *step = &steps[step_count++];
    step->kind = kind;
    step->file = file;
    return step;
}

static int find_name(const struct folder *folder, const char *name)
{
    for (int i = 0; i < folder->count; i++)
        if (strcmp(folder->entries[i].name, name) == 0)
            return i;
    return -1;
}

static void remove_name(struct folder *folder, const char *name)
{
    int i = find_name(folder, name);
    if (i >= 0)
        folder->entries[i] = folder->entries[--folder->count];
}

static void set_name(struct folder *folder, const char *name, int file)
{
    remove_name(folder, name);
    assert_true(folder->count < NAMES_MAX);
    snprintf(folder->entries[folder->count].name, NAME_SIZE, "%s", name);
    folder->entries[folder->count++].file = file;
}

static void change_names(struct folder *folder, const struct step *step)
{
    if (step->kind == LINKED) {
        set_name(folder, step->name, step->file);
    } else if (step->kind == UNLINKED) {
        remove_name(folder, step->name);
    } else if (step->kind == RENAMED) {
        int i = find_name(folder, step->name);
        if (i < 0)
            return; /* the file never got this name on the disk */
        int file = folder->entries[i].file;
        remove_name(folder, step->name);
        set_name(folder, step->to, file);
    }
}

static void add_name_step(enum step_kind kind, int file, const char *name, const char *to)
{
    struct step *step = add_step(kind, file);
    snprintf(step->name, NAME_SIZE, "%s", name);
    snprintf(step->to, NAME_SIZE, "%s", to);
    change_names(&current, step);
}

static int file_of_name(const char *name)
{
    int i = find_name(&current, name);
    assert_true(i >= 0);
    return current.entries[i].file;
}

void record_open(const char *name)
{
    if (recording && find_name(&current, name) < 0) {
        assert_true(file_count < FILES_MAX);
        add_name_step(LINKED, file_count++, name, "");
    }
}

void record_write(const char *name, const void *data, size_t len, uint64_t offset)
{
    if (!recording)
        return;
    struct step *step = add_step(WRITTEN, file_of_name(name));
    step->data = malloc(len);
    assert_non_null(step->data);
    memcpy(step->data, data, len);
    step->len = len;
    step->offset = offset;
}

void record_truncate(const char *name, uint64_t size)
{
    if (recording)
        add_step(TRUNCATED, file_of_name(name))->offset = size;
}

void record_sync(const char *name)
{
    if (recording)
        add_step(SYNCED, file_of_name(name));
}

void record_failed_sync(const char *name)
{
    if (recording)
        add_step(SYNC_FAILED, file_of_name(name));
}

void record_unlink(const char *name)
{
    if (recording)
        add_name_step(UNLINKED, 0, name, "");
}

void record_rename(const char *from, const char *to)
{
    if (recording)
        add_name_step(RENAMED, 0, from, to);
}

void record_sync_folder(void)
{
    if (recording)
        add_step(FOLDER_SYNCED, 0);
}

void record_acknowledged(uint64_t version)
{
    if (recording)
        add_step(ACKNOWLEDGED, 0)->offset = version;
}

bool record_acknowledged_in(size_t count, uint64_t *version)
{
    while (count-- > 0) {
        if (steps[count].kind == ACKNOWLEDGED) {
            *version = steps[count].offset;
            return true;
        }
    }
    return false;
}

static uint64_t random_state;
static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* @return whether something that was not synced is there */
static bool is_kept(enum record_loss loss, unsigned percent)
{
    if (loss != RECORD_DROPS_SOME)
        return loss == RECORD_KEEPS_ALL;
    return next_random() % 100 < percent;
}

/* @return the steps up to the last sync of the directory */
static size_t steps_until_folder_sync(size_t count)
{
    while (count > 0 && steps[count - 1].kind != FOLDER_SYNCED)
        count--;
    return count;
}

static bool changes_names(const struct step *step)
{
    return step->kind == LINKED || step->kind == UNLINKED || step->kind == RENAMED;
}

bool record_has_unsynced_names(size_t count)
{
    for (size_t i = steps_until_folder_sync(count); i < count; i++)
        if (changes_names(&steps[i]))
            return true;
    return false;
}

static struct folder rebuild_names(size_t count, enum record_loss loss, unsigned percent)
{
    struct folder folder = {0};
    size_t safe = steps_until_folder_sync(count);
    for (size_t i = 0; i < count; i++) {
        if (changes_names(&steps[i]) && (i < safe || is_kept(loss, percent)))
            change_names(&folder, &steps[i]);
    }
    return folder;
}

static void write_at(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
    assert_int_equal(pwrite(fd, data, len, (off_t)offset), len);
}

/* The sectors of a write that was not synced. A file may have grown without having its bytes. */
static void write_sectors(int fd, const struct step *step, enum record_loss loss, unsigned percent)
{
    for (size_t done = 0, len; done < step->len; done += len) {
        len = MIN(SECTOR - (step->offset + done) % SECTOR, step->len - done);
        if (is_kept(loss, percent))
            write_at(fd, step->data + done, len, step->offset + done);
    }
    off_t end = (off_t)(step->offset + step->len);
    if (loss == RECORD_DROPS_SOME && next_random() % 8 == 0 && lseek(fd, 0, SEEK_END) < end)
        assert_int_equal(ftruncate(fd, end), 0);
}

/* @return whether the first sync after step i was successful */
static bool is_synced(size_t i, size_t count)
{
    for (size_t later = i + 1; later < count; later++)
        if (steps[later].file == steps[i].file &&
            (steps[later].kind == SYNCED || steps[later].kind == SYNC_FAILED))
            return steps[later].kind == SYNCED;
    return false;
}

static void rebuild_file(int file, size_t count, enum record_loss loss, unsigned percent,
                         const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < count; i++) {
        const struct step *step = &steps[i];
        if (step->file != file)
            continue;
        if (step->kind == WRITTEN && is_synced(i, count))
            write_at(fd, step->data, step->len, step->offset);
        else if (step->kind == WRITTEN)
            write_sectors(fd, step, loss, percent);
        else if (step->kind == TRUNCATED && (is_synced(i, count) || is_kept(loss, percent)))
            assert_int_equal(ftruncate(fd, (off_t)step->offset), 0);
    }
    close(fd);
}

void record_rebuild(size_t count, enum record_loss loss, uint64_t seed, const char *folder)
{
    static const unsigned percents[] = {10, 50, 90, 97};
    random_state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ count;
    for (int i = 0; i < 8; i++)
        next_random();
    unsigned percent = percents[next_random() % 4];
    struct folder names = rebuild_names(count, loss, percent);
    for (int i = 0; i < names.count; i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", folder, names.entries[i].name);
        rebuild_file(names.entries[i].file, count, loss, percent, path);
    }
}
