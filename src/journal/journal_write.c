/* SPDX-License-Identifier: MIT */
#include "journal/journal_write.h"

#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "base/clock.h"
#include "journal/journal_copy.h"
#include "journal/journal_trouble.h"

enum {
    ALIVE_CHANGES = 1024, /* between two signs of life in a transaction */
    UNSYNCED_MAX = 2048, /* changes that wait for the interval's end; far less than may be behind */
};

void journal_note_alive(const struct journal *journal)
{
    if (journal->config.alive != NULL)
        journal->config.alive(journal->config.data);
}

/* ---- publishing ---- */

bool journal_publish(struct journal *journal)
{
    const struct journal_config *config = &journal->config;
    if (!journal->unpublished)
        return true;
    int rc = shm_publish(config->actor, &journal->durable);
    if (rc != SHM_OK) {
        char text[160];
        snprintf(text, sizeof(text), "a commit that is on disk cannot be published yet: %s",
                 shm_strerror(rc));
        journal_note_passing(journal, text);
        return false;
    }
    journal->unpublished = false;
    if (config->woken != NULL)
        shm_waiters(config->store, config->woken, config->data);
    return true;
}

/* Takes over what the file has now. */
static void note_durable(struct journal *journal)
{
    journal->durable = (struct shm_durable){
        .version = journal->written,
        .feed = journal->follower.next,
        .users = data_file_count(journal->file),
    };
    journal->unpublished = true;
}

enum data_result journal_sync(struct journal *journal, struct fault *fault)
{
    enum data_result result = data_file_sync(journal->file, fault);
    if (result != DATA_OK)
        return result;
    journal->synced_feed = journal->follower.next;
    journal->sync_at = CLOCK_NEVER_MS;
    if (journal->config.durability == JOURNAL_INTERVAL)
        note_durable(journal);
    (void)journal_publish(journal);
    return DATA_OK;
}

/* After a commit to the file. */
static enum data_result after_commit(struct journal *journal, struct fault *fault)
{
    const struct journal_config *config = &journal->config;
    if (config->durability != JOURNAL_INTERVAL) {
        note_durable(journal);
        (void)journal_publish(journal);
        return DATA_OK;
    }
    if (journal->sync_at == CLOCK_NEVER_MS)
        journal->sync_at = clock_monotonic_ms() + config->interval_ms;
    return journal->follower.next - journal->synced_feed >= UNSYNCED_MAX
               ? journal_sync(journal, fault)
               : DATA_OK;
}

/* ---- the feed ---- */

/* A change that a later one of the same window replaces finds another body, or none: that later
 * change writes it. */
static enum data_result write_change(struct journal *journal, const struct shm_change *change,
                                     uint64_t version, struct fault *fault)
{
    struct shm_user user;
    if (change->kind == SHM_DELETED)
        return data_file_delete(journal->file, change->seq, fault);
    if (shm_user_find_at(journal->config.actor, change->id, version, &user) != SHM_OK ||
        user.seq != change->seq || user.version != change->version)
        return DATA_OK;
    const struct data_row row = journal_row(&user);
    return data_file_put(journal->file, &row, fault);
}

/* The actor may go offline in the midst of a window: from the last shm_publish() on, the store
 * keeps what shm_user_find_at() asks for. */
static void show_life(const struct journal *journal)
{
    shm_actor_offline(journal->config.actor);
    journal_note_alive(journal);
}

/* Writes the changes up to `version`. @return DATA_NONE: the feed does not have them all */
static enum data_result write_changes(struct journal *journal, struct shm_follower *follower,
                                      uint64_t version, struct fault *fault)
{
    struct shm_change change;
    enum data_result result = data_file_begin(journal->file, fault);
    for (unsigned n = 1; result == DATA_OK; n++) {
        int rc = shm_feed_next_until(follower, version, &change);
        if (rc == SHM_ENOENT)
            return DATA_OK;
        result = rc == SHM_OK ? write_change(journal, &change, version, fault) : DATA_NONE;
        if (n % ALIVE_CHANGES == 0)
            show_life(journal);
    }
    return result;
}

/* Changes that are committed and not published. */
static uint64_t changes_behind(const struct journal *journal)
{
    struct shm_disk_info info;
    shm_disk_info(journal->config.store, &info);
    return info.behind;
}

void journal_gather(struct journal *journal)
{
    enum { LOOKS = 8 };
    struct gather *gather = &journal->gather;
    if (journal->config.durability != JOURNAL_SYNC)
        return;
    uint64_t pending = changes_behind(journal);
    uint64_t wait_ns = gather_begin(gather, pending);
    if (wait_ns == 0)
        return;
    const struct timespec pause = {.tv_nsec = (long)(wait_ns / LOOKS)};
    uint64_t until = clock_monotonic_ns() + wait_ns;
    while (!gather_reached(gather, pending) && clock_monotonic_ns() < until) {
        nanosleep(&pause, NULL);
        pending = changes_behind(journal);
    }
    gather_end(gather, pending);
}

