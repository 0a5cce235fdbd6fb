/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/tls/tls_fault.h"

bool tls_pem_refuse(const struct tls_pem *pem, struct fault *fault, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return tls_fault_set(fault, pem->option, pem->path, "it cannot be used: %s", text);
}

bool tls_pem_refuse_block(const struct tls_pem *pem, struct fault *fault)
{
    return tls_pem_refuse(pem, fault, "block %zu is damaged", pem->blocks);
}

/* ---- the file ---- */

static bool open_pem_text(struct tls_pem *pem, struct fault *fault)
{
    if (memchr(pem->file.text, '\0', pem->file.len) != NULL)
        return tls_pem_refuse(pem, fault, "it is not PEM, but binary");
    pem->bio = BIO_new_mem_buf(pem->file.text, (int)pem->file.len);
    return pem->bio != NULL || tls_pem_refuse(pem, fault, "out of memory");
}

bool tls_pem_open(struct tls_pem *pem, const char *option, const char *path, size_t max,
                  struct fault *fault)
{
    struct fault reason;
    *pem = (struct tls_pem){.option = option, .path = path};
    ERR_clear_error();
    if (!file_read(&pem->file, path, max, &reason))
        return tls_pem_refuse(pem, fault, "%.200s", reason.text);
    if (open_pem_text(pem, fault))
        return true;
    file_free(&pem->file);
    return false;
}

static void free_block(struct tls_block *block)
{
    OPENSSL_secure_free(block->name);
    OPENSSL_secure_free(block->header);
    OPENSSL_secure_clear_free(block->data, (size_t)block->len);
    *block = (struct tls_block){.name = NULL};
}

void tls_pem_close(struct tls_pem *pem, struct tls_block *block)
{
    free_block(block);
    BIO_free(pem->bio);
    file_free(&pem->file);
}

/* ---- its blocks ---- */

/* Counts the lines that should begin a block, intact or not. */
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

bool tls_pem_next(struct tls_pem *pem, struct tls_block *block, struct fault *fault)
{
    free_block(block);
    /* PEM_FLAG_SECURE: OpenSSL wipes buffers that held a key */
    if (PEM_read_bio_ex(pem->bio, &block->name, &block->header, &block->data, &block->len,
                        PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
        pem->blocks++;
        return true;
    }
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        return tls_pem_refuse(pem, fault, "block %zu is damaged", pem->blocks + 1);
    ERR_clear_error();
    /* if the first line of a block is damaged, OpenSSL skips the block as a comment */
    size_t begins = count_begins(pem->file.text);
    return pem->blocks == begins ||
           tls_pem_refuse(pem, fault, "it has %zu lines that begin a block, but %zu blocks", begins,
                          pem->blocks);
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

bool tls_pem_check_tail(const struct tls_pem *pem, struct fault *fault)
{
    const char *at = find_tail(pem->file.text);
    while (*(at += strspn(at, " \t\r\n")) == '#')
        at += strcspn(at, "\n");
    return *at == '\0' ||
           tls_pem_refuse(pem, fault, "something other than comments follows its last block");
}

bool tls_block_is_certificate(const struct tls_block *block)
{
    return strcmp(block->name, PEM_STRING_X509) == 0 ||
           strcmp(block->name, PEM_STRING_X509_OLD) == 0 ||
           strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0;
}

X509 *tls_block_certificate(const struct tls_block *block)
{
    const unsigned char *data = block->data;
    return strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0 ? d2i_X509_AUX(NULL, &data, block->len)
                                                             : d2i_X509(NULL, &data, block->len);
}
