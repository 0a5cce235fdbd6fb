/* SPDX-License-Identifier: MIT */
/* Reads a filter's text piece by piece, and says what is wrong with it and where. What a piece is
 * depends on the place: the text after an operator may contain a colon, for example. So the parser
 * asks for what may stand at a place. */
#ifndef ROSTERD_USER_FILTER_FILTER_LEXER_H
#define ROSTERD_USER_FILTER_FILTER_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "user/filter/filter.h"

struct filter_lexer {
    const uint8_t *text;
    size_t len, at;
    struct fault *fault;
    /* The values that were read, without quotes and backslashes. They cannot be longer than the
     * text. */
    uint8_t texts[FILTER_TEXT_MAX];
    size_t texts_len;
};

enum filter_operator {
    FILTER_EQUAL,
    FILTER_UNEQUAL,
    FILTER_LESS,
    FILTER_LESS_OR_EQUAL,
    FILTER_GREATER,
    FILTER_GREATER_OR_EQUAL,
    FILTER_HAS,
    FILTER_NO_OPERATOR,
};

/** A text after an operator. It is appended to the lexer's texts. */
struct filter_value {
    size_t position; /* where it begins in the filter */
    uint16_t at, len;
    bool quoted;
    bool prefix; /* it ended in an asterisk, which is not part of it */
};

/** Reports a mistake at a byte of the text. @return false */
bool filter_wrong(struct filter_lexer *lexer, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Reports that something else should stand at the next piece, and quotes that piece. @return false
 */
bool filter_expected(struct filter_lexer *lexer, const char *what);

/** @return whether nothing but spaces is left */
bool filter_at_end(struct filter_lexer *lexer);
/** Takes a character after any spaces. @return false: another one stands there */
bool filter_take(struct filter_lexer *lexer, char c);
/** Takes AND, OR or NOT after any spaces. @return false: something else stands there */
bool filter_take_keyword(struct filter_lexer *lexer, const char *keyword);
/** The letters, digits and underscores that follow, after any spaces. @return how many; they end
 * where the lexer stands */
size_t filter_take_name(struct filter_lexer *lexer);
/** @return FILTER_NO_OPERATOR: none stands there */
enum filter_operator filter_take_operator(struct filter_lexer *lexer);
/** As it is written. */
const char *filter_operator_text(enum filter_operator op);
/** Reads a text: in quotes of either kind with backslashes, or up to the next space, bracket, quote
 * or operator. @return false, with a fault: there is none, or it is malformed */
bool filter_take_value(struct filter_lexer *lexer, struct filter_value *value);
/** Reads the key that follows a dot: a text in quotes, or a name. @return as filter_take_value() */
bool filter_take_key(struct filter_lexer *lexer, struct filter_value *value);
/** Whether an unquoted value is this word. */
bool filter_value_is(const struct filter_lexer *lexer, const struct filter_value *value,
                     const char *word);

#endif
