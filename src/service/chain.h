/* SPDX-License-Identifier: MIT */
/*
 * The interceptors around every call, one table in chain.c. A step is a file with one function,
 * declared here, that says what it does at a call's start and end; the line in the table says
 * where it stands. The first is the outermost: it sees how all the others decided.
 */
#ifndef ROSTERD_SERVICE_CHAIN_H
#define ROSTERD_SERVICE_CHAIN_H

#include "grpc/grpc.h"

struct access_log;
struct auth;
struct stats;

/** What steps work on; what it points to must outlive the server. NULL: this server has it not. */
struct chain_config {
    struct grpc_server *server;
    struct stats *stats;
    struct access_log *access_log;
    const struct auth *auth;
};

struct chain; /* one per worker */

/** Adds all steps to the server, whose services are there already. @return NULL: no memory */
struct chain *chain_create(const struct chain_config *config);
/** After the server's end; NULL is nothing to do. */
void chain_destroy(struct chain *chain);

/* A step fills in its interceptor; what it leaves empty is not in the chain. The config that it
 * is given lives as long as the chain. */

/** A line a call: access_log.c */
void access_log_step(struct grpc_interceptor *step, const struct chain_config *config);
/** Counts: stats.c */
void stats_step(struct grpc_interceptor *step, const struct chain_config *config);
/** Bearer tokens: auth.c */
void auth_step(struct grpc_interceptor *step, const struct chain_config *config);

#endif
