/* SPDX-License-Identifier: MIT */
#include "http2/tls/tls_hello.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "http2/conn_state.h"
#include "http2/tls/tls_io.h"

int http2_tls_choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned len, void *data)
{
    (void)ssl;
    (void)data;
    for (unsigned at = 0; at < len; at += 1u + offered[at]) {
        if (offered[at] == 2 && at + 2 < len && memcmp(offered + at + 1, "h2", 2) == 0) {
            *out = offered + at + 1;
            *out_len = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- the text ---- */

struct hello_text {
    char bytes[256];
    size_t len;
};

static void add_words(struct hello_text *text, const char *words)
{
    int len = snprintf(text->bytes + text->len, sizeof(text->bytes) - text->len, "%s", words);
    text->len += (size_t)len;
    if (text->len >= sizeof(text->bytes))
        text->len = sizeof(text->bytes) - 1;
}

/* What the client has sent may contain any byte; the log line must contain printable ones only. */
static void add_quoted(struct hello_text *text, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i != len && text->len + 1 < sizeof(text->bytes); i++)
        text->bytes[text->len++] = isgraph(bytes[i]) && bytes[i] < 0x80 ? (char)bytes[i] : '?';
    text->bytes[text->len] = '\0';
}

static const char *version_name(unsigned version)
{
    switch (version) {
    case TLS1_3_VERSION:
        return "1.3";
    case TLS1_2_VERSION:
        return "1.2";
    case TLS1_1_VERSION:
        return "1.1";
    case TLS1_VERSION:
        return "1.0";
    case SSL3_VERSION:
        return "SSL 3";
    default:
        return NULL; /* a later version, or a reserved number (RFC 8701) */
    }
}

/* RFC 8446 4.2.1: a byte of length, then two bytes for each version. Without this extension the
 * ClientHello's own field is the highest version. */
static void add_versions(struct hello_text *text, SSL *ssl)
{
    const unsigned char *list;
    size_t len;
    add_words(text, "TLS");
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &list, &len) != 1) {
        const char *name = version_name(SSL_client_hello_get0_legacy_version(ssl));
        add_words(text, " up to ");
        add_words(text, name != NULL ? name : "1.2");
        return;
    }
    for (size_t at = 1; at + 1 < len; at += 2) {
        const char *name = version_name((unsigned)list[at] << 8 | list[at + 1]);
        if (name == NULL)
            continue;
        add_words(text, " ");
        add_words(text, name);
    }
}

/* RFC 7301 3.1: two bytes of length, then names, each after a byte with its length. */
static void add_protocols(struct hello_text *text, const uint8_t *list, size_t len)
{
    add_words(text, ", ALPN");
    for (size_t at = 2; at < len; at += 1u + list[at]) {
        size_t name = list[at];
        add_words(text, " ");
        add_quoted(text, list + at + 1, MIN(name, len - at - 1));
    }
}

/* RFC 6066 3: two bytes of length, a byte of type, two bytes of length, the name. */
static void add_server_name(struct hello_text *text, SSL *ssl)
{
    const unsigned char *list;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &list, &len) != 1 || len < 6)
        return;
    add_words(text, ", name ");
    add_quoted(text, list + 5, len - 5);
}

int http2_tls_on_hello(SSL *ssl, int *alert, void *data)
{
    struct http2_conn *conn = SSL_get_app_data(ssl);
    struct hello_text text = {.len = 0};
    const unsigned char *protocols;
    size_t len;
    (void)data;
    bool has_alpn =
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                  &protocols, &len) == 1;
    add_versions(&text, ssl);
    if (has_alpn)
        add_protocols(&text, protocols, len);
    else
        add_words(&text, ", no ALPN");
    add_server_name(&text, ssl);
    if (conn != NULL) { /* NULL: the SSL_CTX is not used by http2, as in tests */
        free(conn->tls->offered);
        conn->tls->offered = strdup(text.bytes);
    }
    if (has_alpn)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}
