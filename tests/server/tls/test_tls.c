/* SPDX-License-Identifier: MIT */
/* Session tickets as hours go by and when trust changes; certificates that a reload reads again.
 * The handshakes run over a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static time_t fake_seconds = 100 * 3600, wall_offset;
static int fake_clock(clockid_t clock, struct timespec *now)
{
    *now = (struct timespec){.tv_sec =
                                 clock == CLOCK_REALTIME ? time(NULL) + wall_offset : fake_seconds};
    return 0;
}

/* the sources themselves, with a clock that the test sets */
#define clock_gettime fake_clock
#include "src/server/tls/tls.c"
#include "src/server/tls/tls_tickets.c"
#undef clock_gettime

#include <cmocka.h>

#include "tests/base/dumped.h"
#include "tests/server/tls/make_certificate.h"

static char folder[] = "/tmp/rosterd-test-tls-XXXXXX", certificate_path[64], key_path[64];
static char ca_path[64], other_ca_path[64];
static struct options options;
static X509 *client_certificate, *short_certificate;
static EVP_PKEY *client_key;

/* ---- files ---- */

/* A certificate with serial number 1. */
static X509 *make_one(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                      long seconds, bool is_ca)
{
    const struct certificate_request request = {.name = name,
                                                .serial = 1,
                                                .key = key,
                                                .issuer = issuer,
                                                .issuer_key = issuer_key,
                                                .seconds = seconds,
                                                .is_ca = is_ca};
    return make_certificate(&request);
}

static void write_pair(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_one(name, key, NULL, NULL, 3600, false);
    write_certificate(certificate_path, certificate);
    FILE *file = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    chmod(key_path, 0600);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Two CAs; the first has signed both client certificates. */
static void make_clients(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *ca = make_one("ca", key, NULL, NULL, 864000, true);
    X509 *other = make_one("other ca", key, NULL, NULL, 864000, true);
    write_certificate(ca_path, ca);
    write_certificate(other_ca_path, other);
    client_key = EVP_EC_gen("P-256");
    client_certificate = make_one("client", client_key, ca, key, 864000, false);
    short_certificate = make_one("short", client_key, ca, key, 3000, false);
    X509_free(ca);
    X509_free(other);
    EVP_PKEY_free(key);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(certificate_path, sizeof(certificate_path), "%s/c.pem", folder);
    snprintf(key_path, sizeof(key_path), "%s/k.pem", folder);
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
    snprintf(other_ca_path, sizeof(other_ca_path), "%s/other.pem", folder);
    options.tls_certificates.all[0] = certificate_path;
    options.tls_keys.all[0] = key_path;
    options.tls_certificates.count = options.tls_keys.count = 1;
    write_pair("first");
    make_clients();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(certificate_path);
    unlink(key_path);
    unlink(ca_path);
    unlink(other_ca_path);
    X509_free(client_certificate);
    X509_free(short_certificate);
    EVP_PKEY_free(client_key);
    return rmdir(folder);
}

static struct tls *load_files(const struct tls *before, struct fault *fault)
{
    struct fault warning;
    const struct tls_files files = tls_files_for_grpc(&options);
    return tls_load(&files, before, &warning, fault);
}

static struct tls *load_after(const struct tls *before)
{
    struct fault fault;
    struct tls *tls = load_files(before, &fault);
    if (tls == NULL)
        fail_msg("%s", fault.text);
    return tls;
}

static struct tls *load(void)
{
    return load_after(NULL);
}

/* ---- handshakes ---- */

static SSL_CTX *make_client_of(int version, X509 *certificate)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(client, version);
    SSL_CTX_set_max_proto_version(client, version);
    SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\x02h2", 3);
    if (certificate != NULL)
        assert_int_equal(SSL_CTX_use_cert_and_key(client, certificate, client_key, NULL, 1), 1);
    return client;
}

static SSL_CTX *make_client(void)
{
    return make_client_of(TLS1_2_VERSION, NULL);
}

/* Tries a handshake. @return the client's end; *server takes the other end; the caller frees both
 */
