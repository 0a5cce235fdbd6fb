/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_tickets.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

enum {
    KEY_SECONDS = 3600,
    /* A full handshake a day costs little, and limits how long a key that was stolen from a client
     * is of use: no date in a certificate foretells that. */
    SESSION_SECONDS = 86400,
    SECRET_SIZE = 32,
    NAME_SIZE = 16,
};

/* The keys of one hour. */
struct ticket_keys {
    uint64_t hour;
    uint8_t name[NAME_SIZE], cipher[32], mac[32];
};

struct tls_tickets {
    uint8_t secret[SECRET_SIZE]; /* of the hour after that of keys[0] */
    struct ticket_keys keys[2];  /* of this hour, of the hour before */
};

/* Encrypted in the ticket. Tickets do not outlive the master, so neither this layout nor the boot
 * time has to mean anything to another program or machine. */
struct ticket_note {
    int64_t ends;       /* clock_boottime_s(), because an administrator can set the other clock */
    int64_t true_until; /* clock_real_s(), because certificates expire by that clock */
};

/* ---- keys ---- */

static uint64_t this_hour(void)
{
    return (uint64_t)clock_boottime_s() / KEY_SECONDS; /* the same in every process */
}

/* Fills `out` from the secret; each label gives other bytes. */
static void derive_key(const uint8_t secret[SECRET_SIZE], const char *label, uint8_t *out,
                       size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    assert(size <= SECRET_SIZE); /* of SHA-256 */
    unsigned len = sizeof(digest);
    HMAC(EVP_sha256(), secret, SECRET_SIZE, (const uint8_t *)label, strlen(label), digest, &len);
    memcpy(out, digest, size);
    OPENSSL_cleanse(digest, sizeof(digest));
}

/* Goes on to the keys of the next hour. Its secret does not reveal the secret of this hour. */
static void derive_next_hour(struct tls_tickets *tickets)
{
    struct ticket_keys *keys = &tickets->keys[0];
    tickets->keys[1] = *keys;
    keys->hour++;
    derive_key(tickets->secret, "name", keys->name, NAME_SIZE);
    derive_key(tickets->secret, "cipher", keys->cipher, sizeof(keys->cipher));
    derive_key(tickets->secret, "mac", keys->mac, sizeof(keys->mac));
    derive_key(tickets->secret, "next", tickets->secret, SECRET_SIZE);
}

void tls_tickets_forget_old(struct tls_tickets *tickets)
{
    uint64_t hour = this_hour();
    while (tickets->keys[0].hour < hour)
        derive_next_hour(tickets);
}

static bool draw_secret(struct tls_tickets *tickets)
{
    if (RAND_priv_bytes(tickets->secret, SECRET_SIZE) != 1)
        return false;
    tickets->keys[0].hour = this_hour() - 2;
    derive_next_hour(tickets);
    derive_next_hour(tickets);
    return true;
}

struct tls_tickets *tls_tickets_create(const struct tls_tickets *before)
{
    struct tls_tickets *tickets =
        mmap(NULL, sizeof(*tickets), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (tickets == MAP_FAILED)
        return NULL;
    madvise(tickets, sizeof(*tickets), MADV_DONTDUMP);
    if (before != NULL) {
        *tickets = *before;
    } else if (!draw_secret(tickets)) {
        tls_tickets_destroy(tickets);
        return NULL;
    }
    return tickets;
}

void tls_tickets_destroy(struct tls_tickets *tickets)
{
    if (tickets == NULL)
        return;
    OPENSSL_cleanse(tickets, sizeof(*tickets));
    munmap(tickets, sizeof(*tickets));
}

/* ---- encryption ---- */

static bool init_mac(EVP_MAC_CTX *mac, const struct ticket_keys *keys)
{
    char digest[] = "sha256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(
                               OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)keys->mac, sizeof(keys->mac)),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_END};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static const struct tls_ticket_source *source_of(SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* Called by libssl to encrypt (`sealing`) or decrypt a ticket.
 * @return as libssl wants it: 1: done; 2: done, and renew the ticket; 0: do a full handshake; -1:
 * fail */
static int on_keys(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int sealing)
{
    struct tls_tickets *tickets = source_of(ssl)->tickets;
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    tls_tickets_forget_old(tickets);
    if (sealing) {
        const struct ticket_keys *keys = &tickets->keys[0];
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1)
            return -1;
        memcpy(name, keys->name, NAME_SIZE);
        return EVP_EncryptInit_ex(cipher, aes, NULL, keys->cipher, iv) == 1 && init_mac(mac, keys)
                   ? 1
                   : -1;
    }
    for (int i = 0; i < 2; i++) {
        const struct ticket_keys *keys = &tickets->keys[i];
        if (CRYPTO_memcmp(name, keys->name, NAME_SIZE) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, aes, NULL, keys->cipher, iv) != 1 || !init_mac(mac, keys))
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}

/* ---- the end of sessions ---- */

/* Called by libssl before it writes a ticket. A session that resumes keeps the note of its full
 * handshake. */
static int on_issue(SSL *ssl, void *data)
{
    (void)data;
    const struct tls_ticket_source *source = source_of(ssl);
    if (SSL_session_reused(ssl))
        return 1;
    struct ticket_note note = {
        .ends = clock_boottime_s() + SESSION_SECONDS,
        .true_until = source->true_until(source, ssl),
    };
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &note, sizeof(note));
}

static bool session_is_over(SSL_SESSION *session)
{
    void *data;
    size_t len;
    struct ticket_note note;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(note))
        return true;
    memcpy(&note, data, sizeof(note));
    return clock_boottime_s() >= note.ends || clock_real_s() >= note.true_until;
}

/* Called by libssl when a client presents a ticket. */
static SSL_TICKET_RETURN on_present(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                    size_t len, SSL_TICKET_STATUS status, void *data)
{
    (void)ssl;
    (void)name;
    (void)len;
    (void)data;
    switch (status) {
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (session_is_over(session))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    default:
        return SSL_TICKET_RETURN_IGNORE;
    }
}

bool tls_tickets_apply(const struct tls_ticket_source *source, SSL_CTX *ssl)
{
    SSL_CTX_set_app_data(ssl, (void *)(uintptr_t)source);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* the client keeps the session */
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_keys) == 1 &&
           SSL_CTX_set_session_ticket_cb(ssl, on_issue, on_present, NULL) == 1;
}
