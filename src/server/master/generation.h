/* SPDX-License-Identifier: MIT */
/*
 * What one reading of the configuration brought into force: options, tokens, certificates,
 * sockets, and the workers that serve with them. A reload makes another generation beside the
 * one that serves; when all its workers accept, the older one drains.
 */
#ifndef ROSTERD_SERVER_MASTER_GENERATION_H
#define ROSTERD_SERVER_MASTER_GENERATION_H

#include "base/fault.h"
#include "server/config/options.h"
#include "server/master/children.h"
#include "server/os/listen.h"
#include "server/worker/balance.h"

enum generation_state {
    GENERATION_STARTING, /* not all of its workers accept yet */
    GENERATION_SERVING,
    GENERATION_LEAVING, /* its workers drain, or are being killed */
};

struct generation {
    struct options options;
    struct listeners listeners, web_listeners;
    struct auth *auth;
    struct tls *tls;
    struct balance *balance;
    int access_log_fd;
    struct children children;
    enum generation_state state;
    bool given_up;    /* a reload that failed: its workers are killed, and that is nobody's loss */
    uint64_t kill_at; /* ms, while leaving: who is there still is killed */
    struct generation *older;
};

/** What generations have in common. */
struct world {
    struct admission *admission;
    struct shm_store *store;
    struct shm_counters *counters;
    int death_fd; /* the end of a pipe whose other end the master alone holds */
};

/** Reads the token and TLS files. Changes nothing outside. @return false with fault set
 * @param before whose tickets go on to count, or NULL */
bool generation_load(struct generation *generation, const struct generation *before,
                     struct fault *fault);
/**
 * Loads, opens logs, binds what is not bound.
 * @param options become the generation's, whatever comes of it
 * @param before whose sockets it shares; NULL: the first one
 * @param handed sockets that this process was started with
 * @return NULL with fault set; else to be given to generation_close()
 */
struct generation *generation_open(struct options *options, const struct generation *before,
                                   const struct listeners *handed, const struct world *world,
                                   struct fault *fault);
/** Once none of its workers runs, or in a worker: what is closed is this process's view. */
void generation_close(struct generation *generation);
/** Opens the access log's file anew. */
bool generation_reopen_logs(struct generation *generation);

#endif
