/* SPDX-License-Identifier: MIT */
#include "service/directory/verify_tries.h"

#include <stdio.h>

#include "base/container_of.h"
#include "proto/google/rpc/error_details.pb-c.h"
#include "service/users/user_service_state.h"

enum {
    OF_ADDRESS = VERIFY_BY_EMAIL + 1, /* kinds of keys; those of users are by what they are */
    AGAIN_MS = 10,
    PATIENCE_MS = 10000, /* the deadline may come earlier */
    SECOND_MS = 1000,
    MS_NS = 1000000,
};

static struct passwords *passwords_of(struct grpc_call *call)
{
    struct user_service *service = grpc_call_service_data(call);
    return &service->passwords;
}

static struct timers *timers_for_tries(struct grpc_call *call)
{
    return grpc_server_timers(grpc_call_server(call));
}

static uint64_t now_for_tries(struct grpc_call *call)
{
    return grpc_server_now_ms(grpc_call_server(call));
}

void verify_tries_give_back(struct grpc_call *call, struct verify_tries *mine)
{
    struct tries *tries = passwords_of(call)->tries;
    tries_give_back(tries, &mine->of_user, now_for_tries(call));
    tries_give_back(tries, &mine->of_address, now_for_tries(call));
}

/* Takes a try of the address and one of the user, or none. @param whose set if it takes none */
static enum tries_result take_both(struct grpc_call *call, struct verify_tries *mine,
                                   const char **whose, uint64_t *wait)
{
    const struct passwords *passwords = passwords_of(call);
    uint64_t now = now_for_tries(call);
    enum tries_result result = TRIES_TAKEN;
    *whose = "from this address";
    if (mine->has_address)
        result = tries_take(passwords->tries, mine->address_key, &passwords->of_address, now,
                            &mine->of_address, wait);
    if (result != TRIES_TAKEN)
        return result;
    *whose = "for this user";
    result = tries_take(passwords->tries, mine->user_key, &passwords->of_user, now, &mine->of_user,
                        wait);
    if (result != TRIES_TAKEN)
        tries_give_back(passwords->tries, &mine->of_address, now);
    return result;
}

/* @param wait ms */
static void refuse(struct grpc_call *call, const char *whose, uint64_t wait)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    char text[96];
    delay.seconds = (int64_t)(wait / SECOND_MS);
    delay.nanos = (int32_t)(wait % SECOND_MS * MS_NS);
    info.retry_delay = &delay;
    snprintf(text, sizeof(text), "too many wrong passwords %s: try again in %llu s", whose,
             (unsigned long long)(wait + SECOND_MS - 1) / SECOND_MS);
    passwords_count(passwords_of(call), PASSWORD_LIMITED);
    grpc_call_finish_detail(call, GRPC_RESOURCE_EXHAUSTED, text, &info.base);
}

/* ---- waiting ---- */

static void wait_no_more(struct grpc_call *call, struct verify_tries *mine)
{
    if (mine->waits_until == 0)
        return;
    timer_disarm(timers_for_tries(call), &mine->later);
    mine->waits_until = 0;
    passwords_of(call)->waiting--;
}

static void try_later(struct timer *timer);

/* The tries of calls before this one may come back.
 * @return false: the call has waited enough, or enough others wait */
static bool wait_for_try(struct grpc_call *call, struct verify_tries *mine)
{
    struct passwords *passwords = passwords_of(call);
    uint64_t now = now_for_tries(call);
    if (mine->waits_until == 0) {
        if (passwords->waiting >= passwords->waiting_max)
            return false;
        passwords->waiting++;
        mine->waits_until = now + PATIENCE_MS;
        mine->later.expired = try_later;
    }
    if (now >= mine->waits_until)
        return false;
    timer_arm(timers_for_tries(call), &mine->later, now + AGAIN_MS);
    return true;
}

static void take_or_wait(struct grpc_call *call, struct verify_tries *mine)
{
    const char *whose;
    uint64_t wait = 0;
    enum tries_result result = take_both(call, mine, &whose, &wait);
    if (result == TRIES_LATER && wait_for_try(call, mine))
        return;
    wait_no_more(call, mine);
    if (result == TRIES_TAKEN) {
        mine->taken(call);
    } else if (result == TRIES_NONE) {
        refuse(call, whose, wait);
    } else {
        password_work_refuse(call);
        passwords_count(passwords_of(call), PASSWORD_BUSY);
    }
}

static void try_later(struct timer *timer)
{
    struct verify_tries *mine = container_of(timer, struct verify_tries, later);
    if (!grpc_call_is_finished(mine->call)) /* its deadline may have come in the same turn */
        take_or_wait(mine->call, mine);
}

void verify_tries_take(struct grpc_call *call, struct verify_tries *mine,
                       enum directory_verify_by by, const void *key, size_t len,
                       void (*taken)(struct grpc_call *call))
{
    const struct tries *tries = passwords_of(call)->tries;
    uint8_t address[ADDRESS_KEY_MAX];
    size_t address_len = grpc_call_peer_key(call, address);
    mine->has_address = address_len != 0;
    mine->address_key = tries_key(tries, OF_ADDRESS, address, address_len);
    mine->user_key = tries_key(tries, by, key, len);
    mine->call = call;
    mine->taken = taken;
    take_or_wait(call, mine);
}

void verify_tries_end(struct grpc_call *call, struct verify_tries *mine)
{
    wait_no_more(call, mine);
    tries_use(passwords_of(call)->tries, &mine->of_user);
    tries_use(passwords_of(call)->tries, &mine->of_address);
}
