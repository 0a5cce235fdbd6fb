/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/clock.h"
#include "journal/data_file.h"
#include "journal/journal_copy.h"

enum {
    RETRY_FULL_MS = 1000,
    RETRY_BUSY_MS = 50,
    SAY_AGAIN_MS = 30000, /* between two notes about the same trouble */
    ALIVE_CHANGES = 1024, /* between two signs of life in a transaction */
    UNSYNCED_MAX = 2048,  /* changes that wait for the interval's end; far less than may be behind */
};

struct journal {
    struct journal_config config;
    struct data_file *file;       /* NULL: to be opened, or rewritten */
    bool rewrite_due;             /* the file has failed, or there is none */
    bool compare_due;             /* the feed does not have all that the file lacks */
    struct shm_follower follower; /* after `written` */
    uint64_t written;             /* the last commit in the file */
    uint64_t synced_feed;         /* follower.next at the last sync */
    uint64_t sync_at;             /* ms: when the interval ends */
    struct shm_durable durable;   /* to be published, or published */
    bool unpublished;
    enum shm_disk_state state;
    uint64_t troubled_at; /* ms: when the state became worse */
    uint64_t retry_at;    /* ms: nothing is tried before */
    uint64_t say_at;      /* ms: a passing trouble is not noted again before */
};

/* ---- what others learn ---- */

