/* SPDX-License-Identifier: MIT */
/*
 * PEM files of TLS, block by block, and what is told of those that cannot be used. Nobody is ever
 * asked for a password: blocks are not decrypted here, and what is encrypted says so.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_PEM_H
#define ROSTERD_SERVER_TLS_TLS_PEM_H

#include <openssl/bio.h>

#include "server/os/file.h"
#include "server/tls/tls.h"

struct tls_pem {
    const char *option, *path; /* for what is told of it */
    struct tls_report *report;
    struct file file;
    BIO *bio; /* over the file's text */
    size_t blocks;
};

/** One "-----BEGIN name-----" and what is in it; freed by tls_pem_next() or tls_pem_close(). */
struct tls_block {
    char *name, *header;
    unsigned char *data; /* DER */
    long len;
};

/** @param max bytes that the file may have
 * @return false, told */
bool tls_pem_open(struct tls_pem *pem, const char *option, const char *path, size_t max,
                  struct tls_report *report);
/** Frees the block before, reads the next one.
 * @param block zeros at first
 * @return 1, 0 at the end, -1 where the rest is damaged: told */
int tls_pem_next(struct tls_pem *pem, struct tls_block *block);
/** For files in which nothing may be missed: whether more than comments follows the last block.
 * @return false, told */
bool tls_pem_check_tail(struct tls_pem *pem);
void tls_pem_close(struct tls_pem *pem, struct tls_block *block);

bool tls_block_is_certificate(const struct tls_block *block);

/** "OPTION: PATH: text", and what OpenSSL has to say about it. @return false */
bool tls_fail(struct tls_report *report, const char *option, const char *path, const char *format,
              ...) __attribute__((format(printf, 4, 5)));
/** The same of what is no reason to stop; the first warning stays. */
void tls_warn(struct tls_report *report, const char *option, const char *path, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

#endif
