/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_import.h"

#include <assert.h>

#include "base/container_of.h"
#include "service/directory/directory_user.h"
#include "service/directory/directory_users.h"
#include "service/directory/import_answer.h"
#include "service/users/insert_many.h"
#include "service/users/user_reply.h"

static void import_go_on(struct grpc_call *call);

static void import_finish(struct directory_import_call *import, enum grpc_status status,
                          const char *text)
{
    import->over = true;
    grpc_call_finish(import->call, status, text);
}

/* Goes on when this turn has brought all that it brings, rather than with each request and hash. */
static void go_on_after_turn(struct directory_import_call *import)
{
    struct grpc_server *server = grpc_call_server(import->call);
    if (!import->over && !timer_armed(&import->turn))
        timer_arm(grpc_server_timers(server), &import->turn, grpc_server_now_ms(server));
}

/* ---- entries ---- */

static bool add_entry(struct directory_import_call *import, struct import_entry *entry)
{
    if (!grpc_call_hold(import->call, entry->size))
        return false;
    *import->end = entry;
    import->end = &entry->next;
    import->entries++;
    import->bytes += entry->size;
    if (import->unsettled == NULL)
        import->unsettled = entry;
    return true;
}

static void remove_first(struct directory_import_call *import)
{
    struct import_entry *entry = import->first;
    import->first = entry->next;
    if (import->first == NULL)
        import->end = &import->first;
    if (import->unsettled == entry)
        import->unsettled = entry->next;
    import->entries--;
    import->bytes -= entry->size;
    grpc_call_release(import->call, entry->size);
    import_entry_free(entry);
}

/* ---- passwords ---- */

static void import_on_hashed(struct pool_ticket *ticket, enum pool_outcome outcome,
                             const char *hash)
{
    struct import_entry *entry = container_of(ticket, struct import_entry, ticket);
    struct directory_import_call *import = grpc_call_state(entry->call);
    const char *text;
    import->hashing--;
    if (outcome == POOL_HASHED && *hash != '\0') {
        import_entry_take_hash(entry, hash);
        import->ready += entry->state == IMPORT_READY;
    } else {
        enum grpc_status status = password_outcome_status(outcome, &text);
        import_entry_refuse(entry, status, text);
    }
    go_on_after_turn(import);
}

/* @return false: the pool's queue is full */
static bool hash_entry(struct directory_import_call *import, struct import_entry *entry)
{
    const struct user_service *service = grpc_call_service_data(import->call);
    const struct pool_task task = import_entry_task(entry);
    const char *text;
    enum grpc_status status = passwords_status(&service->passwords, &text);
    if (status != GRPC_OK) {
        import_entry_forget_password(entry);
        import_entry_refuse(entry, status, text);
        return true;
    }
    entry->ticket.done = import_on_hashed;
    enum pool_submitted result = pool_client_submit(service->passwords.pool, &entry->ticket, &task);
    if (result == POOL_FULL)
        return false;
    import_entry_forget_password(entry);
    if (result == POOL_SUBMITTED) {
        import->hashing++;
    } else {
        status = password_outcome_status(POOL_FAILED, &text);
        import_entry_refuse(entry, status, text);
    }
    return true;
}

static void hash_or_wait(struct directory_import_call *import, struct import_entry *entry)
{
    struct grpc_server *server = grpc_call_server(import->call);
    import->unhashed = hash_entry(import, entry) ? NULL : entry;
    if (import->unhashed != NULL)
        timer_arm(grpc_server_timers(server), &import->pool,
                  grpc_server_now_ms(server) + IMPORT_POOL_RETRY_MS);
}

/* ---- inserts ---- */

/* The users of one insert_many(). */
struct import_batch {
    struct grpc_call *call;
    uint32_t count;
    struct import_entry *entries[SHM_BATCH_MAX];
};

static void import_settle(const struct import_batch *batch, uint32_t which, int result,
                          uint64_t version, unsigned key)
{
    const struct user_service *service = grpc_call_service_data(batch->call);
    struct directory_import_call *import = grpc_call_state(batch->call);
    import_entry_settle(batch->entries[which], result, version, key, service->batch[which].id);
    import->ready--;
}

static void import_inserted(void *data, uint32_t first, uint32_t count, uint64_t version)
{
    for (uint32_t i = first; i < first + count; i++)
        import_settle(data, i, SHM_OK, version, 0);
}

static void import_refused(void *data, uint32_t which, int result,
                           const struct shm_conflict *conflict)
{
    bool rests = result == SHM_EKEY || result == SHM_EEXIST || result == SHM_EREPEAT;
    import_settle(data, which, result, rests ? conflict->version : 0, conflict->key);
}

static bool import_has_given_id(void *data, uint32_t which)
{
    const struct import_batch *batch = data;
    return batch->entries[which]->id_given;
}

/* Passes the entries that are settled, and lists those that are ready, up to the first one whose
 * password is not hashed. One with a request_id is listed alone, as the store wants it. */
static void load_ready(struct directory_import_call *import, struct import_batch *batch)
{
    struct user_service *service = grpc_call_service_data(import->call);
    while (import->unsettled != NULL && import->unsettled->state == IMPORT_SETTLED)
        import->unsettled = import->unsettled->next;
    batch->count = 0;
    for (struct import_entry *entry = import->unsettled;
         entry != NULL && entry->state != IMPORT_UNHASHED && batch->count < SHM_BATCH_MAX;
         entry = entry->next) {
        if (entry->state == IMPORT_SETTLED)
            continue;
        if (entry->request.given && batch->count != 0)
            return;
        service->batch[batch->count] = import_entry_user(entry);
        batch->entries[batch->count++] = entry;
        if (entry->request.given)
            return;
    }
}

