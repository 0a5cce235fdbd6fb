/* SPDX-License-Identifier: MIT */
/* Scenes of the few instructions between which a reader comes online and publishes what it
 * needs. */
#include "tests/torture/storm_stage.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include <urcu/arch.h>
#include <urcu/uatomic.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/store.h"

/* ---- pins by the hundred ---- */

enum { HOLDERS = 3 };

/* Takes many snapshots, and stops before each. */
static void hold_many_versions(struct shm_actor *actor)
{
    for (int i = 0; i < SHM_PINS; i++) {
        struct shm_snapshot snapshot;
        raise(SIGSTOP);
        if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
            storm_fail("snapshot %d cannot begin", i);
        shm_actor_offline(actor);
    }
    raise(SIGSTOP);
}

static void list_and_rest(struct shm_actor *actor)
{
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

/* The body that the listing needs is needed by no pin before the listing's own: the pin of an
 * older version would keep it, too. */
void listing_with_hundreds_of_older_pins_shows_its_version(void)
{
    pid_t holder[HOLDERS];
    stage_begin(0);
    for (int h = 0; h < HOLDERS; h++) {
        holder[h] = stage_start_until_stopped(hold_many_versions);
        for (int i = 0; i < SHM_PINS; i++) {
            stage_must_commit(SHM_UPDATED, 0, 1);
            kill(holder[h], SIGCONT);
            stage_wait_until_stopped(holder[h]);
        }
    }
    stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST);
    pid_t pid = stage_start_until_stopped(list_and_rest);
    stage_churn(10);
    stage_continue_to_the_end(pid);
    for (int h = 0; h < HOLDERS; h++) {
        kill(holder[h], SIGKILL);
        stage_wait_until_killed(holder[h]);
    }
    /* Frees the dead processes' pins, which the next processes in their slots need. */
    stage_reclaim(4);
    stage_end();
}

/* ---- between two stores ---- */

static void reclaim(struct shm_actor *actor)
{
    unsigned steps;
    if (shm_reclaim(actor, 1000, &steps) != SHM_OK)
        storm_fail("the writer lock is held");
}