static SSL *try_hands(struct tls *tls, SSL_CTX *client, SSL_SESSION *session, SSL **server)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    SSL *mine = SSL_new(client);
    *server = SSL_new(tls_context(tls));
    SSL_set_fd(mine, fds[0]);
    SSL_set_fd(*server, fds[1]);
    if (session != NULL)
        SSL_set_session(mine, session);
    SSL_set_connect_state(mine);
    SSL_set_accept_state(*server);
    for (int i = 0; i < 20; i++) {
        char nothing;
        SSL_do_handshake(mine);
        SSL_do_handshake(*server);
        SSL_read(mine, &nothing, 1); /* a ticket of TLS 1.3 comes after the handshake */
    }
    return mine;
}

static SSL *shake_hands(struct tls *tls, SSL_CTX *client, SSL_SESSION *session, SSL **server)
{
    SSL *mine = try_hands(tls, client, session, server);
    assert_true(SSL_is_init_finished(mine) && SSL_is_init_finished(*server));
    return mine;
}

static void hang_up(SSL *mine, SSL *server)
{
    SSL_shutdown(mine); /* without it libssl drops the session */
    close(SSL_get_fd(mine));
    close(SSL_get_fd(server));
    SSL_free(mine);
    SSL_free(server);
}

/* Connects with the session, and puts the new session in its place. @return whether it resumed */
static bool resumes(struct tls *tls, SSL_CTX *client, SSL_SESSION **session)
{
    SSL *server, *mine = shake_hands(tls, client, *session, &server);
    bool reused = SSL_session_reused(mine) == 1;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(mine);
    hang_up(mine, server);
    return reused;
}

static void subject_is(SSL *mine, const char *expected)
{
    char name[64];
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(mine)),
                              NID_commonName, name, sizeof(name));
    assert_string_equal(name, expected);
}

/* ---- tickets ---- */

static void ticket_counts_in_its_hour_and_the_next(void **state)
{
    (void)state;
    struct tls *tls = load();
    SSL_CTX *client = make_client();
    SSL_SESSION *session = NULL;
    assert_false(resumes(tls, client, &session));
    assert_true(resumes(tls, client, &session));
    for (int i = 0; i < 5; i++) { /* each connection renews the ticket */
        fake_seconds += 3600;
        assert_true(resumes(tls, client, &session));
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_free(tls);
}

static void ticket_of_two_hours_ago_is_nobodys(void **state)
{
    (void)state;
    struct tls *tls = load();
    SSL_CTX *client = make_client();
    SSL_SESSION *session = NULL;
    resumes(tls, client, &session);
    fake_seconds += 2 * 3600;
    assert_false(resumes(tls, client, &session));
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_free(tls);
}

static void past_secrets_cannot_be_found_again(void **state)
{
    (void)state;
    struct tls *tls = load();
    struct tls_tickets *now = tls->source.tickets, before = *now;
    fake_seconds += 3 * 3600;
    tls_forget_old_secrets(tls);
    assert_memory_not_equal(now->secret, before.secret, SECRET_SIZE);
    for (int i = 0; i < 2; i++) /* no old key is left */
        for (int k = 0; k < 2; k++)
            assert_memory_not_equal(now->keys[i].cipher, before.keys[k].cipher, 32);
    /* another process that slept meanwhile derives the same keys */
    tls_tickets_forget_old(&before);
    assert_memory_equal(now->keys, before.keys, sizeof(before.keys));
    tls_free(tls);
}

static void ticket_keys_are_in_no_core_dump(void **state)
{
    (void)state;
    struct tls *tls = load(), *next = load_after(tls);
    assert_true(is_left_out(tls->source.tickets));
    assert_true(is_left_out(next->source.tickets));
    tls_free(next);
    tls_free(tls);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void session_ends_a_day_after_its_full_handshake(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        struct tls *tls = load();
        SSL_CTX *client = make_client_of(versions[v], NULL);
        SSL_SESSION *session = NULL;
        assert_false(resumes(tls, client, &session));
        for (int hour = 1; hour < 24; hour++) { /* each connection renews the ticket */
            fake_seconds += 3600;
            assert_true(resumes(tls, client, &session));
        }
        fake_seconds += 3600;
        assert_false(resumes(tls, client, &session));
        assert_true(resumes(tls, client, &session)); /* the new session has a day of its own */
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        tls_free(tls);
    }
}

/* ---- what a session relies on ---- */

static void session_ends_with_the_clients_certificate(void **state)
{
    (void)state;
    options.tls_client_ca = ca_path;
    for (int v = 0; v < 2; v++) {
        struct tls *tls = load();
        SSL_CTX *client = make_client_of(versions[v], short_certificate);
        SSL_SESSION *session = NULL;
        assert_false(resumes(tls, client, &session));
        assert_true(resumes(tls, client, &session));
        wall_offset = 2990;
        assert_true(resumes(tls, client, &session));
        wall_offset = 3001;
        assert_false(resumes(tls, client,
                             &session)); /* a full handshake succeeds: libssl uses the real clock */
        wall_offset = 0;
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        tls_free(tls);
    }
    options.tls_client_ca = NULL;
}

/* @return whether a session that began while CA `before` was trusted resumes while `ca` is */
static bool goes_on(int version, const char *before, const char *ca)
{
    options.tls_client_ca = before;
    struct tls *tls = load();
    SSL_CTX *client = make_client_of(version, client_certificate);
    SSL_SESSION *session = NULL;
    resumes(tls, client, &session);
    options.tls_client_ca = ca;
    struct tls *next = load_after(tls);
    SSL *server, *mine = try_hands(next, client, session, &server);
    bool reused = SSL_is_init_finished(server) && SSL_session_reused(server) == 1;
    hang_up(mine, server);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_free(next);
    tls_free(tls);
    options.tls_client_ca = NULL;
    return reused;
}

static void session_goes_on_over_a_reload_that_trusts_the_same(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        assert_true(goes_on(versions[v], NULL, NULL));
        assert_true(goes_on(versions[v], ca_path, ca_path));
    }
}

