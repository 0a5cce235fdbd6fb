/* SPDX-License-Identifier: MIT */
#include "server/worker/upkeep.h"

#include <malloc.h>
#include <string.h>

#include "server/os/log.h"

enum {
    IDLE_MS = 2000,         /* without a byte from any client: the worker is idle */
    FORGET_MS = 60000,      /* between two searches for old TLS secrets */
    REPORT_LOST_MS = 60000, /* between two log lines about lost access log lines */
    KEEP_BLOCK = 2 << 20,   /* bytes: a larger block is mapped and unmapped by itself */
    KEEP_HEAP = 16 << 20,   /* free bytes that a busy worker keeps */
};

/* The master kills a worker whose turns do not increase; other workers pass it over. */
static void show_progress(const struct worker_config *config)
{
    struct stats_board *board = config->board;
    __atomic_store_n(&board->turns, board->turns + 1, __ATOMIC_RELAXED);
    balance_turn(config->balance, config->number);
}

/* The first loss is reported at once, then at most one report per REPORT_LOST_MS. */
static void report_lost_lines(struct upkeep *upkeep, const struct serving *serving)
{
    uint64_t now = grpc_server_now_ms(serving->server),
             lost = access_log_dropped(serving->access_log);
    if (upkeep->reported_dropped != 0 && now < upkeep->report_at)
        return;
    int error = access_log_error(serving->access_log);
    log_warning("access-log-file: %llu lines are lost: %s",
                (unsigned long long)(lost - upkeep->reported_dropped),
                error != 0 ? strerror(error) : "its file or pipe is too slow");
    upkeep->reported_dropped = lost;
    upkeep->report_at = now + REPORT_LOST_MS;
}

static void count_passwords(struct upkeep *upkeep, struct stats *stats,
                            const struct password_counts *counts)
{
    if (memcmp(&upkeep->passwords, counts, sizeof(*counts)) == 0)
        return;
    upkeep->passwords = *counts;
    _Static_assert(STATS_PASSWORDS_REPLACED - STATS_PASSWORDS_ACCEPTED == PASSWORD_REPLACED,
                   "the rows are in the order of enum password_count");
    for (unsigned i = 0; i < PASSWORD_NUM_COUNTS; i++)
        stats_set_total(stats, STATS_PASSWORDS_ACCEPTED + i, counts->of[i]);
}

static void count_refusals(struct upkeep *upkeep, struct stats *stats,
                           const struct service_counts *counts)
{
    uint64_t refused = counts->no_room_users + counts->no_room_segment + counts->no_room_memory;
    if (refused == upkeep->refused)
        return;
    upkeep->refused = refused;
    stats_set_total(stats, STATS_NO_ROOM_USERS, counts->no_room_users);
    stats_set_total(stats, STATS_NO_ROOM_SEGMENT, counts->no_room_segment);
    stats_set_total(stats, STATS_NO_ROOM_MEMORY, counts->no_room_memory);
}

void upkeep_count(struct upkeep *upkeep, struct serving *serving, const struct acceptor *acceptor)
{
    struct stats *stats = serving->stats;
    stats_set_total(stats, STATS_LIMIT_MESSAGE_SIZE, grpc_server_oversized(serving->server));
    stats_set_total(stats, STATS_LIMIT_MESSAGE_TIME, grpc_server_overdue(serving->server));
    if (serving->access_log != NULL) {
        access_log_flush(serving->access_log);
        uint64_t dropped = access_log_dropped(serving->access_log);
        stats_set_total(stats, STATS_ACCESS_LOG_DROPPED, dropped);
        if (dropped != upkeep->reported_dropped)
            report_lost_lines(upkeep, serving);
    }
    stats_set_total(stats, STATS_WATCHES, serving->counts.watches);
    stats_set_total(stats, STATS_WATCH_EVENTS, serving->counts.watch_events);
    stats_set_total(stats, STATS_WATCHES_LOST, serving->counts.watches_lost);
    count_refusals(upkeep, stats, &serving->counts);
    stats_set_total(stats, STATS_LOG_DROPPED, log_dropped());
    count_passwords(upkeep, stats, &serving->password_counts);
    if (acceptor != NULL) {
        stats_set_total(stats, STATS_LIMIT_CONNECTIONS, accept_refused(acceptor)->full);
        stats_set_total(stats, STATS_LIMIT_CONNECTIONS_OF_ADDRESS,
                        accept_refused(acceptor)->address_full);
    }
    stats_fold(stats);
}

/* A worker that serves no TLS connection for hours must forget old secrets, too: a secret that is
 * still in memory can be stolen. */
static void forget_old_secrets(struct upkeep *upkeep, struct tls *tls, uint64_t now)
{
    if (tls == NULL || now < upkeep->forget_at)
        return;
    tls_forget_old_secrets(tls);
    upkeep->forget_at = now + FORGET_MS;
}

/* By itself glibc gives memory at the end of the heap back whenever 256 KiB of it are free. Where
 * that was the memory of replies, system calls and page faults took more than half of the time of a
 * page of 1,000 users. */
void upkeep_keep_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_BLOCK);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_HEAP);
}

/* glibc keeps the memory that large messages and many connections needed. A worker that has
 * received nothing for IDLE_MS has the time to give it back to the kernel; a busy one would soon
 * need it again. */
static void trim_when_idle(struct upkeep *upkeep, const struct serving *serving, uint64_t now)
{
    if (now < upkeep->idle_check_at)
        return;
    upkeep->idle_check_at = now + IDLE_MS;
    uint64_t bytes_in = http2_context_counts(grpc_server_http2(serving->server))->bytes_in;
    bool idle = bytes_in == upkeep->idle_bytes_in;
    if (idle && !upkeep->trimmed)
        malloc_trim(0);
    upkeep->trimmed = idle;
    upkeep->idle_bytes_in = bytes_in;
}

void upkeep_after_turn(struct upkeep *upkeep, const struct worker_config *config,
                       struct serving *serving, const struct acceptor *acceptor)
{
    show_progress(config);
    upkeep_count(upkeep, serving, acceptor);
    uint64_t now = grpc_server_now_ms(serving->server);
    forget_old_secrets(upkeep, config->tls, now);
    trim_when_idle(upkeep, serving, now);
}
