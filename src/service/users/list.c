/* SPDX-License-Identifier: MIT */
/*
 * ListUsers: a page of one snapshot, sent as fast as the client reads.
 *
 * A snapshot keeps in memory what others replace and delete. So a listing that
 * waits for its client is looked at four times a second, whether or not the client
 * reads: past snapshot-max-age, or revoked by the store for snapshot-max-bytes,
 * it gives its snapshot back and ends ABORTED. The client learns that when it
 * reads on, after what was sent before.
 *
 * A listing may have to pass any number of deleted users whom an older snapshot keeps in place. It
 * does so in steps (store.h), each of which takes its time from the connection's turn, and goes on
 * like one that has waited for its client.
 *
 * A worker has so many pins for snapshots of different versions. Where they run out,
 * the oldest listing that does not get on ends ABORTED, and with it those that share
 * its pin and do not get on either. A pin that kept something is free a grace
 * period later: the new listing waits for it, and nobody else is ended meanwhile.
 */
#include <stdio.h>

#include "service/users/calls.h"

enum {
    PAGE_DEFAULT = 10,
    SWEEP_MS = 250,
    STALLED_MS = 250, /* without a user sent */
    SLOW_MS = 500,    /* since it began: whoever takes so long may be asked to make room */
    ROOM_MS = 100,    /* for a pin to become free, before another listing is ended */
    STEP_NS = 250000, /* what a step past deleted users counts as; it takes 0.05 to 0.5 ms */
    LOOK_MAX = 256,   /* listings that are looked at for one that is stalled: twice the pins */
};

static const char crowded_text[] =
    "the listing did not get on, and others could not begin: too many snapshots are open";

/* ---- listings that wait ---- */

static struct listings *listings_of(struct grpc_call *call)
{
    return &((struct user_service *)grpc_call_service_data(call))->listings;
}

static void arm_sweep(struct grpc_call *call)
{
    struct grpc_server *server = grpc_call_server(call);
    timer_arm(grpc_server_timers(server), &listings_of(call)->sweep,
              grpc_server_now_ms(server) + SWEEP_MS);
}

