/* SPDX-License-Identifier: MIT */
/* Workers get the answers to their requests, in turn; queues are bounded; nobody spins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/password/pool_kit.h"

/* ---- answers ---- */

static enum pool_outcome outcome_of(struct kit_worker *worker, enum pool_operation operation,
                                    const char *password, const char *hash)
{
    struct kit_request request;
    CHECK(kit_submit(worker, &request, operation, password, hash, CLOCK_NEVER_MS) ==
          POOL_SUBMITTED);
    CHECK(request.times == 0); /* never within the call */
    kit_turn_until(worker, worker->done + 1);
    return request.outcome;
}

static void ask_everything(struct kit_worker *worker)
{
    static const char bcrypt[] = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    char made[PASSWORD_HASH_MAX + 1], longest[PASSWORD_MAX + 1];
    CHECK(outcome_of(worker, POOL_VERIFY, "hunter2", kit_hash) == POOL_YES);
    CHECK(worker->hash[0] == '\0'); /* nothing to replace */
    CHECK(outcome_of(worker, POOL_VERIFY, "hunter3", kit_hash) == POOL_NO);
    CHECK(outcome_of(worker, POOL_VERIFY, "", kit_hash) == POOL_NO);
    CHECK(outcome_of(worker, POOL_VERIFY, "hunter2", "$9$broken") == POOL_FAILED);
    CHECK(outcome_of(worker, POOL_VERIFY, "hunter2", NULL) == POOL_FAILED);
    CHECK(outcome_of(worker, POOL_PRETEND, "hunter2", NULL) == POOL_NO);
    memset(longest, 'z', PASSWORD_MAX);
    longest[PASSWORD_MAX] = '\0';
    CHECK(outcome_of(worker, POOL_HASH, longest, NULL) == POOL_HASHED);
    strcpy(made, worker->hash);
    CHECK(outcome_of(worker, POOL_VERIFY, longest, made) == POOL_YES);
    CHECK(outcome_of(worker, POOL_VERIFY, "U*U", bcrypt) == POOL_YES);
    strcpy(made, worker->hash); /* the new hash, instead of bcrypt's */
    CHECK(strncmp(made, "$argon2id$v=19$m=1024,t=1,p=1$", 30) == 0);
    CHECK(outcome_of(worker, POOL_VERIFY, "U*U", made) == POOL_YES);
    CHECK(outcome_of(worker, POOL_VERIFY, "U*V", made) == POOL_NO);
    CHECK(pool_client_load(worker->client) == 0 && pool_channels_load(worker->kit->channels) == 0);
}

static void each_operation_has_its_answer(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_cheap, ask_everything)), 0);
    kit_close(&kit);
}

static void send_rubbish(struct kit_worker *worker)
{
    struct pool_request request;
    CHECK(outcome_of(worker, POOL_VERIFY, "hunter2", kit_hash) == POOL_YES);
    uint64_t owner = worker->kit->boards[0].owner;
    memset(&request, 0xff, sizeof(request));
    for (size_t size = 0; size <= sizeof(request); size += 97)
        for (int owned = 0; owned < 2; owned++) {
            struct kit_request real;
            if (owned)
                request.owner = owner;
            CHECK(send(pool_client_fd(worker->client), &request, size, 0) == (ssize_t)size);
            CHECK(kit_submit(worker, &real, POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
                  POOL_SUBMITTED);
            kit_turn_until(worker, worker->done + 1);
            CHECK(real.outcome == POOL_YES);
        }
}

static void malformed_packet_harms_nobody(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_cheap, send_rubbish)), 0);
    kit_close(&kit);
}