static __attribute__((format(printf, 3, 4))) void
note_line(const struct journal *journal, enum journal_note kind, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (journal->config.note == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    journal->config.note(journal->config.data, kind, text);
}

/* For troubles that pass and may be met many times a second. */
static void note_passing(struct journal *journal, const char *text, uint64_t now)
{
    if (now < journal->say_at)
        return;
    journal->say_at = now + SAY_AGAIN_MS;
    note_line(journal, JOURNAL_WARNS, "%s; writes wait for it", text);
}

static void note_alive(const struct journal *journal)
{
    if (journal->config.alive != NULL)
        journal->config.alive(journal->config.data);
}

static void set_state(struct journal *journal, enum shm_disk_state state, int error, uint64_t now)
{
    if (journal->state == SHM_DISK_OK)
        journal->troubled_at = now;
    journal->state = state;
    shm_disk_set_state(journal->config.store, state, error);
}

/* ---- publishing ---- */

/* A failure leaves it for the next turn. */
static bool publish_durable(struct journal *journal)
{
    const struct journal_config *config = &journal->config;
    if (!journal->unpublished)
        return true;
    int rc = shm_publish(config->actor, &journal->durable);
    if (rc != SHM_OK) {
        char text[160];
        snprintf(text, sizeof(text), "a commit that is on disk cannot be published yet: %s",
                 shm_strerror(rc));
        note_passing(journal, text, clock_monotonic_ms());
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

static enum data_result sync_file(struct journal *journal, struct fault *fault)
{
    enum data_result result = data_file_sync(journal->file, fault);
    if (result != DATA_OK)
        return result;
    journal->synced_feed = journal->follower.next;
    journal->sync_at = CLOCK_NEVER_MS;
    if (journal->config.durability == JOURNAL_INTERVAL)
        note_durable(journal);
    (void)publish_durable(journal);
    return DATA_OK;
}

/* After a commit to the file. */
static enum data_result after_commit(struct journal *journal, struct fault *fault)
{
    const struct journal_config *config = &journal->config;
    if (config->durability != JOURNAL_INTERVAL) {
        note_durable(journal);
        (void)publish_durable(journal);
        return DATA_OK;
    }
    if (journal->sync_at == CLOCK_NEVER_MS)
        journal->sync_at = clock_monotonic_ms() + config->interval_ms;
    return journal->follower.next - journal->synced_feed >= UNSYNCED_MAX ? sync_file(journal, fault)
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

/* Where readers go by what is published, the store keeps all bodies from there on. Otherwise only
 * the online section in which `version` was loaded keeps them: it must not end in the midst. */
static void show_life(const struct journal *journal)
{
    if (journal->config.durability == JOURNAL_SYNC)
        shm_actor_offline(journal->config.actor);
    note_alive(journal);
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

static enum data_result write_window(struct journal *journal, uint64_t version, struct fault *fault)
{
    struct shm_follower follower = journal->follower;
    enum data_result result = write_changes(journal, &follower, version, fault);
    shm_actor_offline(journal->config.actor);
    if (result == DATA_OK)
        result = data_file_commit(journal->file, version, shm_last_seq(journal->config.store),
                                  fault);
    if (result == DATA_NONE) {
        data_file_rollback(journal->file);
        journal->compare_due = true;
        return DATA_OK;
    }
    if (result != DATA_OK)
        return result;
    journal->follower = follower;
    journal->written = version;
    return after_commit(journal, fault);
}

/* ---- the whole table ---- */

static void log_full_copy(const struct journal *journal, const char *what)
{
    note_line(journal, JOURNAL_SAYS, "data-file %s: %s %llu users, as of commit %llu",
              journal->config.path, what, (unsigned long long)data_file_count(journal->file),
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
    (void)publish_durable(journal);
}

static enum data_result compare_file(struct journal *journal, struct fault *fault)
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

/* @param foreign set if the file is another table's, which is not to be touched */
static enum data_result open_data(struct journal *journal, bool *foreign, struct fault *fault)
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

/* ---- trouble ---- */

static void give_up_disk(struct journal *journal, const struct fault *fault, uint64_t now)
{
    note_line(journal, JOURNAL_ERRORS,
              "%s; until the server starts again nothing is written, and reads go on", fault->text);
    set_state(journal, SHM_DISK_FAILED, EIO, now);
}

/* A file that is gone, or of which a write's outcome is unknown, gets no more writes. */
static void abandon_file(struct journal *journal, const struct fault *fault, uint64_t now)
{
    note_line(journal, JOURNAL_ERRORS,
              "%s; whether the last writes are in the file is unknown, so a new file is written "
              "from the segment",
              fault->text);
    data_file_close(journal->file, false);
    journal->file = NULL;
    journal->rewrite_due = true;
    set_state(journal, SHM_DISK_REWRITING, EIO, now);
}

static void wait_for_space(struct journal *journal, const struct fault *fault, uint64_t now)
{
    if (journal->state != SHM_DISK_FULL)
        note_line(journal, JOURNAL_ERRORS, "%s; tried again each second, and writes wait for it",
                  fault->text);
    journal->retry_at = now + RETRY_FULL_MS;
    /* the error tells a process that resumes whether the file had failed before */
    set_state(journal, SHM_DISK_FULL, journal->rewrite_due ? EIO : ENOSPC, now);
}

static void handle_trouble(struct journal *journal, enum data_result result, bool rewriting,
                           const struct fault *fault)
{
    uint64_t now = clock_monotonic_ms();
    shm_actor_offline(journal->config.actor);
    if (result == DATA_FULL) {
        wait_for_space(journal, fault, now);
    } else if (result == DATA_BUSY) {
        journal->retry_at = now + RETRY_BUSY_MS;
        note_passing(journal, fault->text, now);
    } else if (rewriting) {
        give_up_disk(journal, fault, now);
    } else {
        abandon_file(journal, fault, now);
    }
}

static void leave_trouble(struct journal *journal)
{
    uint64_t now = clock_monotonic_ms();
    if (journal->state == SHM_DISK_OK)
        return;
    note_line(journal, JOURNAL_SAYS, "data-file %s: it is written again, after %llu ms",
              journal->config.path, (unsigned long long)(now - journal->troubled_at));
    set_state(journal, SHM_DISK_OK, 0, now);
}

/* ---- turns ---- */

/* Replaces the file. Until it is open again, another failure is final. */
static enum data_result replace_file(struct journal *journal, struct fault *fault)
{
    uint64_t version;
    bool foreign;
    enum data_result result = journal_rewrite(&journal->config, &version, fault);
    if (result == DATA_OK)
        result = open_data(journal, &foreign, fault);
    if (result != DATA_OK)
        return result;
    journal->rewrite_due = false;
    leave_trouble(journal);
    log_full_copy(journal, "a new file has all");
    return DATA_OK;
}

/* Writes what there is. Sets *idle if there is nothing. */
static enum data_result write_news(struct journal *journal, bool *idle, struct fault *fault)
{
    *idle = false;
    if (journal->compare_due)
        return compare_file(journal, fault);
    shm_actor_online(journal->config.actor); /* before the load: see show_life() */
    uint64_t newest = shm_newest(journal->config.store);
    if (newest != journal->written)
        return write_window(journal, newest, fault);
    shm_actor_offline(journal->config.actor);
    if (clock_monotonic_ms() >= journal->sync_at)
        return sync_file(journal, fault);
    *idle = true;
    return DATA_OK;
}

/* Whatever has no room, or is locked by a reader, is tried again later by itself. */
static enum data_result shorten_log(const struct journal *journal, struct fault *fault)
{
    enum data_result result = data_file_maintain(journal->file, fault);
    return result == DATA_FULL || result == DATA_BUSY ? DATA_OK : result;
}

static enum data_result turn_once(struct journal *journal, bool *idle, struct fault *fault)
{
    enum data_result result;
    bool foreign;
    *idle = false;
    if (journal->rewrite_due) {
        result = replace_file(journal, fault);
    } else if (journal->file == NULL) {
        result = open_data(journal, &foreign, fault);
        if (foreign) {
            give_up_disk(journal, fault, clock_monotonic_ms());
            return DATA_OK;
        }
    } else {
        result = write_news(journal, idle, fault);
        if (result == DATA_OK)
            leave_trouble(journal);
        if (result == DATA_OK && !*idle)
            result = shorten_log(journal, fault);
    }
    return result;
}

static void sleep_for(struct journal *journal, uint64_t after, uint64_t ms)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t until_sync = journal->sync_at > now ? journal->sync_at - now : 0;
    shm_disk_sleep(journal->config.actor, after, MIN(ms, until_sync));
}

void journal_turn(struct journal *journal, uint64_t wait_ms)
{
    struct fault fault;
    bool idle = false, rewriting = journal->rewrite_due;
    uint64_t now = clock_monotonic_ms();
    note_alive(journal);
    if (journal->state == SHM_DISK_FAILED || now < journal->retry_at) {
        uint64_t pause = journal->state == SHM_DISK_FAILED ? wait_ms : journal->retry_at - now;
        shm_disk_sleep(journal->config.actor, UINT64_MAX, MIN(wait_ms, pause));
        return;
    }
    if (!publish_durable(journal))
        return;
    enum data_result result = turn_once(journal, &idle, &fault);
    if (result != DATA_OK)
        handle_trouble(journal, result, rewriting, &fault);
    else if (idle)
        sleep_for(journal, journal->written, wait_ms);
}

bool journal_settle(struct journal *journal, struct fault *fault)
{
    uint64_t target = shm_newest(journal->config.store);
    bool idle;
    enum data_result result = DATA_OK;
    if (journal->state == SHM_DISK_FAILED)
        return fault_set(fault, "data-file %s: it has failed", journal->config.path);
    while (result == DATA_OK && (journal->file == NULL || journal->compare_due ||
                                 journal->rewrite_due || journal->written < target)) {
        note_alive(journal);
        result = turn_once(journal, &idle, fault);
        if (result == DATA_OK && journal->state == SHM_DISK_FAILED)
            return fault_set(fault, "data-file %s: it has failed", journal->config.path);
    }
    if (result == DATA_OK && journal->config.durability != JOURNAL_SYNC)
        result = sync_file(journal, fault);
    if (result == DATA_FULL)
        wait_for_space(journal, fault, clock_monotonic_ms());
    if (result != DATA_OK)
        return false;
    return publish_durable(journal) || fault_set(fault, "the last commit cannot be published");
}

/* ---- open and close ---- */

static struct journal *new_journal(const struct journal_config *config, struct fault *fault)
{
    struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    journal->config = *config;
    journal->sync_at = CLOCK_NEVER_MS;
    struct shm_disk_info info;
    shm_disk_info(config->store, &info);
    journal->state = info.state;
    journal->troubled_at = clock_monotonic_ms();
    return journal;
}

bool journal_open(struct journal **out, const struct journal_config *config, struct fault *fault)
{
    bool foreign;
    struct journal *journal = new_journal(config, fault);
    if (journal == NULL)
        return false;
    enum data_result result = open_data(journal, &foreign, fault);
    if (result == DATA_OK) {
        *out = journal;
        return true;
    }
    free(journal);
    return false;
}

bool journal_resume(struct journal **out, const struct journal_config *config, struct fault *fault)
{
    struct journal *journal = new_journal(config, fault);
    if (journal == NULL)
        return false;
    /* its predecessor died while it replaced the file, which has failed */
    struct shm_disk_info info;
    shm_disk_info(config->store, &info);
    journal->rewrite_due = info.state == SHM_DISK_REWRITING ||
                           (info.state == SHM_DISK_FULL && info.error == EIO);
    *out = journal;
    return true;
}

void journal_close(struct journal *journal, bool checkpoint)
{
    if (journal == NULL)
        return;
    shm_actor_offline(journal->config.actor);
    data_file_close(journal->file, checkpoint);
    free(journal);
}
