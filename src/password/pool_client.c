/* SPDX-License-Identifier: MIT */
#include "password/pool_client.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

#include "base/container_of.h"
#include "base/secret.h"

/* A request: in the list `waiting` until it is sent, then in a place of `sent` until its answer
 * comes. */
struct pool_job {
    struct pool_job *next, **prev; /* while it waits */
    unsigned sent_at;              /* the index of its place */
    struct pool_client *client;
    struct pool_ticket *ticket; /* NULL: nobody waits for the answer */
    struct timer patience;
    struct pool_request *request; /* in secret memory; NULL: it is sent */
    size_t size;                  /* of the request */
    uint64_t id;
};

struct job_list {
    struct pool_job *first, **end;
};

struct pool_client {
    struct pool_client_config config;
    int fd;
    uint64_t owner, last_id;
    struct job_list waiting;
    struct pool_job *sent[POOL_IN_FLIGHT_MAX]; /* NULL: the place is free */
    unsigned num_waiting, num_sent;
    struct pool_answer *answer; /* in secret memory */
};

/* ---- jobs ---- */

static void list_append(struct job_list *list, struct pool_job *job)
{
    job->next = NULL;
    job->prev = list->end;
    *list->end = job;
    list->end = &job->next;
}

static void list_remove(struct job_list *list, struct pool_job *job)
{
    *job->prev = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        list->end = job->prev;
}

static void show_load(const struct pool_client *client)
{
    pool_channels_set_load(client->config.channels, client->config.place,
                           client->num_waiting + client->num_sent);
}

static void job_free_request(struct pool_job *job)
{
    secret_free(job->request, job->size);
    job->request = NULL;
}

static void job_enqueue(struct pool_client *client, struct pool_job *job)
{
    list_append(&client->waiting, job);
    client->num_waiting++;
    show_load(client);
}

/* Takes the job out of its list and frees it. @return its ticket, which has no request any more */
static struct pool_ticket *job_end(struct pool_job *job)
{
    struct pool_client *client = job->client;
    struct pool_ticket *ticket = job->ticket;
    bool sent = job->request == NULL;
    if (sent) {
        client->sent[job->sent_at] = NULL;
        client->num_sent--;
    } else {
        list_remove(&client->waiting, job);
        client->num_waiting--;
    }
    show_load(client);
    timer_disarm(client->config.timers, &job->patience);
    job_free_request(job);
    free(job);
    if (ticket != NULL)
        ticket->job = NULL;
    return ticket;
}

static void job_finish(struct pool_job *job, enum pool_outcome outcome, const char *hash)
{
    struct pool_ticket *ticket = job_end(job);
    if (ticket != NULL)
        ticket->done(ticket, outcome, hash);
}

/* ---- sending ---- */

/* Moves jobs into the channel while it has room. A packet that it does not take is tried again when
 * an answer has come or another request is submitted; patience bounds that. */
