/* SPDX-License-Identifier: MIT */
/*
 * Session tickets that every worker can read, and how sessions end.
 *
 * Tickets are encrypted with keys that change every hour. The secret of an hour is derived from the
 * secret of the hour before, which is then forgotten. Tickets of the hour before are accepted and
 * renewed; older tickets cannot be decrypted any more. Every process derives the same secrets
 * independently.
 *
 * A session ends one day after its full handshake, however often its ticket is renewed, and when
 * anything expires that the handshake relied on. The ticket contains both times.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_TICKETS_H
#define ROSTERD_SERVER_TLS_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct tls_tickets;

/** Called before fork. The secrets are in memory that core dumps leave out.
 * @param before its secrets are copied; NULL: the secrets are new
 * @return NULL: no memory, or no random numbers */
struct tls_tickets *tls_tickets_create(const struct tls_tickets *before);
/** Wipes the secrets and frees them, in this process. */
void tls_tickets_destroy(struct tls_tickets *tickets);
/** Forgets the keys that are no longer accepted. */
void tls_tickets_forget_old(struct tls_tickets *tickets);

/** The tickets of a context; embedded in a struct that knows what a handshake relies on. */
struct tls_ticket_source {
    struct tls_tickets *tickets;
    /** Called at the end of a full handshake.
     * @return until when its result stays true, in seconds since the epoch */
    int64_t (*true_until)(const struct tls_ticket_source *source, const SSL *ssl);
};
/** Makes connections of the context use the tickets. @param source must outlive the context */
bool tls_tickets_apply(const struct tls_ticket_source *source, SSL_CTX *ssl);

#endif
