/* SPDX-License-Identifier: MIT */
/*
 * PEM files, block by block. The server never asks for a password: encrypted blocks are not
 * decrypted, and the caller recognizes them by their name or header.
 */
#ifndef ROSTERD_SERVER_TLS_TLS_PEM_H
#define ROSTERD_SERVER_TLS_TLS_PEM_H

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "base/fault.h"
#include "base/file.h"

struct tls_pem {
    const char *option, *path; /* faults name them */
    struct file file;
    BIO *bio;      /* over the file's text */
    size_t blocks; /* that were read so far */
};

/** The block between "-----BEGIN name-----" and "-----END name-----". */
struct tls_block {
    char *name; /* NULL: there is no block */
    char *header;
    unsigned char *data; /* DER */
    long len;
};

/**
 * Reads the file.
 * @param option, path must outlive `pem`
 * @param max the largest file that is accepted, in bytes
 */
bool tls_pem_open(struct tls_pem *pem, const char *option, const char *path, size_t max,
                  struct fault *fault);
/**
 * Frees the block and reads the next one.
 * @param block zeroed at first; its name is NULL at the end of the file
 * @return false: a block is damaged
 */
bool tls_pem_next(struct tls_pem *pem, struct tls_block *block, struct fault *fault);
/** For files of which no part may be overlooked: only comments may follow the last block.
 * @return false: something else follows */
bool tls_pem_check_tail(const struct tls_pem *pem, struct fault *fault);
/** Frees the block, too. */
void tls_pem_close(struct tls_pem *pem, struct tls_block *block);

/** "OPTION: PATH: it cannot be used: TEXT", with OpenSSL's reason. @return false */
bool tls_pem_refuse(const struct tls_pem *pem, struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Says that the last block is damaged. @return false */
bool tls_pem_refuse_block(const struct tls_pem *pem, struct fault *fault);

bool tls_block_is_certificate(const struct tls_block *block);
/** @return a certificate that the caller frees; NULL: the block is damaged */
X509 *tls_block_certificate(const struct tls_block *block);

#endif
