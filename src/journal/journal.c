/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/param.h>
#include <time.h>

#include "base/clock.h"
#include "journal/journal_state.h"
#include "journal/journal_trouble.h"
#include "journal/journal_write.h"

enum {
    UNPUBLISHED_MS = 20, /* between two tries to publish */
    /* When the journal ends: */
    BUSY_MS = 50,     /* between two tries of what is locked or in use */
    LOCKED_MS = 3000, /* so long it is tried again */
};

/* ---- turns ---- */

/* Writes what there is. Sets *idle if there is nothing. */
static enum data_result write_news(struct journal *journal, bool *idle, struct fault *fault)
{
    *idle = false;
    if (journal->compare_due)
        return journal_compare_file(journal, fault);
    /* First, or news that come all the time, or find no room, would put it off. */
    if (clock_monotonic_ms() >= journal->sync_at) {
        enum data_result result = journal_sync(journal, fault);
        if (result != DATA_OK)
            return result;
    }
    uint64_t newest = shm_newest(journal->config.store);
    if (newest != journal->written)
        return journal_write_window(journal, newest, fault);
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
        result = journal_replace_file(journal, fault);
    } else if (journal->file == NULL) {
        result = journal_open_file(journal, &foreign, fault);
        if (foreign) {
            journal_give_up_disk(journal, fault);
            return DATA_OK;
        }
    } else {
        result = write_news(journal, idle, fault);
        if (result == DATA_OK)
            journal_leave_trouble(journal);
        if (result == DATA_OK && !*idle)
            result = shorten_log(journal, fault);
    }
    return result;
}

/* Clients that wait for their answers send their next calls soon after. Waking this process from
 * its sleep would take it as long as a fast disk takes for a sync. So behind a window that left
 * nothing the journal looks for the next commit for twice as long as the last one took, and then
 * sleeps.
 * @return whether there is one */
static bool poll_for_commit(struct journal *journal, uint64_t after)
{
    enum { HOLDOFF = 16 }; /* polls that are left out behind one in vain */
    uint64_t until = clock_monotonic_ns() + journal->poll_ns;
    bool polls = journal->poll_ns != 0 && journal->poll_holdoff == 0;
    if (journal->poll_ns != 0 && journal->poll_holdoff != 0)
        journal->poll_holdoff--;
    journal->poll_ns = 0;
    while (polls && clock_monotonic_ns() < until) {
        if (shm_newest(journal->config.store) != after)
            return true;
        sched_yield(); /* others may need the CPU */
    }
    if (polls)
        journal->poll_holdoff = HOLDOFF;
    return false;
}

static void sleep_for(struct journal *journal, uint64_t after, uint64_t ms)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t until_sync = journal->sync_at > now ? journal->sync_at - now : 0;
    if (!poll_for_commit(journal, after))
        shm_disk_sleep(journal->config.actor, after, MIN(ms, until_sync));
}

void journal_turn(struct journal *journal, uint64_t wait_ms)
{
    struct fault fault;
    bool idle = false, rewriting = journal->rewrite_due;
    uint64_t now = clock_monotonic_ms();
    journal_note_alive(journal);
    if (journal->state == SHM_DISK_FAILED || now < journal->retry_at) {
        uint64_t pause = journal->state == SHM_DISK_FAILED ? wait_ms : journal->retry_at - now;
        shm_disk_sleep(journal->config.actor, UINT64_MAX, MIN(wait_ms, pause));
        return;
    }
    if (!journal_publish(journal)) {
        shm_disk_sleep(journal->config.actor, UINT64_MAX, MIN(wait_ms, UNPUBLISHED_MS));
        return;
    }
    enum data_result result = turn_once(journal, &idle, &fault);
    if (result != DATA_OK)
        journal_handle_trouble(journal, result, rewriting, &fault);
    else if (idle)
        sleep_for(journal, journal->written, wait_ms);
}

/* One step to a file that has all up to the target. Sets *settled behind the last one. */
static enum data_result settle_once(struct journal *journal, uint64_t target, bool *settled,
                                    struct fault *fault)
{
    bool idle;
    if (journal->file == NULL || journal->compare_due || journal->rewrite_due ||
        journal->written < target)
        return turn_once(journal, &idle, fault);
    enum data_result result =
        journal->config.durability != JOURNAL_SYNC ? journal_sync(journal, fault) : DATA_OK;
    *settled = result == DATA_OK;
    return result;
}

bool journal_settle(struct journal *journal, struct fault *fault)
{
    enum { FILES = 3 }; /* new ones that are begun, each because the one before has failed */
    uint64_t target = shm_newest(journal->config.store);
    uint64_t until = clock_monotonic_ms() + LOCKED_MS;
    unsigned failed = 0;
    for (bool settled = false; !settled;) {
        bool rewriting = journal->rewrite_due;
        if (journal->state == SHM_DISK_FAILED)
            return fault_set(fault, "data-file %s: it has failed", journal->config.path);
        journal_note_alive(journal);
        enum data_result result = settle_once(journal, target, &settled, fault);
        if (result == DATA_OK)
            continue;
        /* A file that has failed gets no more writes: the next turn writes a new one. */
        journal_handle_trouble(journal, result, rewriting || failed == FILES, fault);
        if (result == DATA_BUSY && clock_monotonic_ms() < until)
            nanosleep(&(struct timespec){.tv_nsec = BUSY_MS * 1000000L}, NULL);
        else if (result == DATA_BUSY || rewriting || !journal->rewrite_due || failed++ == FILES)
            return false;
    }
    journal_leave_trouble(journal);
    return journal_publish(journal) || fault_set(fault, "the last commit cannot be published");
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
    journal->troubled_at = info.since_ms;
    return journal;
}

bool journal_open(struct journal **out, const struct journal_config *config, struct fault *fault)
{
    bool foreign;
    struct journal *journal = new_journal(config, fault);
    if (journal == NULL)
        return false;
    enum data_result result = journal_open_file(journal, &foreign, fault);
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
    journal->rewrite_due = shm_disk_is_replaced(&info);
    if (journal->rewrite_due && info.state == SHM_DISK_STOPPED) {
        journal->state = SHM_DISK_REWRITING;
        shm_disk_set_state(config->store, SHM_DISK_REWRITING, EIO);
    }
    *out = journal;
    return true;
}

void journal_close(struct journal *journal, bool checkpoint)
{
    if (journal == NULL)
        return;
    shm_actor_offline(journal->config.actor);
    if (data_file_close(journal->file, checkpoint) == DATA_FAILED)
        journal_note_bad_end(journal);
    free(journal);
}
