/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes tokens of both kinds. An input is a token file, a byte 0xff, and the value of an
 * authorization field; the value is tried as a page token, too. A slow and simple reader of the
 * file says which tokens are valid, and for what: those and no others must be accepted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "fuzz.h"
#include "service/auth.h"
#include "service/core/scope.h"
#include "service/users/page_token.h"

static void die(const char *why)
{
    fprintf(stderr, "token: %s\n", why);
    abort();
}

/* What a valid file says of a token. */
struct known {
    char name[AUTH_NAME_MAX + 1]; /* "": the file does not have it */
    unsigned scopes;
};

static bool is_word(const char *word, const char *token)
{
    char hash[8 + 2 * SHA256_DIGEST_LENGTH] = "sha256:";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    if (strncasecmp(word, hash, 7) != 0)
        return strcmp(word, token) == 0;
    SHA256((const uint8_t *)token, strlen(token), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        sprintf(hash + 7 + 2 * i, "%02x", digest[i]);
    return strcasecmp(word, hash) == 0;
}

static unsigned scopes_in(char *words)
{
    static const char *const names[] = {"read", "write", "password", "admin", "metrics"};
    unsigned scopes = 0;
    for (char *word = strtok(words, ","); word != NULL; word = strtok(NULL, ","))
        for (unsigned i = 0; i < 5; i++)
            scopes |= strcmp(word, names[i]) == 0 ? 1U << i : 0;
    return scopes;
}

static void look_up(const char *file, const char *token, struct known *known)
{
    for (const char *line = file; line != NULL && *line != '\0';) {
        char has[AUTH_TOKEN_MAX + 1] = "", of[AUTH_NAME_MAX + 1] = "", may[64] = "";
        const char *end = strchrnul(line, '\n');
        char *copy = strndup(line, (size_t)(end - line));
        int words = sscanf(copy, " %4096s %64s %63s", has, of, may);
        if (words >= 2 && has[0] != '#' && is_word(has, token)) {
            strcpy(known->name, of);
            known->scopes = words == 2 ? SCOPE_ALL : scopes_in(may);
        }
        free(copy);
        line = *end == '\0' ? NULL : end + 1;
    }
}

static void check_value(const struct auth *auth, const char *file, size_t file_len,
                        const char *value, size_t len)
{
    struct known known = {.name = ""};
    struct auth_caller found = auth_find(auth, value, len);
    const char *token = value;
    if (len > 7 && strncasecmp(value, "bearer ", 7) == 0 && memchr(value, 0, len) == NULL) {
        for (token += 7; *token == ' ';)
            token++;
        if (*token != '\0' && strlen(token) <= AUTH_TOKEN_MAX)
            look_up(file, token, &known);
    }
    if (strlen(file) != file_len)
        return; /* a comment contains U+0000, which this simple reader cannot read */
    if (strcmp(found.name == NULL ? "" : found.name, known.name) != 0)
        die("the name found is not the one in the file");
    if (found.scopes != known.scopes)
        die("the scopes found are not those in the file");
}

static void check_file(const char *file, size_t file_len, const char *value, size_t len)
{
    char path[64];
    char warning[AUTH_WARNING_SIZE];
    struct fault fault = {{0}};
    int fd = memfd_create("tokens", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, file, file_len) != (ssize_t)file_len)
        die("no file");
    struct auth *auth = auth_load(path, warning, &fault);
    if (auth == NULL && fault.text[0] == '\0')
        die("refused without a reason");
    if (auth != NULL)
        check_value(auth, file, file_len, value, len);
    auth_free(auth);
    close(fd);
}

static void check_page_token(const uint8_t *value, size_t len)
{
    uint64_t seq;
    uint8_t id[UUID_SIZE];
    char again[PAGE_TOKEN_SIZE];
    if (!page_token_parse(value, len, 0, &seq, id))
        return;
    page_token_format(again, 0, seq, id);
    if (len != sizeof(again) || memcmp(again, value, len) != 0)
        die("two texts are one page token");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *split = memchr(data, 0xff, len);
    size_t file_len = split == NULL ? len : (size_t)(split - data);
    size_t value_len = split == NULL ? 0 : len - file_len - 1;
    char *file = calloc(1, file_len + 1), *value = calloc(1, value_len + 1);
    memcpy(file, data, file_len);
    if (value_len != 0)
        memcpy(value, split + 1, value_len);
    check_file(file, file_len, value, value_len);
    check_page_token((const uint8_t *)value, value_len);
    free(file);
    free(value);
    return 0;
}