static void expect_only_the_own_answer(struct kit_worker *worker)
{
    struct kit_request request;
    CHECK(kit_submit(worker, &request, POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
          POOL_SUBMITTED);
    kit_turn_until(worker, 1);
    for (unsigned i = 0; i < 3; i++)
        kit_turn(worker);
    CHECK(request.times == 1 && request.outcome == POOL_NO);
    CHECK(pool_client_load(worker->client) == 0);
}

/* The test is a process of the pool that answers for an earlier worker, with a torn packet, and
 * twice. */
static void answer_of_another_owner_and_a_second_one_are_dropped(void **state)
{
    (void)state;
    struct pool_kit kit;
    struct pool_request request;
    kit_open(&kit, 0);
    pid_t worker = kit_worker(&kit, 0, &kit_cheap, expect_only_the_own_answer);
    int fd = pool_channels_fd(kit.channels, 0);
    WAIT_FOR(recv(fd, &request, sizeof(request), MSG_DONTWAIT) > 0);
    struct pool_answer answer = {.owner = request.owner + 2, .id = request.id, .outcome = POOL_YES};
    assert_int_equal(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
    answer.owner = request.owner;
    answer.id++;
    assert_int_equal(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
    answer.id--;
    assert_int_equal(send(fd, &answer, sizeof(answer) - 1, 0), sizeof(answer) - 1);
    answer.outcome = POOL_NO;
    assert_int_equal(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
    answer.outcome = POOL_YES;
    assert_int_equal(send(fd, &answer, sizeof(answer), 0), sizeof(answer));
    pool_channels_answer_lost(kit.channels, 0, request.owner, request.id);
    assert_int_equal(kit_bury_worker(&kit, 0, worker), 0);
    kit_close(&kit);
}

/* ---- bounds ---- */

static const struct kit_bounds eight = {8, 60000, {PASSWORD_MEMORY_LEAST, 1}};

static void fill_the_queue(struct kit_worker *worker)
{
    struct kit_request requests[9];
    for (unsigned i = 0; i < 8; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    CHECK(kit_submit(worker, &requests[8], POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
          POOL_FULL);
    CHECK(requests[8].ticket.job == NULL);
    __atomic_store_n(&worker->kit->shared[0], 1, __ATOMIC_RELEASE);
    WAIT_FOR(__atomic_load_n(&worker->kit->shared[1], __ATOMIC_ACQUIRE) != 0);
}

static void find_it_full(struct kit_worker *worker)
{
    struct kit_request request;
    CHECK(kit_submit(worker, &request, POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
          POOL_FULL);
}

static void find_room(struct kit_worker *worker)
{
    struct kit_request request;
    CHECK(kit_submit(worker, &request, POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
          POOL_SUBMITTED);
    pool_ticket_cancel(&request.ticket);
    pool_ticket_cancel(&request.ticket);
}

/* Without a process of the pool, so that everything stays in the queue. */
static void full_queue_is_told_at_once_to_all_workers(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 0);
    pid_t filler = kit_worker(&kit, 0, &eight, fill_the_queue);
    WAIT_FOR(__atomic_load_n(&kit.shared[0], __ATOMIC_ACQUIRE) != 0);
    assert_int_equal(pool_channels_load(kit.channels), 8);
    assert_int_equal(kit_bury_worker(&kit, 1, kit_worker(&kit, 1, &eight, find_it_full)), 0);
    __atomic_store_n(&kit.shared[1], 1, __ATOMIC_RELEASE);
    assert_int_equal(kit_bury_worker(&kit, 0, filler), 0);
    assert_int_equal(pool_channels_load(kit.channels), 0);
    assert_int_equal(kit_bury_worker(&kit, 1, kit_worker(&kit, 1, &eight, find_room)), 0);
    kit_close(&kit);
}

static void cancel_most(struct kit_worker *worker)
{
    struct kit_request requests[100], last;
    for (unsigned i = 0; i < 100; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    for (unsigned i = 0; i < 100; i++)
        pool_ticket_cancel(&requests[i].ticket);
    CHECK(pool_client_load(worker->client) == KIT_IN_FLIGHT);
    CHECK(kit_submit(worker, &last, POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) == POOL_SUBMITTED);
    kit_turn_until(worker, 1);
    CHECK(last.times == 1 && worker->done == 1);
    CHECK(pool_client_load(worker->client) == 0);
}

static void cancelled_requests_are_not_worked_on(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_usual, cancel_most)), 0);
    assert_true(kit.boards[0].served <= KIT_IN_FLIGHT + 1);
    kit_close(&kit);
}

static void let_one_expire(struct kit_worker *worker)
{
    struct kit_request expired, other;
    CHECK(kit_submit(worker, &expired, POOL_VERIFY, "hunter2", kit_hash, clock_monotonic_ms()) ==
          POOL_SUBMITTED);
    CHECK(kit_submit(worker, &other, POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
          POOL_SUBMITTED);
    kit_turn_until(worker, 2);
    CHECK(expired.outcome == POOL_EXPIRED && other.outcome == POOL_YES);
}

static void expired_request_is_skipped(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_cheap, let_one_expire)), 0);
    kit_close(&kit);
}

static const struct kit_bounds impatient = {256, 50, {PASSWORD_MEMORY_LEAST, 1}};

static void lose_patience(struct kit_worker *worker)
{
    struct kit_request requests[10];
    for (unsigned i = 0; i < 10; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_VERIFY, "hunter2", kit_hash, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    pool_ticket_cancel(&requests[0].ticket);
    kit_turn_until(worker, 9);
    CHECK(worker->outcomes[POOL_LOST] == 9 && pool_client_load(worker->client) == 0);
    CHECK(pool_channels_load(worker->kit->channels) == 0);
}

/* Also the requests that are in the channel: a slot of it must not leak. */
static void without_an_answer_a_request_is_lost_in_time(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 0);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &impatient, lose_patience)), 0);
    kit_close(&kit);
}

