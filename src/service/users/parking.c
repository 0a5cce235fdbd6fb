/* SPDX-License-Identifier: MIT */
#include "service/users/parking.h"

#include <assert.h>

#include "base/container_of.h"
#include "service/users/disk_patience.h"

static void parking_on_timer(struct timer *timer)
{
    struct parking *parking = container_of(timer, struct parking, timer);
    if (!grpc_call_is_finished(parking->call)) /* its deadline may have come in the same turn */
        parking->retry(parking->call);
}

bool parking_enter(struct parking *parking, struct grpc_call *call,
                   void (*retry)(struct grpc_call *call))
{
    struct grpc_server *server = grpc_call_server(call);
    uint64_t now = grpc_server_now_ms(server);
    if (!parking_is_parked(parking)) {
        parking->timer.expired = parking_on_timer;
        parking->call = call;
        parking->retry = retry;
        parking->began = now;
        parking->until = now + PARKING_TOTAL_MS;
        parking->delay = PARKING_DELAY_MIN_MS;
    } else if (now >= parking->until) {
        return false;
    } else if (parking->delay < PARKING_DELAY_MAX_MS) {
        parking->delay *= 2;
    }
    assert(parking->call == call);
    timer_arm(grpc_server_timers(server), &parking->timer, now + parking->delay);
    return true;
}

bool parking_enter_write(struct parking *parking, struct grpc_call *call,
                         void (*retry)(struct grpc_call *call), const struct shm_store *store)
{
    struct shm_disk_info disk;
    shm_disk_info(store, &disk);
    if (parking_is_parked(parking) && disk_is_behind(&disk)) {
        uint64_t now = grpc_server_now_ms(grpc_call_server(call));
        uint64_t end = disk_patience_end(&disk, call, parking->began);
        parking->until = now < end ? now + PARKING_TOTAL_MS : now;
    }
    return parking_enter(parking, call, retry);
}

void parking_leave(struct parking *parking, struct grpc_call *call)
{
    parking->until = 0;
    timer_disarm(grpc_server_timers(grpc_call_server(call)), &parking->timer);
}