static void list_from_before(struct shm_actor *actor)
{
    stage_signal_at("version loaded", SIGSTOP);
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

static void reclaim_in_halves(struct shm_actor *actor)
{
    stage_signal_at("half looked", SIGSTOP);
    reclaim(actor);
}

/* The reader is online while the writer looks at the first half, and stores its pin before the
 * writer looks at the second. */
void pin_stored_between_two_looks_is_seen(void)
{
    stage_begin(0);
    pid_t reader = stage_start_until_stopped(list_from_before);
    stage_must_commit(SHM_UPDATED, 0, 10); /* too few for the writer to reclaim on its own */
    stage_must_commit(SHM_DELETED, STAGE_FIRST, 10);
    pid_t reclaimer = stage_start_until_stopped(reclaim_in_halves);
    kill(reader, SIGCONT);
    stage_wait_until_stopped(reader);
    stage_continue_to_the_end(reclaimer);
    stage_reclaim(4);
    stage_must_commit(SHM_CREATED, STAGE_FIRST, 10);
    stage_churn(3);
    stage_continue_to_the_end(reader);
    stage_end();
}

static void delete_to_the_last_word(struct shm_actor *actor)
{
    stage_signal_at("all but one replayed", SIGSTOP);
    stage_commit(actor, SHM_DELETED, STAGE_FIRST, 10);
}

/* A commit stops before its last word is replayed, and a reader comes online. */
void reader_between_a_version_and_its_token_is_waited_for(void)
{
    stage_begin(0);
    pid_t writer = stage_start_until_stopped(delete_to_the_last_word);
    pid_t reader = stage_start_until_stopped(list_from_before);
    stage_continue_to_the_end(writer);
    stage_reclaim(4);
    kill(reader, SIGCONT);
    stage_wait_until_stopped(reader);
    stage_must_commit(SHM_CREATED, STAGE_FIRST, 10);
    stage_churn(3);
    stage_continue_to_the_end(reader);
    stage_end();
}

static void pin_in_halves(struct shm_actor *actor)
{
    struct shm_snapshot snapshot;
    if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        storm_fail("no snapshot");
    shm_snapshot_end(actor, &snapshot);
    shm_actor_offline(actor);
    raise(SIGSTOP); /* its pin has an old version and must not count */
    stage_signal_at("half pinned", SIGSTOP);
    if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        storm_fail("no second snapshot");
    shm_snapshot_end(actor, &snapshot);
}

void half_stored_pin_holds_nothing(void)
{
    stage_begin(0);
    pid_t reader = stage_start_until_stopped(pin_in_halves);
    stage_must_commit(SHM_UPDATED, 0, 10);
    kill(reader, SIGCONT);
    stage_wait_until_stopped(reader);
    reclaim(stage_actor);
    if (shm_control()->held_count != 0)
        storm_fail("%llu bodies are held for a pin that is only half stored",
                   (unsigned long long)shm_control()->held_count);
    stage_continue_to_the_end(reader);
    stage_end();
}

/* ---- a barrier ---- */

enum { ROUNDS = 200000, PATIENCE = 1 << 14, BUSY = 16 };

/* Each word that one side writes and the other reads has a cache line of its own. */
struct meeting {
    _Alignas(SHM_LINE) uint64_t round;
    _Alignas(SHM_LINE) uint64_t unlinked; /* written by the retirer: number of this round */
    _Alignas(SHM_LINE) uint64_t looked;   /* last round in which the retirer looked at the slots */
    _Alignas(SHM_LINE) uint64_t over;     /* last round that the reader has finished */
    _Alignas(SHM_LINE) uint64_t read;     /* the value that the reader found in `unlinked` */
    /* Written by both: the reader's stores wait for these lines, and `ctr` waits behind them. */
    struct {
        _Alignas(SHM_LINE) uint64_t word;
    } busy[BUSY];
    unsigned slot; /* the reader's slot, set in the first round */
};

static struct meeting *meet;

/* Waits for the other process. Yields, because on a machine with one CPU the other cannot run
 * otherwise. */
static void wait_for(const uint64_t *word, uint64_t value)
{
    for (int spins = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) < value; spins++) {
        caa_cpu_relax();
        if (spins % PATIENCE == PATIENCE - 1)
            sched_yield();
    }
}

static void write_busy(uint64_t value)
{
    for (int i = 0; i < BUSY; i++)
        __atomic_store_n(&meet->busy[i].word, value, __ATOMIC_RELAXED);
}

static void come_online_often(struct shm_actor *actor)
{
    meet->slot = shm_actor_slot(actor);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        wait_for(&meet->round, i);
        write_busy(i);
        shm_actor_online(actor);
        meet->read = __atomic_load_n(&meet->unlinked, __ATOMIC_RELAXED);
        wait_for(&meet->looked, i);
        shm_actor_offline(actor);
        __atomic_store_n(&meet->over, i, __ATOMIC_RELEASE);
    }
}

/* The third case of shm/core/grace.h, with the processor's own reordering: if a process looks
 * at the slots after it unlinked, then either it sees the reader there, or the reader sees the
 * unlinking. */
void reader_coming_online_sees_what_was_unlinked_or_is_seen(void)
{
    stage_begin(0);
    meet = mmap(NULL, sizeof(*meet), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meet == MAP_FAILED)
        storm_fail("no memory for the shared words");
    pid_t pid = stage_start(come_online_often);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        write_busy(i);
        __atomic_store_n(&meet->round, i, __ATOMIC_RELEASE);
        for (uint64_t wait = i % 16; wait > 0; wait--)
            caa_cpu_relax();
        __atomic_store_n(&meet->unlinked, i, __ATOMIC_RELAXED);
        cmm_smp_mb();
        uint64_t ctr = __atomic_load_n(&shm_slot(meet->slot)->ctr, __ATOMIC_ACQUIRE);
        __atomic_store_n(&meet->looked, i, __ATOMIC_RELEASE);
        wait_for(&meet->over, i);
        if (i > 1 && ctr == 0 && meet->read != i)
            storm_fail("in round %llu a reader came online unseen and read what was unlinked",
                       (unsigned long long)i);
    }
    stage_continue_to_the_end(pid);
    stage_end();
}