/* ---- turns ---- */

enum { HAS_QUEUED, MAY_END, NUM_DONE };

static void queue_many(struct kit_worker *worker)
{
    struct kit_request requests[100];
    uint64_t *shared = worker->kit->shared;
    for (unsigned i = 0; i < 100; i++)
        CHECK(kit_submit(worker, &requests[i], POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
    __atomic_store_n(&shared[HAS_QUEUED], 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&shared[MAY_END], __ATOMIC_ACQUIRE) == 0 && worker->done < 100) {
        kit_turn(worker);
        __atomic_store_n(&shared[NUM_DONE], worker->done, __ATOMIC_RELEASE);
    }
    for (unsigned i = 0; i < 100; i++)
        pool_ticket_cancel(&requests[i].ticket);
}

static void ask_once(struct kit_worker *worker)
{
    uint64_t *shared = worker->kit->shared;
    struct kit_request request;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = __atomic_load_n(&shared[NUM_DONE], __ATOMIC_ACQUIRE);
        CHECK(kit_submit(worker, &request, POOL_PRETEND, "x", NULL, CLOCK_NEVER_MS) ==
              POOL_SUBMITTED);
        kit_turn_until(worker, worker->done + 1);
        /* the one that was being worked on, and one turn of the other worker */
        CHECK(__atomic_load_n(&shared[NUM_DONE], __ATOMIC_ACQUIRE) - before <= 3);
    }
}

static void worker_with_one_request_does_not_wait_for_the_queue_of_another(void **state)
{
    (void)state;
    struct pool_kit kit;
    kit_open(&kit, 1);
    pid_t busy = kit_worker(&kit, 0, &kit_usual, queue_many);
    WAIT_FOR(__atomic_load_n(&kit.shared[HAS_QUEUED], __ATOMIC_ACQUIRE) != 0);
    assert_int_equal(kit_bury_worker(&kit, 1, kit_worker(&kit, 1, &kit_usual, ask_once)), 0);
    __atomic_store_n(&kit.shared[MAY_END], 1, __ATOMIC_RELEASE);
    assert_int_equal(kit_bury_worker(&kit, 0, busy), 0);
    kit_close(&kit);
}

/* CPU time of the processes over a time in which nothing is asked. */
static void idle_processes_do_not_run(void **state)
{
    (void)state;
    struct pool_kit kit;
    clockid_t clock;
    kit_open(&kit, 1);
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_cheap, let_one_expire)), 0);
    assert_int_equal(clock_getcpuclockid(kit.processes[0], &clock), 0);
    uint64_t before = clock_read_ns(clock);
    uint32_t turns = kit.boards[0].turns;
    usleep(500000);
    assert_true(clock_read_ns(clock) - before < 5000000);
    assert_true(__atomic_load_n(&kit.boards[0].turns, __ATOMIC_RELAXED) - turns <= 2);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_has_its_answer),
        cmocka_unit_test(malformed_packet_harms_nobody),
        cmocka_unit_test(answer_of_another_owner_and_a_second_one_are_dropped),
        cmocka_unit_test(full_queue_is_told_at_once_to_all_workers),
        cmocka_unit_test(cancelled_requests_are_not_worked_on),
        cmocka_unit_test(expired_request_is_skipped),
        cmocka_unit_test(without_an_answer_a_request_is_lost_in_time),
        cmocka_unit_test(worker_with_one_request_does_not_wait_for_the_queue_of_another),
        cmocka_unit_test(idle_processes_do_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
