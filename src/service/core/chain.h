/* SPDX-License-Identifier: MIT */
/*
 * The interceptors around every call, one table: CHAIN_STEPS. A step is a file with one function
 * that says what it does at a call's start and end; the line in the table says where it stands.
 * The first is the outermost: it sees how all the others decided.
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

/* Outermost first: what authentication refuses is counted, and logged. Each STEP(name, what it
 * does) is name_step() of name.c. */
#define CHAIN_STEPS(STEP)                                                                          \
    STEP(access_log, "a line a call")                                                              \
    STEP(stats, "counts")                                                                          \
    STEP(auth, "bearer tokens")

/* A step fills in its interceptor; what it leaves empty is not in the chain. The config that it
 * is given lives as long as the chain. */
#define CHAIN_DECLARE(name, does)                                                                  \
    void name##_step(struct grpc_interceptor *step, const struct chain_config *config);
CHAIN_STEPS(CHAIN_DECLARE)
#undef CHAIN_DECLARE

#endif