enum data_result journal_write_window(struct journal *journal, uint64_t version,
                                      struct fault *fault)
{
    struct shm_follower follower = journal->follower;
    uint64_t begin = clock_monotonic_ns();
    enum data_result result = write_changes(journal, &follower, version, fault);
    shm_actor_offline(journal->config.actor);
#ifdef JOURNAL_MUTANT_EARLY_PUBLISH
    journal->durable = (struct shm_durable){version, follower.next, data_file_count(journal->file)};
    journal->unpublished = true;
    (void)journal_publish(journal);
#endif
    if (result == DATA_OK)
        result =
            data_file_commit(journal->file, version, shm_last_seq(journal->config.store), fault);
    if (result == DATA_NONE) {
        data_file_rollback(journal->file);
        journal->compare_due = true;
        return DATA_OK;
    }
    if (result != DATA_OK)
        return result;
    uint64_t changes = follower.next - journal->follower.next;
    uint64_t took = clock_monotonic_ns() - begin;
    journal->follower = follower;
    journal->written = version;
    result = after_commit(journal, fault);
    uint64_t pending = changes_behind(journal);
    gather_note_window(&journal->gather, changes, pending, took);
    if (changes == 1 && pending == 0)
        journal->poll_ns = MIN(took, journal->config.poll_us * 1000);
    return result;
}

/* ---- the whole table ---- */

static void log_full_copy(const struct journal *journal, const char *what)
{
    journal_note_line(journal, JOURNAL_SAYS, "data-file %s: %s %llu users, as of commit %llu",
                      journal->config.path, what,
                      (unsigned long long)data_file_count(journal->file),
                      (unsigned long long)journal->written);
}

/* The file is at `version`, which is on disk. */
static void continue_from(struct journal *journal, uint64_t version)
{
    int rc = shm_feed_follow(journal->config.actor, &journal->follower, version);
    journal->written = version;
    journal->compare_due = rc != SHM_OK;
    if (rc != SHM_OK)
        return;
    journal->synced_feed = journal->follower.next;
    journal->sync_at = CLOCK_NEVER_MS;
    note_durable(journal);
    (void)journal_publish(journal);
}

enum data_result journal_compare_file(struct journal *journal, struct fault *fault)
{
    uint64_t version;
    enum data_result result = journal_compare(&journal->config, journal->file, &version, fault);
    if (result == DATA_OK && journal->config.durability != JOURNAL_SYNC)
        result = data_file_sync(journal->file, fault);
    if (result != DATA_OK)
        return result;
    continue_from(journal, version);
    log_full_copy(journal, "compared with the segment: it has its");
    return DATA_OK;
}

static enum data_sync sync_of(enum journal_durability durability)
{
#ifdef JOURNAL_MUTANT_NO_SYNC
    return DATA_SYNC_OFF;
#endif
    return durability == JOURNAL_SYNC ? DATA_SYNC_FULL : DATA_SYNC_OFF;
}

/* Whether the file is this table's, and not ahead of it. */
static bool fits_table(const struct journal *journal, const struct data_meta *meta,
                       struct fault *fault)
{
    uint8_t id[SHM_STORE_ID_SIZE];
    const struct journal_config *config = &journal->config;
    shm_store_id(config->store, id);
    if (memcmp(meta->store, id, sizeof(id)) != 0)
        return fault_set(fault, "data-file %s: it has another table's users", config->path);
    uint64_t newest = shm_newest(config->store);
    return meta->version <= newest ||
           fault_set(fault, "data-file %s: it is at commit %llu, ahead of the segment's %llu",
                     config->path, (unsigned long long)meta->version, (unsigned long long)newest);
}

enum data_result journal_open_file(struct journal *journal, bool *foreign, struct fault *fault)
{
    struct data_meta meta;
    const struct journal_config *config = &journal->config;
    *foreign = false;
    enum data_result result =
        data_file_open(&journal->file, config->path, sync_of(config->durability), &meta, fault);
    if (result != DATA_OK) {
        journal->file = NULL;
        return result;
    }
    if (!fits_table(journal, &meta, fault)) {
        data_file_close(journal->file, false);
        journal->file = NULL;
        *foreign = true;
        return DATA_INVALID;
    }
    continue_from(journal, meta.version);
    return DATA_OK;
}

enum data_result journal_replace_file(struct journal *journal, struct fault *fault)
{
    uint64_t version;
    bool foreign;
    enum data_result result = journal_rewrite(&journal->config, &version, fault);
    if (result == DATA_OK)
        result = journal_open_file(journal, &foreign, fault);
    if (result != DATA_OK)
        return result;
    journal->rewrite_due = false;
    journal_leave_trouble(journal);
    log_full_copy(journal, "a new file has all");
    return DATA_OK;
}