static void send_jobs(struct pool_client *client)
{
    while (client->num_sent < client->config.in_flight && client->waiting.first != NULL) {
        struct pool_job *job = client->waiting.first;
        if (send(client->fd, job->request, job->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            return;
        list_remove(&client->waiting, job);
        while (client->sent[job->sent_at] != NULL)
            job->sent_at++;
        client->sent[job->sent_at] = job;
        job_free_request(job);
        client->num_waiting--;
        client->num_sent++;
    }
}

static void on_job_impatient(struct timer *timer)
{
    struct pool_job *job = container_of(timer, struct pool_job, patience);
    struct pool_client *client = job->client;
    job_finish(job, POOL_LOST, "");
    send_jobs(client);
}

/* ---- submitting ---- */

static struct pool_job *job_create(struct pool_client *client, const struct pool_task *task)
{
    size_t hash_len = task->hash != NULL ? strlen(task->hash) : 0;
    assert(task->password_len <= PASSWORD_MAX && hash_len <= PASSWORD_HASH_MAX);
    size_t size = offsetof(struct pool_request, bytes) + task->password_len + hash_len + 1;
    struct pool_job *job = calloc(1, sizeof(*job));
    struct pool_request *request = secret_alloc(size);
    if (job == NULL || request == NULL) {
        free(job);
        secret_free(request, size);
        return NULL;
    }
    job->client = client;
    job->request = request;
    job->size = size;
    job->id = ++client->last_id;
    request->owner = client->owner;
    request->id = job->id;
    request->expires =
        MIN(task->deadline, timers_now(client->config.timers) + client->config.patience);
    request->cost = client->config.cost;
    request->limits = client->config.limits;
    request->operation = (uint32_t)task->operation;
    request->password_len = (uint32_t)task->password_len;
    memcpy(request->bytes, task->password, task->password_len);
    memcpy(request->bytes + task->password_len, task->hash != NULL ? task->hash : "", hash_len + 1);
    return job;
}

/* @return how many requests of all workers may be there before this one */
static uint64_t room_for(const struct pool_client *client, const struct pool_task *task)
{
    enum { BULK_SHARE = 4 };
    uint64_t queue = client->config.queue;
    return task->bulk ? MAX(queue / BULK_SHARE, UINT64_C(1)) : queue;
}

enum pool_submitted pool_client_submit(struct pool_client *client, struct pool_ticket *ticket,
                                       const struct pool_task *task)
{
    assert(ticket->job == NULL);
    if (pool_channels_load(client->config.channels) >= room_for(client, task))
        return POOL_FULL;
    struct pool_job *job = job_create(client, task);
    if (job == NULL)
        return POOL_NO_MEMORY;
    job->ticket = ticket;
    ticket->job = job;
    job->patience.expired = on_job_impatient;
    timer_arm(client->config.timers, &job->patience,
              timers_now(client->config.timers) + client->config.patience);
    job_enqueue(client, job);
    send_jobs(client);
    return POOL_SUBMITTED;
}

void pool_ticket_cancel(struct pool_ticket *ticket)
{
    struct pool_job *job = ticket->job;
    if (job == NULL)
        return;
    ticket->job = NULL;
    job->ticket = NULL;
    if (job->request != NULL)
        job_end(job);
}

unsigned pool_client_load(const struct pool_client *client)
{
    return client->num_waiting + client->num_sent;
}

/* ---- answers ---- */

/* Frees the place of the job that the answer is for.
 * @return NULL: the job has ended already, or the answer is another worker's */
static struct pool_job *take_answered_job(struct pool_client *client)
{
    for (unsigned i = 0; i < client->config.in_flight; i++) {
        struct pool_job *job = client->sent[i];
        if (job == NULL || job->id != client->answer->id || client->answer->owner != client->owner)
            continue;
        client->sent[i] = NULL;
        return job;
    }
    return NULL;
}

void pool_client_read(struct pool_client *client)
{
    struct pool_answer *answer = client->answer;
    /* as many as can be there: `done` may submit again, and other work waits for this to end */
    for (unsigned i = 0; i <= client->config.in_flight; i++) {
        ssize_t got = recv(client->fd, answer, sizeof(*answer), MSG_DONTWAIT);
        if (got < 0)
            break;
        struct pool_job *job = got == (ssize_t)sizeof(*answer) ? take_answered_job(client) : NULL;
        answer->hash[PASSWORD_HASH_MAX] = '\0';
        if (job != NULL)
            job_finish(job, (enum pool_outcome)MIN(answer->outcome, (uint32_t)POOL_LOST),
                       answer->hash);
    }
    explicit_bzero(answer, sizeof(*answer));
    send_jobs(client);
}

/* ---- start and end ---- */

struct pool_client *pool_client_create(const struct pool_client_config *config)
{
    assert(config->in_flight <= POOL_IN_FLIGHT_MAX);
    struct pool_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    client->config = *config;
    client->waiting.end = &client->waiting.first;
    client->answer = secret_alloc(sizeof(*client->answer));
    client->fd = pool_channels_keep(config->channels, config->place, &client->owner);
    if (client->answer != NULL && client->fd >= 0)
        return client;
    pool_client_destroy(client);
    return NULL;
}

void pool_client_destroy(struct pool_client *client)
{
    if (client == NULL)
        return;
    for (struct pool_job *job = client->waiting.first, *next; job != NULL; job = next) {
        next = job->next;
        job_end(job);
    }
    for (unsigned i = 0; i < client->config.in_flight; i++)
        if (client->sent[i] != NULL)
            job_end(client->sent[i]);
    secret_free(client->answer, sizeof(*client->answer));
    free(client);
}

int pool_client_fd(const struct pool_client *client)
{
    return client->fd;
}