static void session_of_before_another_trust_does_not_go_on(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        assert_false(goes_on(versions[v], NULL, ca_path));
        assert_false(goes_on(versions[v], ca_path, other_ca_path));
        assert_false(goes_on(versions[v], ca_path, NULL));
    }
}

/* ---- reloads ---- */

static void reload_serves_the_new_pair_and_keeps_open_connections(void **state)
{
    struct fault fault;
    (void)state;
    struct tls *tls = load();
    SSL_CTX *client = make_client();
    SSL *old_server, *old = shake_hands(tls, client, NULL, &old_server);
    subject_is(old, "first");
    write_pair("second");
    struct tls *next = load_files(tls, &fault);
    assert_non_null(next);
    SSL *server, *mine = shake_hands(next, client, NULL, &server);
    subject_is(mine, "second");
    char text[8];
    assert_int_equal(SSL_write(old, "still", 5), 5);
    assert_int_equal(SSL_read(old_server, text, sizeof(text)), 5);
    hang_up(mine, server);
    hang_up(old, old_server);
    SSL_CTX_free(client);
    tls_free(next);
    tls_free(tls);
}

static void reload_of_a_bad_file_changes_nothing(void **state)
{
    struct fault fault;
    (void)state;
    write_pair("first");
    struct tls *tls = load();
    FILE *file = fopen(key_path, "w");
    fputs("nonsense\n", file);
    fclose(file);
    assert_null(load_files(tls, &fault));
    assert_non_null(strstr(fault.text, key_path));
    SSL_CTX *client = make_client();
    SSL *server, *mine = shake_hands(tls, client, NULL, &server);
    subject_is(mine, "first");
    hang_up(mine, server);
    SSL_CTX_free(client);
    tls_free(tls);
    write_pair("first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticket_counts_in_its_hour_and_the_next),
        cmocka_unit_test(ticket_of_two_hours_ago_is_nobodys),
        cmocka_unit_test(past_secrets_cannot_be_found_again),
        cmocka_unit_test(ticket_keys_are_in_no_core_dump),
        cmocka_unit_test(session_ends_a_day_after_its_full_handshake),
        cmocka_unit_test(session_ends_with_the_clients_certificate),
        cmocka_unit_test(session_goes_on_over_a_reload_that_trusts_the_same),
        cmocka_unit_test(session_of_before_another_trust_does_not_go_on),
        cmocka_unit_test(reload_serves_the_new_pair_and_keeps_open_connections),
        cmocka_unit_test(reload_of_a_bad_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
