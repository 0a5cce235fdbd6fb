/* SPDX-License-Identifier: MIT */
#include "inspect/core/writer.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "inspect/core/guard.h"
#include "user/user.h"

_Static_assert((int)USER_KEY_MAX == (int)SHM_KEY_MAX && (int)USER_KEYS == (int)SHM_KEYS,
               "user_key_of() is a shm_key_of");

enum { PATIENCE_MS = 1500, PAUSE_NS = 1000 * 1000 };

enum inspect_exit writer_open(struct writer *writer, const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};

    enum inspect_exit code = inspect_become_user(options);

    if (code != INSPECT_DONE)
        return code;
    writer->segment = options->segment;
    int error =
        shm_store_attach(&writer->store, options->segment, SHM_ATTACH_WRITE, user_key_of, &fault);
    if (error == SHM_EBASE)
        inspect_start_over(options);
    if (error != SHM_OK)
        return inspect_fail_store(error, &fault);
    guard_damage();
    error = shm_actor_join(&writer->actor, writer->store, SHM_ACTOR_TOOL, 0, &fault);
    if (error == SHM_OK)
        return INSPECT_DONE;
    shm_store_close(writer->store);
    return inspect_fail_store(error, &fault);
}

void writer_close(struct writer *writer)
{
    shm_actor_leave(writer->actor);
    shm_store_close(writer->store);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* After a try. @return whether the lock was busy and is worth another */
static bool again(struct writer *writer, int error, uint64_t *since)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    shm_actor_offline(writer->actor);
    guard_progress();
    if (error != SHM_EBUSY)
        return false;
    if (*since == 0)
        *since = now_ms();
    else if (now_ms() - *since > PATIENCE_MS)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

int writer_insert(struct writer *writer, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict)
{
    uint64_t since = 0;
    int error;

    do {
        error = shm_users_insert(writer->actor, users, count, conflict);
    } while (again(writer, error, &since));
    return error;
}

int writer_update(struct writer *writer, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict)
{
    uint64_t since = 0;
    int error;

    do {
        error = shm_users_update(writer->actor, users, count, conflict);
    } while (again(writer, error, &since));
    return error;
}

int writer_delete(struct writer *writer, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                  struct shm_conflict *conflict)
{
    uint64_t since = 0;
    int error;

    do {
        error = shm_users_delete(writer->actor, ids, count, conflict);
    } while (again(writer, error, &since));
    return error;
}

const char *writer_reason(const struct writer *writer, int error, char text[128])
{
    struct shm_info info;
    uint32_t holder;

    shm_store_info(writer->store, &info);
    switch (error) {
    case SHM_EBUSY:
        holder = shm_store_lock_holder(writer->store);
        if (holder == 0)
            return "others have held the writer lock for over a second";
        snprintf(text, 128,
                 "process %" PRIu32 " has held the writer lock for over a second (is it stopped?)",
                 holder);
        return text;
    case SHM_EFULL:
        snprintf(text, 128, "the table is full: it takes %" PRIu64 " users (max-users)",
                 info.max_users);
        return text;
    case SHM_ELIMIT:
        snprintf(text, 128, "the segment is full: it grows to %" PRIu64 " bytes (segment-size)",
                 info.bytes_reserved);
        return text;
    default:
        return shm_strerror(error);
    }
}

enum inspect_exit writer_fail(const struct writer *writer, int error)
{
    char text[128];

    return inspect_fail(error == SHM_ECORRUPT ? INSPECT_BAD_SEGMENT : INSPECT_FAILED, "%s: %s",
                        writer->segment, writer_reason(writer, error, text));
}
