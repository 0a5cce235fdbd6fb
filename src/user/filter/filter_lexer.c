/* SPDX-License-Identifier: MIT */
#include "user/filter/filter_lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum { QUOTED_MAX = 40 }; /* bytes of the filter that a message quotes */

/* ---- mistakes ---- */

bool filter_wrong(struct filter_lexer *lexer, size_t at, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fault_set(lexer->fault, "position %zu: %s", at + 1, text);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void skip_spaces(struct filter_lexer *lexer)
{
    while (lexer->at != lexer->len && is_space(lexer->text[lexer->at]))
        lexer->at++;
}

/* Copies the piece that stands next: a name, or one character that is no name's. */
static void copy_piece(const struct filter_lexer *lexer, char piece[QUOTED_MAX + 1])
{
    const uint8_t *from = lexer->text + lexer->at;
    size_t len = 0, left = lexer->len - lexer->at;
    while (len != left && len != QUOTED_MAX && is_name_byte(from[len]))
        len++;
    if (len == 0) {
        uint32_t code;
        len = utf8_next_lossy(from, left, &code);
        if (utf8_steers(code) || code == UTF8_REPLACEMENT) {
            snprintf(piece, QUOTED_MAX + 1, "U+%04X", code);
            return;
        }
    }
    memcpy(piece, from, len);
    piece[len] = '\0';
}

bool filter_expected(struct filter_lexer *lexer, const char *what)
{
    char piece[QUOTED_MAX + 1];
    if (filter_at_end(lexer))
        return filter_wrong(lexer, lexer->at, "%s is expected, but the filter ends", what);
    copy_piece(lexer, piece);
    return filter_wrong(lexer, lexer->at, "%s is expected instead of %s", what, piece);
}

/* ---- single pieces ---- */

bool filter_at_end(struct filter_lexer *lexer)
{
    skip_spaces(lexer);
    return lexer->at == lexer->len;
}

bool filter_take(struct filter_lexer *lexer, char c)
{
    if (filter_at_end(lexer) || lexer->text[lexer->at] != (uint8_t)c)
        return false;
    lexer->at++;
    return true;
}

bool filter_take_keyword(struct filter_lexer *lexer, const char *keyword)
{
    const size_t len = strlen(keyword), at = lexer->at;
    skip_spaces(lexer);
    const size_t begin = lexer->at;
    if (filter_take_name(lexer) == len && memcmp(lexer->text + begin, keyword, len) == 0)
        return true;
    lexer->at = at;
    return false;
}

size_t filter_take_name(struct filter_lexer *lexer)
{
    skip_spaces(lexer);
    const size_t begin = lexer->at;
    while (lexer->at != lexer->len && is_name_byte(lexer->text[lexer->at]))
        lexer->at++;
    return lexer->at - begin;
}

static const char *const operator_texts[] = {
    [FILTER_EQUAL] = "=",   [FILTER_UNEQUAL] = "!=",
    [FILTER_LESS] = "<",    [FILTER_LESS_OR_EQUAL] = "<=",
    [FILTER_GREATER] = ">", [FILTER_GREATER_OR_EQUAL] = ">=",
    [FILTER_HAS] = ":",
};

const char *filter_operator_text(enum filter_operator op)
{
    return operator_texts[op];
}

enum filter_operator filter_take_operator(struct filter_lexer *lexer)
{
    enum filter_operator found = FILTER_NO_OPERATOR;
    size_t longest = 0;
    skip_spaces(lexer);
    for (int i = 0; i < FILTER_NO_OPERATOR; i++) {
        const size_t len = strlen(operator_texts[i]);
        if (len > longest && len <= lexer->len - lexer->at &&
            memcmp(lexer->text + lexer->at, operator_texts[i], len) == 0) {
            found = (enum filter_operator)i;
            longest = len;
        }
    }
    lexer->at += longest;
    return found;
}

/* ---- values ---- */

static void put_byte(struct filter_lexer *lexer, uint8_t byte)
{
    lexer->texts[lexer->texts_len++] = byte;
}

/* An asterisk that no backslash precedes. */
static bool take_asterisk(struct filter_lexer *lexer, struct filter_value *value, bool last)
{
    if (!last)
        return filter_wrong(
            lexer, lexer->at,
            "an asterisk may only end a text; a text with one is written \"a\\*b\"");
    value->prefix = true;
    lexer->at++;
    return true;
}

static bool take_escape(struct filter_lexer *lexer)
{
    const size_t begin = lexer->at++;
    if (lexer->at == lexer->len || strchr("\"'\\*", lexer->text[lexer->at]) == NULL ||
        lexer->text[lexer->at] == '\0')
        return filter_wrong(lexer, begin,
                            "a backslash may only precede a quote, an asterisk or a backslash");
    put_byte(lexer, lexer->text[lexer->at++]);
    return true;
}

static bool take_quoted(struct filter_lexer *lexer, struct filter_value *value)
{
    const uint8_t quote = lexer->text[lexer->at++];
    while (lexer->at != lexer->len) {
        const uint8_t c = lexer->text[lexer->at];
        if (c == quote) {
            lexer->at++;
            return true;
        }
        if (c == '*') {
            const bool last = lexer->at + 1 != lexer->len && lexer->text[lexer->at + 1] == quote;
            if (!take_asterisk(lexer, value, last))
                return false;
        } else if (c == '\\') {
            if (!take_escape(lexer))
                return false;
        } else {
            put_byte(lexer, c);
            lexer->at++;
        }
    }
    return filter_wrong(lexer, value->position, "the quote is not closed");
}

/* A colon may be inside: times have one. */
static bool is_unquoted(uint8_t c)
{
    return c > 0x20 && c != 0x7f && strchr("()\"'\\,<>=!", c) == NULL;
}

static bool take_unquoted(struct filter_lexer *lexer, struct filter_value *value)
{
    while (lexer->at != lexer->len && is_unquoted(lexer->text[lexer->at])) {
        const uint8_t c = lexer->text[lexer->at];
        if (c == '*') {
            const bool last =
                lexer->at + 1 == lexer->len || !is_unquoted(lexer->text[lexer->at + 1]);
            if (!take_asterisk(lexer, value, last))
                return false;
        } else {
            put_byte(lexer, c);
            lexer->at++;
        }
    }
    return true;
}

static bool at_quote(const struct filter_lexer *lexer)
{
    return lexer->at != lexer->len &&
           (lexer->text[lexer->at] == '"' || lexer->text[lexer->at] == '\'');
}

static void begin_value(struct filter_lexer *lexer, struct filter_value *value)
{
    skip_spaces(lexer);
    *value = (struct filter_value){
        .position = lexer->at, .at = (uint16_t)lexer->texts_len, .quoted = at_quote(lexer)};
}

bool filter_take_value(struct filter_lexer *lexer, struct filter_value *value)
{
    static const char *const keywords[] = {"AND", "OR", "NOT"};
    begin_value(lexer, value);
    if (!(value->quoted ? take_quoted(lexer, value) : take_unquoted(lexer, value)))
        return false;
    value->len = (uint16_t)(lexer->texts_len - value->at);
    bool missing = lexer->at == value->position;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
        missing = missing || filter_value_is(lexer, value, keywords[i]);
    if (missing) {
        lexer->at = value->position;
        return filter_expected(lexer, "a value");
    }
    return true;
}

bool filter_take_key(struct filter_lexer *lexer, struct filter_value *value)
{
    begin_value(lexer, value);
    if (value->quoted) {
        if (!take_quoted(lexer, value))
            return false;
    } else {
        for (size_t left = filter_take_name(lexer); left != 0; left--)
            put_byte(lexer, lexer->text[lexer->at - left]);
        if (lexer->at == value->position)
            return filter_expected(lexer, "a key");
        if (lexer->at != lexer->len && strchr("-./", lexer->text[lexer->at]) != NULL &&
            lexer->text[lexer->at] != '\0')
            return filter_wrong(
                lexer, value->position,
                "a key with a dash, a dot or a slash is quoted: labels.\"a.b/c-d\"");
    }
    value->len = (uint16_t)(lexer->texts_len - value->at);
    return true;
}

bool filter_value_is(const struct filter_lexer *lexer, const struct filter_value *value,
                     const char *word)
{
    return !value->quoted && !value->prefix && value->len == strlen(word) &&
           memcmp(lexer->texts + value->at, word, value->len) == 0;
}
