/* SPDX-License-Identifier: MIT */
#include "journal/journal_write.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "base/clock.h"
#include "journal/journal_copy.h"
#include "journal/journal_trouble.h"

enum {
    ALIVE_CHANGES = 1024, /* between two signs of life in a transaction */
    WINDOW_MAX = 4096,    /* changes, from which on a window takes in no more, so that it ends */
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
    if (change->kind == SHM_DELETED) {
        struct data_deleted deleted = {.seq = change->seq, .version = change->version};
        memcpy(deleted.id, change->id, sizeof(deleted.id));
        enum data_result result = data_file_delete(journal->file, change->seq, fault);
        return result == DATA_OK ? data_file_note_deleted(journal->file, &deleted, fault) : result;
    }
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

/* Writes the changes behind the follower, up to `version`. @return DATA_NONE: the feed does not
 * have them all */
static enum data_result write_up_to(struct journal *journal, struct shm_follower *follower,
                                    uint64_t version, struct fault *fault)
{
    struct shm_change change;
    enum data_result result = DATA_OK;
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

/* Between two looks for more. A sleep takes longer than many a disk needs for a sync. */
static void pause_shortly(const struct journal *journal)
{
    enum { SLEEP_MIN_NS = 20000, SLEEP_MAX_NS = 1000000 };
    uint64_t ns = gather_look_ns(&journal->gather);
    if (ns < SLEEP_MIN_NS && journal->config.poll_us != 0) {
        sched_yield(); /* others may need the CPU */
        return;
    }
    ns = MAX(MIN(ns, (uint64_t)SLEEP_MAX_NS), (uint64_t)SLEEP_MIN_NS);
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Waits for changes behind `*version`, if that is worth it. @return whether there are any; then
 * `*version` is the newest commit */
static bool more_come(struct journal *journal, const struct shm_follower *follower,
                      uint64_t *version)
{
    uint64_t changes = follower->next - journal->follower.next;
    if (journal->config.durability != JOURNAL_SYNC || changes >= WINDOW_MAX)
        return false;
    shm_actor_offline(journal->config.actor);
    for (;;) {
        uint64_t newest = shm_newest(journal->config.store);
        if (newest != *version) {
            *version = newest;
            return true;
        }
        if (!gather_wants_more(&journal->gather, changes, clock_monotonic_ns()))
            return false;
        pause_shortly(journal);
    }
}

/* Writes all that there is into the file's open transaction. Sets `*version` to the last commit of
 * it. */
static enum data_result write_changes(struct journal *journal, struct shm_follower *follower,
                                      struct journal_requests *requests, uint64_t *version,
                                      struct fault *fault)
{
    enum data_result result = data_file_begin(journal->file, fault);
    if (result != DATA_OK)
        return result;
    do
        result = write_up_to(journal, follower, *version, fault);
    while (result == DATA_OK && more_come(journal, follower, version));
    if (result == DATA_OK)
        result =
            journal_requests_write(requests, journal->config.store, journal->file, *version, fault);
    return result;
}

/* Changes that are committed and not published. */
static uint64_t changes_behind(const struct journal *journal)
{
    struct shm_disk_info info;
    shm_disk_info(journal->config.store, &info);
    return info.behind;
}

enum data_result journal_write_window(struct journal *journal, uint64_t version,
                                      struct fault *fault)
{
    struct shm_follower follower = journal->follower;
    struct journal_requests requests = journal->requests;
    gather_begin_window(&journal->gather);
    enum data_result result = write_changes(journal, &follower, &requests, &version, fault);
    shm_actor_offline(journal->config.actor);
    uint64_t begin = clock_monotonic_ns();
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
    const struct spacing_window window = {.changes = follower.next - journal->follower.next,
                                          .commit_at_ns = begin,
                                          .commit_ns = clock_monotonic_ns() - begin};
    journal->follower = follower;
    journal->requests = requests;
    journal->written = version;
    result = after_commit(journal, fault);
    uint64_t pending = changes_behind(journal);
    gather_note_window(&journal->gather, &window, pending);
    uint64_t most = journal->config.poll_us * 1000;
    if (pending == 0 && window.commit_ns <= most && !journal->gather.spacing.apart)
        journal->poll_ns = MIN(2 * window.commit_ns, most);
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
    journal_requests_begin(&journal->requests, journal->config.store, version);
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
