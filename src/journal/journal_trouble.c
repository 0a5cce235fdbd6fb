/* SPDX-License-Identifier: MIT */
#include "journal/journal_trouble.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

enum {
    RETRY_FULL_MS = 1000,
    RETRY_BUSY_MS = 50,
    SAY_AGAIN_MS = 30000, /* between two notes about the same trouble */
};

/* ---- what others learn ---- */

void journal_note_line(const struct journal *journal, enum journal_note kind, const char *format,
                       ...)
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
void journal_note_passing(struct journal *journal, const char *text)
{
    uint64_t now = clock_monotonic_ms();
    if (now < journal->say_at)
        return;
    journal->say_at = now + SAY_AGAIN_MS;
    journal_note_line(journal, JOURNAL_WARNS, "%s; writes wait for it", text);
}

static void set_state(struct journal *journal, enum shm_disk_state state, int error, uint64_t now)
{
    if (journal->state == SHM_DISK_OK)
        journal->troubled_at = now;
    journal->state = state;
    shm_disk_set_state(journal->config.store, state, error);
}

/* ---- trouble ---- */

void journal_give_up_disk(struct journal *journal, const struct fault *fault)
{
    journal_note_line(journal, JOURNAL_ERRORS,
                      "%s; until the server starts again nothing is written, and reads go on",
                      fault->text);
    set_state(journal, SHM_DISK_FAILED, EIO, clock_monotonic_ms());
}

/* A file that is gone, or of which a write's outcome is unknown, gets no more writes. */
static void abandon_file(struct journal *journal, const struct fault *fault)
{
    journal_note_line(
        journal, JOURNAL_ERRORS,
        "%s; whether the last writes are in the file is unknown, so a new file is written "
        "from the segment",
        fault->text);
    data_file_close(journal->file, false);
    journal->file = NULL;
    journal->rewrite_due = true;
    set_state(journal, SHM_DISK_REWRITING, EIO, clock_monotonic_ms());
}

void journal_note_bad_end(struct journal *journal)
{
    journal_note_line(
        journal, JOURNAL_ERRORS,
        "data-file %s: its log could not be moved into it when the journal ended, and "
        "stays beside it",
        journal->config.path);
    set_state(journal, SHM_DISK_REWRITING, EIO, clock_monotonic_ms());
}

static void wait_for_space(struct journal *journal, const struct fault *fault)
{
    uint64_t now = clock_monotonic_ms();
    if (journal->state != SHM_DISK_FULL)
        journal_note_line(journal, JOURNAL_ERRORS,
                          "%s; tried again each second, and writes wait for it", fault->text);
    journal->retry_at = now + RETRY_FULL_MS;
    /* the error tells a process that resumes whether the file had failed before */
    set_state(journal, SHM_DISK_FULL, journal->rewrite_due ? EIO : ENOSPC, now);
}

void journal_handle_trouble(struct journal *journal, enum data_result result, bool rewriting,
                            const struct fault *fault)
{
    shm_actor_offline(journal->config.actor);
#ifdef JOURNAL_MUTANT_RETRY_COMMIT
    if (result == DATA_FAILED)
        result = DATA_FULL;
#endif
    if (result == DATA_FULL) {
        wait_for_space(journal, fault);
    } else if (result == DATA_BUSY) {
        journal->retry_at = clock_monotonic_ms() + RETRY_BUSY_MS;
        journal_note_passing(journal, fault->text);
    } else if (rewriting) {
        journal_give_up_disk(journal, fault);
    } else {
        abandon_file(journal, fault);
    }
}

void journal_leave_trouble(struct journal *journal)
{
    uint64_t now = clock_monotonic_ms();
    struct shm_disk_info info;
    shm_disk_info(journal->config.store, &info);
    if (journal->state == SHM_DISK_OK && info.state == SHM_DISK_OK)
        return;
    /* Another server's master has set it: one that began to take over, and failed. */
    if (journal->state == SHM_DISK_OK)
        journal->troubled_at = info.since_ms;
    journal_note_line(journal, JOURNAL_SAYS, "data-file %s: it is written again, after %llu ms",
                      journal->config.path, (unsigned long long)(now - journal->troubled_at));
    set_state(journal, SHM_DISK_OK, 0, now);
}
