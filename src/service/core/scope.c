/* SPDX-License-Identifier: MIT */
#include "service/core/scope.h"

#include <string.h>

enum { QUOTED_MAX = 12 }; /* letters; longer words are no misspelt scopes */

static const struct scope_row {
    const char *name;
    unsigned scope;
    const char *refusal;
} scope_rows[] = {
    {"read", SCOPE_READ, "The token lacks the scope read"},
    {"write", SCOPE_WRITE, "The token lacks the scope write"},
    {"password", SCOPE_PASSWORD, "The token lacks the scope password"},
    {"admin", SCOPE_ADMIN, "The token lacks the scope admin"},
    {"metrics", SCOPE_METRICS, "The token lacks the scope metrics"},
};
enum { NUM_SCOPES = sizeof(scope_rows) / sizeof(scope_rows[0]) };

/* @return 0: there is no such scope */
static unsigned scope_of(const char *word, size_t len)
{
    for (size_t i = 0; i < NUM_SCOPES; i++)
        if (strlen(scope_rows[i].name) == len && memcmp(scope_rows[i].name, word, len) == 0)
            return scope_rows[i].scope;
    return 0;
}

/* Whether the word is short and has only letters, as a misspelt scope, and as no good token. */
static bool may_quote(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((word[i] | 0x20) < 'a' || (word[i] | 0x20) > 'z')
            return false;
    return len <= QUOTED_MAX;
}

static bool refuse_word(const char *word, size_t len, struct fault *fault)
{
    static const char known[] = "the scopes are read, write, password, admin and metrics";
    if (len == 0)
        return fault_set(fault, "an empty scope: %s, with a comma between two", known);
    if (!may_quote(word, len))
        return fault_set(fault, "an unknown scope: %s", known);
    return fault_set(fault, "unknown scope %.*s: %s", (int)len, word, known);
}

bool scope_parse(const char *text, size_t len, unsigned *scopes, struct fault *fault)
{
    const char *end = text + len;
    *scopes = 0;
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t word_len = (size_t)((comma != NULL ? comma : end) - text);
        unsigned scope = scope_of(text, word_len);
        if (scope == 0)
            return refuse_word(text, word_len, fault);
        if ((*scopes & scope) != 0)
            return fault_set(fault, "the scope %.*s is there twice", (int)word_len, text);
        *scopes |= scope;
        if (comma == NULL)
            return true;
        text = comma + 1;
    }
}

bool scope_is_access(unsigned access)
{
    return access == SCOPE_NO_TOKEN || (access != 0 && (access & ~(unsigned)SCOPE_CALL) == 0);
}

const char *scope_refusal(unsigned access)
{
    for (size_t i = 0; i < NUM_SCOPES; i++)
        if (scope_rows[i].scope == access)
            return scope_rows[i].refusal;
    return "The token has no scope for calls";
}
