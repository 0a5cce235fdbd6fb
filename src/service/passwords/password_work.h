/* SPDX-License-Identifier: MIT */
/*
 * A call and the processes that hash passwords (password/pool_client.h): the call waits for its
 * answer, and the worker serves others meanwhile. A call whose password cannot be worked on ends
 * with a status that says why.
 */
#ifndef ROSTERD_SERVICE_PASSWORDS_PASSWORD_WORK_H
#define ROSTERD_SERVICE_PASSWORDS_PASSWORD_WORK_H

#include "grpc/grpc.h"
#include "password/pool_client.h"
#include "password/tries.h"
#include "service/core/password_counts.h"
#include "service/core/service.h"

/** What the calls of one worker share. */
struct passwords {
    struct pool_client *pool; /* NULL: no password can be hashed */
    struct tries *tries;      /* NULL: there are no processes for passwords at all */
    struct tries_rate of_user, of_address;
    uint64_t waiting, waiting_max; /* calls that wait for a try */
    bool store;                    /* UserService.CreateUser stores passwords */
    struct password_counts *counts;
};

void passwords_init(struct passwords *passwords, const struct service_config *config);

/** A part of the call's state. Zeroed: nothing is under way. */
struct password_work {
    struct pool_ticket ticket;
    struct grpc_call *call;
    void (*done)(struct grpc_call *call, enum pool_outcome outcome, const char *hash);
};

/** Whether passwords can be worked on here.
 * @return GRPC_OK; otherwise `text`, a static string, says why not */
enum grpc_status passwords_status(const struct passwords *passwords, const char **text);
/** Whether passwords can be hashed here. @return false: the call has ended, and the status text
 * names the option */
bool password_work_possible(const struct passwords *passwords, struct grpc_call *call);
/**
 * Hands the task to the pool, with the call's deadline. `done` is called once, from the loop.
 * @param work of the call's state, with nothing under way
 * @param done `hash` as of struct pool_answer: overwritten after the callback
 * @return POOL_FULL, POOL_NO_MEMORY: the call has ended with RESOURCE_EXHAUSTED
 */
enum pool_submitted password_work_submit(const struct passwords *passwords,
                                         struct password_work *work, struct grpc_call *call,
                                         struct pool_task *task,
                                         void (*done)(struct grpc_call *call,
                                                      enum pool_outcome outcome, const char *hash));
/** At the end of the call: `done` is not called any more. */
static inline void password_work_cancel(struct password_work *work)
{
    pool_ticket_cancel(&work->ticket);
}
/** The status and the text, a static string, for an outcome that the task does not ask for. */
enum grpc_status password_outcome_status(enum pool_outcome outcome, const char **text);
/** Ends a call for whose password the queue has no room. */
void password_work_refuse(struct grpc_call *call);
/** Ends a call whose outcome is none that its task asks for. */
void password_work_fail(struct grpc_call *call, enum pool_outcome outcome);

static inline void passwords_count(const struct passwords *passwords, enum password_count what)
{
    if (passwords->counts != NULL)
        passwords->counts->of[what]++;
}

#endif
