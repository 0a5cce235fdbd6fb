/* SPDX-License-Identifier: MIT */
#include "service/passwords/password_work.h"

#include <sys/param.h>

#include "base/container_of.h"

#define WAITING_MAX UINT64_C(1024) /* each of them looks for a try again and again */

void passwords_init(struct passwords *passwords, const struct service_config *config)
{
    const uint64_t window = config->password_tries_window;
    *passwords = (struct passwords){
        .pool = config->passwords,
        .tries = config->tries,
        .of_user = {.count = config->password_tries, .window = window},
        .of_address = {.count = config->password_tries_of_address, .window = window},
        .waiting_max = MIN(config->password_queue, WAITING_MAX),
        .store = config->store_passwords,
        .counts = config->password_counts,
    };
}

enum grpc_status passwords_status(const struct passwords *passwords, const char **text)
{
    if (passwords->pool != NULL)
        return GRPC_OK;
    if (passwords->tries == NULL) {
        *text = "the server works on no passwords: its option password-processes is 0";
        return GRPC_FAILED_PRECONDITION;
    }
    *text = "this worker works on no passwords: too many workers drain, try again";
    return GRPC_UNAVAILABLE;
}

bool password_work_possible(const struct passwords *passwords, struct grpc_call *call)
{
    const char *text;
    enum grpc_status status = passwords_status(passwords, &text);
    if (status != GRPC_OK)
        grpc_call_finish(call, status, text);
    return status == GRPC_OK;
}

static void on_password_done(struct pool_ticket *ticket, enum pool_outcome outcome,
                             const char *hash)
{
    struct password_work *work = container_of(ticket, struct password_work, ticket);
    work->done(work->call, outcome, hash);
}

void password_work_refuse(struct grpc_call *call)
{
    grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
                     "too many passwords wait (password-queue), try again");
}

enum pool_submitted password_work_submit(const struct passwords *passwords,
                                         struct password_work *work, struct grpc_call *call,
                                         struct pool_task *task,
                                         void (*done)(struct grpc_call *call,
                                                      enum pool_outcome outcome, const char *hash))
{
    task->deadline = grpc_call_deadline(call);
    work->ticket.done = on_password_done;
    work->call = call;
    work->done = done;
    enum pool_submitted result = pool_client_submit(passwords->pool, &work->ticket, task);
    if (result == POOL_FULL)
        password_work_refuse(call);
    else if (result == POOL_NO_MEMORY)
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    return result;
}

enum grpc_status password_outcome_status(enum pool_outcome outcome, const char **text)
{
    switch (outcome) {
    case POOL_EXPIRED:
        *text = "the password's turn came too late";
        return GRPC_DEADLINE_EXCEEDED;
    case POOL_LOST:
        *text = "the process that worked on the password has died or is too slow, try again";
        return GRPC_UNAVAILABLE;
    default:
        *text = "no memory to work on the password";
        return GRPC_RESOURCE_EXHAUSTED;
    }
}

void password_work_fail(struct grpc_call *call, enum pool_outcome outcome)
{
    const char *text;
    enum grpc_status status = password_outcome_status(outcome, &text);
    grpc_call_finish(call, status, text);
}