static void import_retry(struct grpc_call *call);

/* Inserts what is ready. A call that finds the writer lock taken, or the journal behind, is parked.
 */
static void insert_ready(struct directory_import_call *import)
{
    struct user_service *service = grpc_call_service_data(import->call);
    struct import_batch batch = {.call = import->call};
    const struct insert_many_caller caller = {.inserted = import_inserted,
                                              .refused = import_refused,
                                              .has_given_id = import_has_given_id,
                                              .data = &batch};
    int result = SHM_OK;
    for (load_ready(import, &batch); result == SHM_OK && batch.count != 0;
         load_ready(import, &batch)) {
        uint32_t done;
        result = insert_many(service, batch.count, &caller, &import->chunk, &done);
        if (done != 0) /* progress: the waiting time restarts */
            parking_leave(&import->parking, import->call);
    }
    if (result == SHM_EBUSY &&
        parking_enter_write(&import->parking, import->call, import_retry, service->store))
        return;
    parking_leave(&import->parking, import->call);
    if (result != SHM_OK) {
        const char *text;
        enum grpc_status status = user_insert_status(service, result, &text);
        import_finish(import, status, text);
    }
}

/* ---- answers ---- */

static void import_answer(struct directory_import_call *import)
{
    struct user_service *service = grpc_call_service_data(import->call);
    struct import_entry *entry;
    while ((entry = import->first) != NULL && entry->state == IMPORT_SETTLED) {
        if (!commit_is_published(&service->commits, entry->version)) {
            if (!commit_wait_waits(&import->wait))
                commit_wait_enter(&service->commits, &import->wait, import->call, entry->version,
                                  import_go_on);
            return;
        }
        if (!grpc_call_writable(import->call)) {
            grpc_call_want_write(import->call);
            return;
        }
        import_answer_send(entry, import->answered++);
        remove_first(import);
    }
}

/* ---- the call ---- */

/* Whether the call reads no further requests. */
static bool is_full(const struct directory_import_call *import)
{
    return import->entries >= IMPORT_ENTRIES_MAX || import->bytes >= IMPORT_BYTES_MAX ||
           import->hashing >= IMPORT_HASHING_MAX || import->unhashed != NULL ||
           parking_is_parked(&import->parking);
}

static void pause_or_resume(struct directory_import_call *import)
{
    bool full = is_full(import);
    if (full == import->paused)
        return;
    import->paused = full;
    if (full)
        grpc_call_pause(import->call);
    else
        grpc_call_resume(import->call); /* the call may have ended when this returns */
}

static void answer_and_read(struct directory_import_call *import)
{
    if (!import->over)
        import_answer(import);
    if (import->over)
        return;
    if (import->half_closed && import->first == NULL)
        import_finish(import, GRPC_OK, NULL);
    else
        pause_or_resume(import);
}

static void import_go_on(struct grpc_call *call)
{
    struct directory_import_call *import = grpc_call_state(call);
    if (import->over)
        return;
    if (import->unhashed != NULL && import->hashing < IMPORT_HASHING_MAX)
        hash_or_wait(import, import->unhashed);
    if (!parking_is_parked(&import->parking))
        insert_ready(import);
    answer_and_read(import);
}

static void import_retry(struct grpc_call *call)
{
    struct directory_import_call *import = grpc_call_state(call);
    insert_ready(import);
    answer_and_read(import);
}

static void import_on_turn(struct timer *timer)
{
    import_go_on(container_of(timer, struct directory_import_call, turn)->call);
}

static void import_on_pool(struct timer *timer)
{
    import_go_on(container_of(timer, struct directory_import_call, pool)->call);
}

void directory_import_on_open(struct grpc_call *call)
{
    struct directory_import_call *import = grpc_call_state(call);
    import->call = call;
    import->end = &import->first;
    import->turn.expired = import_on_turn;
    import->pool.expired = import_on_pool;
}

void directory_import_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct directory_import_call *import = grpc_call_state(call);
    Rosterd__Directory__V1__CreateUserRequest nothing;
    const Rosterd__Directory__V1__CreateUserRequest *create =
        ((Rosterd__Directory__V1__ImportUsersRequest *)message)->create;
    rosterd__directory__v1__create_user_request__init(&nothing);
    struct import_entry *entry = import_entry_create(call, create != NULL ? create : &nothing);
    if (entry == NULL || !add_entry(import, entry)) {
        if (entry != NULL)
            import_entry_free(entry);
        import_finish(import, GRPC_RESOURCE_EXHAUSTED, directory_no_room);
        return;
    }
    import->ready += entry->state == IMPORT_READY;
    if (entry->state == IMPORT_UNHASHED && !import_entry_repeats(entry))
        hash_or_wait(import, entry);
    if (import->ready >= SHM_BATCH_MAX)
        import_go_on(call);
    else
        go_on_after_turn(import);
    if (!import->over)
        pause_or_resume(import);
}

void directory_import_on_half_close(struct grpc_call *call)
{
    struct directory_import_call *import = grpc_call_state(call);
    import->half_closed = true;
    import_go_on(call);
}

void directory_import_on_writable(struct grpc_call *call)
{
    import_go_on(call);
}

void directory_import_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct user_service *service = grpc_call_service_data(call);
    struct directory_import_call *import = grpc_call_state(call);
    struct timers *timers = grpc_server_timers(grpc_call_server(call));
    (void)status;
    timer_disarm(timers, &import->turn);
    timer_disarm(timers, &import->pool);
    parking_leave(&import->parking, call);
    if (commit_wait_waits(&import->wait))
        commit_wait_leave(&service->commits, &import->wait);
    for (struct import_entry *entry = import->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        import_entry_free(entry);
    }
}
