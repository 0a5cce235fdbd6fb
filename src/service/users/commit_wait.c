/* SPDX-License-Identifier: MIT */
#include "service/users/commit_wait.h"

#include <assert.h>

#include "base/container_of.h"
#include "service/users/disk_patience.h"

enum {
    LOOK_MS = 5,            /* between two looks at what is published */
    JUDGE_MS = 1000,        /* between two looks for calls that have waited enough, ... */
    JUDGE_TROUBLED_MS = 25, /* ... while the disk is full or the file has failed */
    ORDER_STEPS = 64,       /* how far a call may overtake others */
};

static struct commit_wait *first_wait(const struct commit_waits *waits)
{
    return cds_list_first_entry(&waits->calls, struct commit_wait, link);
}

void commit_wait_leave(struct commit_waits *waits, struct commit_wait *wait)
{
    assert(commit_wait_waits(wait));
    cds_list_del(&wait->link);
    wait->call = NULL;
    if (!cds_list_empty(&waits->calls))
        return;
    timer_disarm(grpc_server_timers(waits->server), &waits->look);
    waits->noted = 0;
    shm_wait_end(waits->actor);
}

/* ---- published ---- */

static void answer_published(struct commit_waits *waits)
{
    uint64_t published = shm_published(waits->store);
    while (!cds_list_empty(&waits->calls) && first_wait(waits)->version <= published) {
        struct commit_wait *wait = first_wait(waits);
        struct grpc_call *call = wait->call;
        commit_wait_leave(waits, wait);
        wait->published(call);
    }
}

void commit_waits_settle(struct commit_waits *waits)
{
    if (cds_list_empty(&waits->calls))
        return;
    answer_published(waits);
    while (!cds_list_empty(&waits->calls) && first_wait(waits)->version != waits->noted) {
        uint64_t version = first_wait(waits)->version;
        if (shm_wait_begin(waits->actor, version))
            waits->noted = version;
        else /* it was published just now */
            answer_published(waits);
    }
}

/* ---- patience ---- */

/* Ends the calls that have waited enough. The end of one call may end others and take them off
 * their list. */
static void commit_waits_judge(struct commit_waits *waits, const struct shm_disk_info *disk,
                               uint64_t now)
{
    struct cds_list_head over;
    CDS_INIT_LIST_HEAD(&over);
    for (struct cds_list_head *at = waits->calls.next, *next; at != &waits->calls; at = next) {
        const struct commit_wait *wait = cds_list_entry(at, struct commit_wait, link);
        next = at->next;
        if (disk_patience_judge(disk, wait->call, wait->began, now).text == NULL)
            continue;
        cds_list_del(at);
        cds_list_add_tail(at, &over);
    }
    while (!cds_list_empty(&over)) {
        struct commit_wait *wait = cds_list_first_entry(&over, struct commit_wait, link);
        struct grpc_call *call = wait->call;
        struct disk_verdict verdict = disk_patience_judge(disk, call, wait->began, now);
        commit_wait_leave(waits, wait);
        grpc_call_finish(call, verdict.status, verdict.text);
    }
}

static void commit_waits_look(struct timer *timer)
{
    struct commit_waits *waits = container_of(timer, struct commit_waits, look);
    uint64_t now = grpc_server_now_ms(waits->server);
    answer_published(waits);
    struct shm_disk_info disk;
    shm_disk_info(waits->store, &disk);
    if (disk.state != waits->state || now >= waits->judge_at) {
        waits->state = disk.state;
        waits->judge_at = now + (disk.state == SHM_DISK_OK ? JUDGE_MS : JUDGE_TROUBLED_MS);
        commit_waits_judge(waits, &disk, now);
    }
    if (!cds_list_empty(&waits->calls))
        timer_arm(grpc_server_timers(waits->server), timer, now + LOOK_MS);
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
    wait->published = published;
    wait->version = version;
    wait->began = grpc_server_now_ms(server);
    if (cds_list_empty(&waits->calls)) {
        waits->server = server;
        timer_arm(grpc_server_timers(server), &waits->look, wait->began + LOOK_MS);
    }
    link_in_order(waits, wait);
}
