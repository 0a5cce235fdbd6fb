/* SPDX-License-Identifier: MIT */
/*
 * A generation is what one reading of the configuration brings into force: options, tokens,
 * certificates, sockets, and the workers that serve with them. A reload makes a new generation
 * while the old one serves; when all workers of the new one accept connections, the old one drains.
 */
#ifndef ROSTERD_SERVER_MASTER_GENERATION_H
#define ROSTERD_SERVER_MASTER_GENERATION_H

#include "base/fault.h"
#include "password/pool_channels.h"
#include "password/tries.h"
#include "server/config/options.h"
#include "server/master/children.h"
#include "server/os/listen.h"
#include "server/tls/tls.h"
#include "server/worker/admission.h"
#include "server/worker/balance.h"
#include "service/auth.h"
#include "shm/counters.h"
#include "shm/store.h"

enum generation_state {
    GENERATION_STARTING, /* not all of its workers accept connections yet */
    GENERATION_SERVING,
    GENERATION_STOPPING, /* its workers drain, or are being killed */
};

struct generation {
    struct options options;
    struct listeners listeners, web_listeners;
    struct auth *auth;   /* NULL: calls need no token */
    struct tls *tls;     /* NULL: no TLS */
    struct tls *web_tls; /* as tls, for the web listeners */
    struct balance *balance;
    int access_log_fd; /* -1: no access log */
    struct children children;
    enum generation_state state;
    bool given_up;    /* its reload failed: the deaths of its workers are not counted */
    uint64_t kill_at; /* ms, while stopping: workers that still run then are killed */
    struct generation *older;
};

/** What the workers of all generations share. */
struct generation_common {
    struct admission *admission;
    struct shm_store *store;
    struct shm_counters *counters;
    struct wake *wake;          /* NULL: the table is in memory only */
    struct pool_channels *pool; /* NULL: there are no processes for passwords */
    struct tries *tries;        /* NULL: as pool */
    int death_fd;               /* the read end of a pipe; only the master has the write end */
};

/**
 * Reads the token file and the TLS files that generation->options name. Has no effect outside.
 * @param before the generation whose TLS session tickets stay valid, or NULL
 */
bool generation_load(struct generation *generation, const struct generation *before,
                     struct fault *fault);
/**
 * Makes a generation: loads its files, opens its access log, binds addresses that are not bound
 * yet, and prepares its workers without starting them.
 * @param options are moved into the generation, and are freed on failure
 * @param before the generation whose sockets it shares; NULL: this is the first one
 * @param handed sockets that this process was started with
 * @return NULL with fault set; else to be freed by generation_close()
 */
struct generation *generation_open(struct options *options, const struct generation *before,
                                   const struct listeners *handed,
                                   const struct generation_common *common, struct fault *fault);
/** Frees this process's copy of the generation: in the master once none of its workers runs, in a
 * worker at any time. Socket files stay. */
void generation_close(struct generation *generation);
/** Closes the master's copies of its listeners: its workers listen no more, and a client would wait
 * in a backlog from which nobody accepts. Socket files stay. */
void generation_stop_listening(struct generation *generation);
/** Removes the generation's socket files, but for those that another generation serves, too.
 * @param kept that generation, or NULL */
void generation_remove_files(const struct generation *generation, const struct generation *kept);
/** Opens the access log's file again, which may have been moved. @return false with errno set: the
 * old file stays in use */
bool generation_reopen_access_log(struct generation *generation);

#endif