static void stop_waiting(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    struct listings *listings = listings_of(call);
    if (list->call == NULL)
        return;
    list->call = NULL;
    pin_share_give(list->share, list->snapshot.pin);
    cds_list_del(&list->waiting);
    if (cds_list_empty(&listings->waiting))
        timer_disarm(grpc_server_timers(grpc_call_server(call)), &listings->sweep);
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

/* @param more whether users follow those of the page */
static void finish_page(struct grpc_call *call, bool more)
{
    const struct list_call *list = grpc_call_state(call);
    if (more) {
        char token[PAGE_TOKEN_SIZE];
        page_token_format(token, list->after_seq, list->after_id);
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

static void on_sweep(struct timer *timer)
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

/* ---- where pins run out ---- */

static bool is_stalled(const struct list_call *list, uint64_t now)
{
    return now - list->sent >= STALLED_MS;
}

/* The oldest that is stalled; where none is, the oldest that has had its time: a client that takes
 * a user now and then would else keep its snapshot for as long as it likes. */
static const struct list_call *find_stalled(struct listings *listings, uint64_t now)
{
    struct cds_list_head *at;
    unsigned looked = 0;
    cds_list_for_each(at, &listings->waiting)
    {
        const struct list_call *list = cds_list_entry(at, struct list_call, waiting);
        if (is_stalled(list, now))
            return list;
        if (++looked == LOOK_MAX)
            break;
    }
    if (cds_list_empty(&listings->waiting))
        return NULL;
    const struct list_call *oldest =
        cds_list_first_entry(&listings->waiting, struct list_call, waiting);
    return now - oldest->began >= SLOW_MS ? oldest : NULL;
}

/* Ends the oldest listing that does not get on, and those of its pin. */
static void make_room(struct listings *listings, uint64_t now)
{
    struct cds_list_head ended, *at, *next;
    if (listings->made_room != 0 && now - listings->made_room < ROOM_MS)
        return;
    const struct list_call *oldest = find_stalled(listings, now);
    listings->made_room = oldest != NULL ? now : 0;
    if (oldest == NULL)
        return;
    uint32_t pin = oldest->snapshot.pin;
    CDS_INIT_LIST_HEAD(&ended);
    cds_list_for_each_safe(at, next, &listings->waiting)
    {
        struct list_call *list = cds_list_entry(at, struct list_call, waiting);
        if (list->snapshot.pin == pin && (is_stalled(list, now) || now - list->began >= SLOW_MS))
            cds_list_move(&list->waiting, &ended);
    }
    end_all(&ended, crowded_text);
}

/* ---- its way ---- */

/* @return false where the call has been ended: its connection has enough of them */
static bool start_waiting(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    struct listings *listings = listings_of(call);
    if (list->call != NULL)
        return true;
    list->share = pin_share_take(&listings->shares, grpc_call_connection(call), list->snapshot.pin);
    if (list->share == NULL) {
        char text[128];
        snprintf(text, sizeof(text),
                 "%d listings of this connection are under way, each of another version of the "
                 "table: read or cancel them first",
                 PIN_SHARE_MAX);
        finish(call, GRPC_RESOURCE_EXHAUSTED, text);
        return false;
    }
    list->call = call;
    list->began = grpc_server_now_ms(grpc_call_server(call));
    list->until = list->began + listings->max_age;
    if (cds_list_empty(&listings->waiting))
        arm_sweep(call);
    cds_list_add_tail(&list->waiting, &listings->waiting);
    return true;
}

/* As many as there is room for. @return the cursor's result; after the page's last user, whether
 * there are more */
static int send_users(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    while (grpc_call_writable(call)) {
        struct shm_user user;
        int result = shm_cursor_next(&list->cursor, &user);
        if (result != SHM_OK)
            return result;
        user_reply(call, user.id, user.body, user.body_len);
        if (--list->left == 0) { /* what follows may be found later: then the token is made */
            list->after_seq = user.seq;
            memcpy(list->after_id, user.id, sizeof(list->after_id));
            return shm_cursor_settle(&list->cursor);
        }
    }
    return SHM_OK;
}

/* Until the client has read, or the others have had their turn. */
static void wait_for_turn(struct grpc_call *call, bool got_on)
{
    struct list_call *list = grpc_call_state(call);
    if (got_on || list->call == NULL)
        list->sent = grpc_server_now_ms(grpc_call_server(call));
    if (start_waiting(call))
        grpc_call_want_write(call);
}

void user_list_on_writable(struct grpc_call *call)
{
    struct list_call *list = grpc_call_state(call);
    uint32_t left = list->left;
    int result = left != 0 ? send_users(call) : shm_cursor_settle(&list->cursor);
    if (result == SHM_EREVOKED) {
        finish(call, GRPC_ABORTED, listings_of(call)->revoked_text);
    } else if (result == SHM_EMORE) {
        grpc_call_work(call, STEP_NS);
        wait_for_turn(call, true);
    } else if (result != SHM_OK || list->left == 0) {
        finish_page(call, result == SHM_OK);
    } else {
        wait_for_turn(call, list->left != left);
    }
}

static const char bad_token[] = "page_token is not a next-page-token of this server";

/* @return whether the snapshot has what the page continues after */
static bool start_cursor(struct list_call *list, struct shm_actor *actor)
{
    if (list->continues)
        return shm_cursor_after(&list->cursor, actor, &list->snapshot, list->after_seq,
                                list->after_id) == SHM_OK;
    shm_cursor_first(&list->cursor, actor, &list->snapshot);
    return true;
}

static void start(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct list_call *list = grpc_call_state(call);
    list->open = true;
    if (!start_cursor(list, service->actor)) {
        release(call);
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_token);
        return;
    }
    user_list_on_writable(call);
}

static void retry(struct timer *timer);

static void begin(struct grpc_call *call)
{
    const struct user_service *service = grpc_call_service_data(call);
    struct listings *listings = listings_of(call);
    struct list_call *list = grpc_call_state(call);
    int result = shm_snapshot_begin(service->actor, &list->snapshot);
    if (result == SHM_EPINS) {
        make_room(listings, grpc_server_now_ms(grpc_call_server(call)));
        result = shm_snapshot_begin(service->actor, &list->snapshot);
    }
    if (result == SHM_EPINS && listings->made_room != 0 &&
        parking_enter(&list->parking, call, retry))
        return;
    parking_leave(&list->parking, call);
    if (result == SHM_OK) {
        listings->made_room = 0;
        start(call);
    } else {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                         result == SHM_EPINS ? "too many listings at once, try again"
                                             : shm_strerror(result));
    }
}

static void retry(struct timer *timer)
{
    begin(((struct parking *)timer)->call);
}

void user_list_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct list_call *list = grpc_call_state(call);
    const Userservice__ListUsersRequest *request = (Userservice__ListUsersRequest *)message;
    const ProtobufCBinaryData *token = &request->page_token;
    if (request->page_size < 0) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, "page_size is negative");
        return;
    }
    list->continues = token->len != 0;
    if (list->continues &&
        !page_token_parse(token->data, token->len, &list->after_seq, list->after_id)) {
        user_refuse(call, GRPC_INVALID_ARGUMENT, bad_token);
        return;
    }
    list->left = request->page_size == 0 ? PAGE_DEFAULT : (uint32_t)request->page_size;
    begin(call);
}

void user_list_on_end(struct grpc_call *call, enum grpc_status status)
{
    struct list_call *list = grpc_call_state(call);
    (void)status;
    parking_leave(&list->parking, call);
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
    pin_shares_init(&listings->shares);
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
