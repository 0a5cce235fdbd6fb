/* SPDX-License-Identifier: MIT */
#include "service/users/insert_many.h"

#include <assert.h>
#include <sys/param.h>

/* How far the inserts have come. */
struct inserting {
    uint32_t done;             /* users that are inserted or refused */
    uint32_t count;            /* users of the last insert */
    uint32_t chunk, chunk_max; /* users of the next insert; the most that it may ever be */
};

/* The store refuses one user. The users before it are inserted first. */
static void leave_out(const struct insert_many_caller *caller, struct inserting *now, int result,
                      const struct shm_conflict *conflict)
{
    if (conflict->which != 0) {
        now->chunk = (uint32_t)conflict->which;
        return;
    }
    now->chunk = (now->count + 1) / 2;
    caller->refused(caller->data, now->done++, result, conflict);
}

/* Notes the result of an insert, and chooses how many users to insert next. */
static void settle_insert(struct user_service *service, const struct insert_many_caller *caller,
                          struct inserting *now, int result, const struct shm_conflict *conflict)
{
    uint32_t which;
    switch (result) {
    case SHM_OK:
        caller->inserted(caller->data, now->done, now->count, conflict->version);
        now->done += now->count;
        now->chunk = MIN(2 * now->count, now->chunk_max);
        return;
    case SHM_EBUSY:
    case SHM_EREADONLY:
        return;
    case SHM_EEXIST:
        which = now->done + (uint32_t)conflict->which;
        if (caller->has_given_id != NULL && caller->has_given_id(caller->data, which))
            leave_out(caller, now, result, conflict);
        else
            uuid_random(&service->ids, service->batch[which].id);
        return;
    case SHM_EKEY:
        leave_out(caller, now, result, conflict);
        return;
    default:
        if (now->count > 1)
            now->chunk = now->chunk_max = (now->count + 1) / 2;
        else
            caller->refused(caller->data, now->done++, result, conflict);
    }
}

/* Whether no user at all can be inserted now. */
static bool stops(int result)
{
    return result == SHM_EBUSY || result == SHM_EREADONLY;
}

int insert_many(struct user_service *service, uint32_t count,
                const struct insert_many_caller *caller, uint32_t *chunk, uint32_t *done)
{
    struct inserting now = {.chunk = *chunk != 0 ? *chunk : count, .chunk_max = count};
    int result = SHM_OK;
    while (now.done < count && !stops(result)) {
        struct shm_conflict conflict = {0};
        now.count = MIN(now.chunk, count - now.done);
        assert(now.count > 0);
        result = shm_users_insert(service->actor, &service->batch[now.done], now.count, &conflict);
        settle_insert(service, caller, &now, result, &conflict);
    }
    *chunk = stops(result) ? now.chunk : 0; /* the next try goes on from here */
    *done = now.done;
    return stops(result) ? result : SHM_OK;
}
