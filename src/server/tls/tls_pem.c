/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- reports ---- */

static void put_head(char *out, size_t size, const char *option, const char *path,
                     const char *format, va_list args)
{
    int len = snprintf(out, size, "%s: %.300s: ", option, path);
    vsnprintf(out + len, size - (size_t)len, format, args);
}

/* The first of OpenSSL's errors: later ones say what came of it. */
static void put_reason(char *out, size_t size)
{
    char text[256];
    unsigned long error = ERR_peek_error();
    size_t len = strlen(out);
    if (error == 0)
        return;
    const char *reason = ERR_reason_error_string(error);
    ERR_error_string_n(error, text, sizeof(text));
    snprintf(out + len, size - len, ": %s", reason != NULL ? reason : text);
    ERR_clear_error();
}

bool tls_fail(struct tls_report *report, const char *option, const char *path, const char *format,
              ...)
{
    va_list args;
    va_start(args, format);
    put_head(report->fault, sizeof(report->fault), option, path, format, args);
    va_end(args);
    put_reason(report->fault, sizeof(report->fault));
    return false;
}

void tls_warn(struct tls_report *report, const char *option, const char *path, const char *format,
              ...)
{
    va_list args;
    if (report->warning[0] != '\0')
        return;
    va_start(args, format);
    put_head(report->warning, sizeof(report->warning), option, path, format, args);
    va_end(args);
}

/* ---- blocks ---- */

bool tls_pem_open(struct tls_pem *pem, const char *option, const char *path, size_t max,
                  struct tls_report *report)
{
    *pem = (struct tls_pem){.option = option, .path = path, .report = report};
    ERR_clear_error();
    const char *why = file_read(&pem->file, path, max);
    if (why != NULL)
        return tls_fail(report, option, path, "it cannot be used: %s", why);
    if (memchr(pem->file.text, '\0', pem->file.len) != NULL) {
        file_free(&pem->file);
        return tls_fail(report, option, path, "it cannot be used: it is no PEM, but binary");
    }
    pem->bio = BIO_new_mem_buf(pem->file.text, (int)pem->file.len);
    if (pem->bio != NULL)
        return true;
    file_free(&pem->file);
    return tls_fail(report, option, path, "it cannot be used");
}

static void free_block(struct tls_block *block)
{
    OPENSSL_secure_free(block->name);
    OPENSSL_secure_free(block->header);
    OPENSSL_secure_clear_free(block->data, (size_t)block->len);
    *block = (struct tls_block){.name = NULL};
}

/* Lines that are meant to begin a block, whole or not. */
static size_t count_begins(const char *text)
{
    static const char begin[] = "-BEGIN ";
    size_t count = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (*text != '#' && memmem(text, len, begin, sizeof(begin) - 1) != NULL)
            count++;
        text += len + (text[len] != '\0');
    }
    return count;
}

int tls_pem_next(struct tls_pem *pem, struct tls_block *block)
{
    free_block(block);
    /* secure: buffers that held a key are wiped */
    if (PEM_read_bio_ex(pem->bio, &block->name, &block->header, &block->data, &block->len,
                        PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
        pem->blocks++;
        return 1;
    }
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
        tls_fail(pem->report, pem->option, pem->path, "it cannot be used: block %zu is damaged",
                 pem->blocks + 1);
        return -1;
    }
    ERR_clear_error();
    /* OpenSSL takes a first line that is spoilt, and all of its block, for a comment */
    if (pem->blocks == count_begins(pem->file.text))
        return 0;
    tls_fail(pem->report, pem->option, pem->path,
             "it cannot be used: it has %zu lines that begin a block, but %zu blocks",
             count_begins(pem->file.text), pem->blocks);
    return -1;
}

/* The end of the last line that ends a block. */
static const char *find_tail(const char *text)
{
    static const char end[] = "-----END";
    const char *tail = text;
    for (const char *at = text; (at = strstr(at, end)) != NULL;)
        tail = at += sizeof(end) - 1;
    return tail + strcspn(tail, "\n");
}

bool tls_pem_check_tail(struct tls_pem *pem)
{
    const char *at = find_tail(pem->file.text);
    while (*(at += strspn(at, " \t\r\n")) == '#')
        at += strcspn(at, "\n");
    return *at == '\0' || tls_fail(pem->report, pem->option, pem->path,
                                   "it cannot be used: there is something else behind its last "
                                   "block");
}

void tls_pem_close(struct tls_pem *pem, struct tls_block *block)
{
    free_block(block);
    BIO_free(pem->bio);
    file_free(&pem->file);
}

bool tls_block_is_certificate(const struct tls_block *block)
{
    return strcmp(block->name, PEM_STRING_X509) == 0 ||
           strcmp(block->name, PEM_STRING_X509_OLD) == 0 ||
           strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0;
}
