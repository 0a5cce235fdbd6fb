/* SPDX-License-Identifier: MIT */
#include "service/users/commit_wait.h"

#include <assert.h>
#include <sys/param.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "service/users/disk_patience.h"

enum {
    LOOK_MS = 5,      /* between two looks at what is published, and at the disk */
    ORDER_STEPS = 64, /* how far a call may overtake others */
    /* How many calls go on in a turn, which takes some 10 us, where more than FEW wait. After a
     * slow sync thousands may: other clients' requests have their turns between. A few go on all
     * at once: each turn more is a write to the client more, and the disk waits for its next calls
     * meanwhile. */
    ANSWERS_MAX = 32,
    FEW = 128,
};

static struct commit_wait *first_wait(const struct commit_waits *waits)
{
    return cds_list_first_entry(&waits->calls, struct commit_wait, link);
}

void commit_wait_leave(struct commit_waits *waits, struct commit_wait *wait)
{
    assert(commit_wait_waits(wait));
    cds_list_del(&wait->link);
    waits->num--;
    wait->call = NULL;
    timer_disarm(grpc_server_timers(waits->server), &wait->over);
    if (!cds_list_empty(&waits->calls))
        return;
    timer_disarm(grpc_server_timers(waits->server), &waits->look);
    waits->noted = 0;
    shm_wait_end(waits->actor);
}

/* ---- published ---- */

/* Calls go on. Notes how long this worker had nothing to do for them but to wait. */
static void note_answers(struct commit_waits *waits)
{
    waits->answered = true;
    if (waits->noted != 0)
        waits->took_ns = clock_monotonic_ns() - waits->noted_ns;
    waits->noted = 0; /* how long the worker takes for the answers is another matter */
}

/* To sleep and to wake takes a sync's time. The wait under way may be longer than the last one
 * was: then the disk has become slow. */
static void expect_publication(const struct commit_waits *waits)
{
    uint64_t ns = waits->took_ns;
    if (waits->noted != 0)
        ns = MAX(ns, clock_monotonic_ns() - waits->noted_ns);
    grpc_server_poll_expect(waits->server, ns);
}

/* @return whether there are more */
static bool answer_published(struct commit_waits *waits)
{
    uint64_t published = shm_published(waits->store);
    unsigned most = waits->num <= FEW ? FEW : ANSWERS_MAX;
    for (unsigned n = 0; !cds_list_empty(&waits->calls); n++) {
        if (first_wait(waits)->version > published)
            return false;
        if (n == most)
            return true;
        struct commit_wait *wait = first_wait(waits);
        struct grpc_call *call = wait->call;
        if (n == 0)
            note_answers(waits);
        commit_wait_leave(waits, wait);
        wait->published(call);
    }
    return false;
}

void commit_waits_settle(struct commit_waits *waits)
{
    if (cds_list_empty(&waits->calls))
        return;
    bool more = answer_published(waits);
    while (!more && !cds_list_empty(&waits->calls) && first_wait(waits)->version != waits->noted) {
        uint64_t version = first_wait(waits)->version;
        if (shm_wait_begin(waits->actor, version)) {
            waits->noted = version;
            waits->noted_ns = clock_monotonic_ns();
        } else { /* it was published just now, and nothing is noted any more */
            waits->noted = 0;
            more = answer_published(waits);
        }
    }
    if (more) /* the loop does not sleep before its next turn */
        timer_arm(grpc_server_timers(waits->server), &waits->look,
                  grpc_server_now_ms(waits->server));
    else if (waits->answered || waits->num != 0)
        expect_publication(waits);
    waits->answered = false;
}

/* ---- patience ---- */

/* Its commit may be published all the same, where so many are that its turn has not come. */
static void commit_wait_over(struct timer *timer)
{
    struct commit_wait *wait = container_of(timer, struct commit_wait, over);
    struct commit_waits *waits = wait->waits;
    struct grpc_call *call = wait->call;
    commit_wait_leave(waits, wait);
    if (commit_is_published(waits, wait->version))
        wait->published(call);
    else
        disk_end_call(&waits->disk, call, wait->began);
}

static void set_patience(struct commit_waits *waits, struct commit_wait *wait)
{
    timer_arm(grpc_server_timers(waits->server), &wait->over,
              disk_patience_end(&waits->disk, wait->call, wait->began));
}

/* The state of the disk has changed: the calls wait longer or shorter than before, or no more. The
 * end of one call may end others and take them off their list. */
static void change_patience(struct commit_waits *waits)
{
    struct cds_list_head failed;
    CDS_INIT_LIST_HEAD(&failed);
    for (struct cds_list_head *at = waits->calls.next, *next; at != &waits->calls; at = next) {
        struct commit_wait *wait = cds_list_entry(at, struct commit_wait, link);
        next = at->next;
        set_patience(waits, wait);
        if (!disk_failed_since(&waits->disk, wait->began))
            continue;
        cds_list_del(at);
        cds_list_add_tail(at, &failed);
    }
    while (!cds_list_empty(&failed))
        commit_wait_over(&cds_list_first_entry(&failed, struct commit_wait, link)->over);
}

static void commit_waits_look(struct timer *timer)
{
    struct commit_waits *waits = container_of(timer, struct commit_waits, look);
    enum shm_disk_state before = waits->disk.state;
    uint64_t since = waits->disk.since_ms;
    shm_disk_info(waits->store, &waits->disk);
    if (waits->disk.state != before || waits->disk.since_ms != since)
        change_patience(waits);
    if (!cds_list_empty(&waits->calls))
        timer_arm(grpc_server_timers(waits->server), timer,
                  grpc_server_now_ms(waits->server) + LOOK_MS);
}

/* ---- waiting ---- */

void commit_waits_init(struct commit_waits *waits, const struct shm_store *store,
                       struct shm_actor *actor)
{
    *waits = (struct commit_waits){.store = store, .actor = actor};
    waits->look.expired = commit_waits_look;
    CDS_INIT_LIST_HEAD(&waits->calls);
}

/* Almost all calls wait for a newer commit than those before them. A call overtakes at most
 * ORDER_STEPS others, and may wait for one of their commits, too: else a client could make the
 * worker walk along its whole list with each call. */
static void link_in_order(struct commit_waits *waits, struct commit_wait *wait)
{
    struct cds_list_head *before = waits->calls.prev;
    for (unsigned i = 0; before != &waits->calls && i < ORDER_STEPS; i++, before = before->prev)
        if (cds_list_entry(before, struct commit_wait, link)->version <= wait->version)
            break;
    cds_list_add(&wait->link, before);
}

void commit_wait_enter(struct commit_waits *waits, struct commit_wait *wait, struct grpc_call *call,
                       uint64_t version, void (*published)(struct grpc_call *call))
{
    struct grpc_server *server = grpc_call_server(call);
    assert(!commit_wait_waits(wait));
    wait->call = call;
    wait->waits = waits;
    wait->published = published;
    wait->over.expired = commit_wait_over;
    wait->version = version;
    wait->began = grpc_server_now_ms(server);
    if (cds_list_empty(&waits->calls)) {
        waits->server = server;
        timer_arm(grpc_server_timers(server), &waits->look, wait->began + LOOK_MS);
    }
    link_in_order(waits, wait);
    waits->num++;
    set_patience(waits, wait);
}
