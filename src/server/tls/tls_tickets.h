/* SPDX-License-Identifier: MIT */
/*
 * Session tickets that every worker understands, and their end.
 *
 * They are sealed by a key of the hour. Each hour's secret is derived from the one before it,
 * which is then forgotten: tickets of the hour before still count and are renewed, older ones
 * cannot be read by anybody any more. All processes derive the same, each for itself.
 *
 * However often it is renewed, a session ends a day after its full handshake, and when anything
 * expires that this handshake rested on. A ticket says when both are.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_TICKETS_H
#define ROSTERD_SERVER_TLS_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct tls_tickets;

/** Before fork: a copy of `before`, or a secret drawn anew where it is NULL. It lies in memory that
 * core dumps leave out. @return NULL: no memory, or no random numbers */
struct tls_tickets *tls_tickets_create(const struct tls_tickets *before);
/** Wipes it, in this process. */
void tls_tickets_destroy(struct tls_tickets *tickets);
void tls_tickets_forget_old(struct tls_tickets *tickets);

/** Whose tickets a connection takes, and how long what it has found out is true. */
struct tls_ticket_source {
    struct tls_tickets *tickets;
    /** Called at the end of a full handshake. @return seconds since 1970 */
    int64_t (*true_until)(void *data, const SSL *ssl);
    void *data;
};
/** @param source must outlive the context */
bool tls_tickets_apply(const struct tls_ticket_source *source, SSL_CTX *ssl);

#endif
