/* SPDX-License-Identifier: MIT */
/*
 * ListUsers: a page of one snapshot, sent as fast as the client reads.
 *
 * A snapshot keeps in memory what others replace and delete. So a listing that
 * waits for its client is looked at four times a second, whether or not the client
 * reads: past snapshot-max-age, or revoked by the store for snapshot-max-bytes,
 * it gives its snapshot back and ends ABORTED. The client learns that when it
 * reads on, after what was sent before.
 */
#include <stdio.h>

#include "service/calls.h"
#include "service/page_token.h"

enum { PAGE_DEFAULT = 10, SWEEP_MS = 250 };

/* ---- listings that wait ---- */

static struct listings *listings_of(struct grpc_call *call)
{
    return &((struct user_service *)grpc_call_service_data(call))->listings;
}

static void arm_sweep(struct grpc_call *call)
{
    struct grpc_server *server = grpc_call_server(call);
    http2_timer_arm(grpc_server_timers(server), &listings_of(call)->sweep,
                    grpc_server_now_ms(server) + SWEEP_MS);
}

static void start_waiting(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    struct listings *listings = listings_of(call);
    if (list->call != NULL)
        return;
    list->call = call;
    list->until = grpc_server_now_ms(grpc_call_server(call)) + listings->max_age;
    if (cds_list_empty(&listings->waiting))
        arm_sweep(call);
    cds_list_add_tail(&list->waiting, &listings->waiting);
}

static void stop_waiting(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    struct listings *listings = listings_of(call);
    if (list->call == NULL)
        return;
    list->call = NULL;
    cds_list_del(&list->waiting);
    if (cds_list_empty(&listings->waiting))
        http2_timer_disarm(grpc_server_timers(grpc_call_server(call)), &listings->sweep);
}

/* ---- the end of a listing ---- */

static void release(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    if (!list->open)
        return;
    list->open = false;
    stop_waiting(call);
    const struct user_service *service = grpc_call_service_data(call);
    shm_snapshot_end(service->actor, &list->snapshot);
}

static void finish(struct grpc_call *call, enum grpc_status status, const char *text)
{
    /* before the client has read what is buffered: a pin costs others memory */
    release(call);
    grpc_call_finish(call, status, text);
}

static void finish_page(struct grpc_call *call, const struct shm_user *last)
{
    const struct list_call *list = grpc_call_state(call);
    if (shm_cursor_more(&list->cursor)) {
        char token[PAGE_TOKEN_SIZE];
        page_token_format(token, last->seq, last->id);
        grpc_call_add_trailing_metadata(call, "next-page-token", token, sizeof(token));
    }
    finish(call, GRPC_OK, NULL);
}

/* Those that are on a list of their own, so that any of them may end meanwhile. */
static void end_all(struct cds_list_head *ended, const char *text)
{
    while (!cds_list_empty(ended))
        finish(cds_list_first_entry(ended, struct list_call, waiting)->call, GRPC_ABORTED, text);
}

static void on_sweep(struct http2_timer *timer)
{
    struct listings *listings = caa_container_of(timer, struct listings, sweep);
    struct cds_list_head old, revoked;
    struct cds_list_head *at, *next;
    CDS_INIT_LIST_HEAD(&old);
    CDS_INIT_LIST_HEAD(&revoked);
    cds_list_for_each_safe(at, next, &listings->waiting)
    {
        struct list_call *list = cds_list_entry(at, struct list_call, waiting);
        bool gone = shm_snapshot_revoked(list->cursor.actor, &list->snapshot);
        if (gone || list->until <= grpc_server_now_ms(grpc_call_server(list->call)))
            cds_list_move(&list->waiting, gone ? &revoked : &old);
    }
    if (!cds_list_empty(&listings->waiting))
        arm_sweep(cds_list_first_entry(&listings->waiting, struct list_call, waiting)->call);
    end_all(&revoked, listings->revoked_text);
    end_all(&old, listings->old_text);
}

/* ---- its way ---- */

void user_list_on_writable(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    while (grpc_call_writable(call)) {
        struct shm_user user;
        int result = shm_cursor_next(&list->cursor, &user);
        if (result != SHM_OK) {
            bool revoked = result == SHM_EREVOKED;
            finish(call, revoked ? GRPC_ABORTED : GRPC_OK,
                   revoked ? listings_of(call)->revoked_text : NULL);
            return;
        }
        user_reply(call, user.id, user.body, user.body_len);
        if (--list->left == 0) {
            finish_page(call, &user);
            return;
        }
    }
    start_waiting(call);
    grpc_call_want_write(call);
}

/* @return NULL, or what is wrong with the token */
static const char *start_cursor(struct list_call *list, struct shm_actor *actor,
                                const ProtobufCBinaryData *token)
{
    uint64_t seq;
    uint8_t id[UUID_SIZE];
    if (token->len == 0) {
        shm_cursor_first(&list->cursor, actor, &list->snapshot);
        return NULL;
    }
    if (!page_token_parse(token->data, token->len, &seq, id) ||
        shm_cursor_after(&list->cursor, actor, &list->snapshot, seq, id) != SHM_OK)
        return "page_token is not a next-page-token of this server";
    return NULL;
}

void user_list_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct list_call *list = grpc_call_state(call);
    const Userservice__ListUsersRequest *request = (Userservice__ListUsersRequest *)message;
    if (request->page_size < 0) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "page_size is negative");
        return;
    }
    int result = shm_snapshot_begin(service->actor, &list->snapshot);
    if (result != SHM_OK) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         result == SHM_EPINS ? "too many listings at once, try again"
                                             : shm_strerror(result));
        return;
    }
    list->open = true;
    list->left = request->page_size == 0 ? PAGE_DEFAULT : (uint32_t)request->page_size;
    const char *fault = start_cursor(list, service->actor, &request->page_token);
    if (fault != NULL) {
        release(call);
        user_refuse(call, GRPC_INVALID_ARGUMENT, fault);
        return;
    }
    user_list_on_writable(call);
}

void user_list_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    release(call);
}

/* ---- the service's ---- */

/* As options have it: in the largest unit of which it is a whole number. */
static void format_units(char text[24], uint64_t number, const uint64_t *factors,
                         const char *const *units, size_t count)
{
    size_t i = 0;
    while (i + 1 < count && number % factors[i] != 0)
        i++;
    snprintf(text, 24, "%llu%s", (unsigned long long)(number / factors[i]), units[i]);
}

void listings_init(struct listings *listings, uint64_t max_age, uint64_t max_bytes)
{
    static const uint64_t ms[] = {86400000, 3600000, 60000, 1000, 1};
    static const char *const times[] = {"d", "h", "m", "s", "ms"};
    static const uint64_t bytes[] = {UINT64_C(1) << 40, 1 << 30, 1 << 20, 1 << 10, 1};
    static const char *const sizes[] = {"T", "G", "M", "K", ""};
    char text[24];
    CDS_INIT_LIST_HEAD(&listings->waiting);
    listings->sweep.expired = on_sweep;
    listings->max_age = max_age;
    format_units(text, max_age, ms, times, 5);
    snprintf(listings->old_text, sizeof(listings->old_text),
             "the listing's snapshot is older than snapshot-max-age (%s)", text);
    format_units(text, max_bytes, bytes, sizes, 5);
    snprintf(listings->revoked_text, sizeof(listings->revoked_text),
             "the listing's snapshot kept more than snapshot-max-bytes (%s) of changed users in "
             "memory",
             text);
}
