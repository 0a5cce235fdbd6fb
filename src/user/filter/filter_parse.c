/* SPDX-License-Identifier: MIT */
/*
 * The grammar: AND, OR, NOT, brackets. docs/directory-filter.md has it in EBNF. A function for each
 * rule makes a tree; then the tree is walked from its end to its beginning, so that each test
 * learns which test follows it. Brackets are bounded, and so is the recursion.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "user/filter/filter.h"
#include "user/filter/filter_lexer.h"
#include "user/filter/filter_program.h"
#include "user/filter/filter_restriction.h"

/* AND and OR have at least two children each, so the tree has fewer of them than tests. */
enum { NODES_MAX = 2 * FILTER_TERMS_MAX, NO_NODE = 0xff };

enum node_kind { NODE_TEST, NODE_AND, NODE_OR };

struct filter_node {
    uint8_t kind; /* enum node_kind */
    bool negated;
    uint8_t term;     /* of a test */
    uint8_t last;     /* of AND and OR: the last child */
    uint8_t previous; /* the child before this one; NO_NODE */
};

struct filter_parser {
    struct filter_lexer lexer;
    struct filter_term terms[FILTER_TERMS_MAX];
    struct filter_node nodes[NODES_MAX];
    uint8_t num_terms, num_nodes;
    unsigned depth;
};

/* ---- the grammar. Each rule returns a node; NO_NODE, with a fault: the text is wrong ---- */

static uint8_t parse_expression(struct filter_parser *parser);

static uint8_t new_node(struct filter_parser *parser, enum node_kind kind)
{
    assert(parser->num_nodes < NODES_MAX);
    struct filter_node *node = &parser->nodes[parser->num_nodes];
    *node = (struct filter_node){.kind = (uint8_t)kind, .last = NO_NODE, .previous = NO_NODE};
    return parser->num_nodes++;
}

static uint8_t no_node(bool ignored)
{
    (void)ignored; /* of filter_wrong(), which returns false */
    return NO_NODE;
}

static uint8_t parse_restriction(struct filter_parser *parser)
{
    struct filter_lexer *lexer = &parser->lexer;
    (void)filter_at_end(lexer); /* a message is about the next piece, not the spaces before it */
    if (parser->num_terms == FILTER_TERMS_MAX)
        return no_node(
            filter_wrong(lexer, lexer->at, "the filter has more than %d tests", FILTER_TERMS_MAX));
    if (!filter_take_restriction(lexer, &parser->terms[parser->num_terms]))
        return NO_NODE;
    uint8_t node = new_node(parser, NODE_TEST);
    parser->nodes[node].term = parser->num_terms++;
    return node;
}

/* What follows an opening bracket. */
static uint8_t parse_composite(struct filter_parser *parser)
{
    struct filter_lexer *lexer = &parser->lexer;
    const size_t opened = lexer->at - 1;
    if (parser->depth == FILTER_DEPTH_MAX)
        return no_node(filter_wrong(lexer, opened, "more than %d brackets are inside of each other",
                                    FILTER_DEPTH_MAX));
    parser->depth++;
    const uint8_t node = parse_expression(parser);
    parser->depth--;
    if (node == NO_NODE || filter_take(lexer, ')'))
        return node;
    if (filter_at_end(lexer))
        return no_node(filter_wrong(lexer, opened, "the bracket is not closed"));
    return no_node(filter_expected(lexer, "AND, OR or )"));
}

static uint8_t parse_term(struct filter_parser *parser)
{
    struct filter_lexer *lexer = &parser->lexer;
    const bool negated = filter_take(lexer, '-') || filter_take_keyword(lexer, "NOT");
    const uint8_t node =
        filter_take(lexer, '(') ? parse_composite(parser) : parse_restriction(parser);
    if (node != NO_NODE)
        parser->nodes[node].negated ^= negated;
    return node;
}

/* Reads children with a keyword between them. One child alone needs no parent. */
static uint8_t parse_list(struct filter_parser *parser, enum node_kind kind, const char *keyword,
                          uint8_t (*parse_child)(struct filter_parser *parser))
{
    uint8_t child = parse_child(parser), parent = NO_NODE;
    while (child != NO_NODE && filter_take_keyword(&parser->lexer, keyword)) {
        const uint8_t next = parse_child(parser);
        if (next == NO_NODE)
            return NO_NODE;
        if (parent == NO_NODE)
            parent = new_node(parser, kind);
        parser->nodes[next].previous = child;
        child = next;
    }
    if (child == NO_NODE || parent == NO_NODE)
        return child;
    parser->nodes[parent].last = child;
    return parent;
}

static uint8_t parse_factor(struct filter_parser *parser)
{
    return parse_list(parser, NODE_OR, "OR", parse_term);
}

static uint8_t parse_expression(struct filter_parser *parser)
{
    return parse_list(parser, NODE_AND, "AND", parse_factor);
}

static uint8_t parse_whole(struct filter_parser *parser)
{
    struct filter_lexer *lexer = &parser->lexer;
    const uint8_t root = parse_expression(parser);
    if (root == NO_NODE || filter_at_end(lexer))
        return root;
    if (lexer->text[lexer->at] == ')')
        return no_node(filter_wrong(lexer, lexer->at, "the bracket closes none"));
    return no_node(filter_expected(lexer, "AND or OR"));
}

/* ---- the program ---- */

/* Sets where each test below the node goes. @return the test that begins it */
static uint8_t link_node(struct filter_parser *parser, uint8_t at, uint8_t yes, uint8_t no)
{
    const struct filter_node *node = &parser->nodes[at];
    const uint8_t holds = node->negated ? no : yes, fails = node->negated ? yes : no;
    if (node->kind == NODE_TEST) {
        parser->terms[node->term].yes = holds;
        parser->terms[node->term].no = fails;
        return node->term;
    }
    uint8_t next = node->kind == NODE_AND ? holds : fails;
    for (uint8_t child = node->last; child != NO_NODE; child = parser->nodes[child].previous)
        next = node->kind == NODE_AND ? link_node(parser, child, next, fails)
                                      : link_node(parser, child, holds, next);
    return next;
}

static bool is_key_test(const struct filter_parser *parser, const struct filter_term *term)
{
    uint8_t key[USER_KEY_MAX];
    const struct user_text text = {.data = parser->lexer.texts + term->text.at,
                                   .len = term->text.len};
    if ((term->test != FILTER_TEST_USERNAME && term->test != FILTER_TEST_EMAIL) || term->unequal ||
        term->text.prefix)
        return false;
    return user_key_of_text(USER_KEY_USERNAME, text, key) != 0;
}

/* The first test of a unique key without which no user matches; FILTER_NO_KEY: there is none. */
static uint8_t find_key_test(const struct filter_parser *parser, uint8_t at)
{
    const struct filter_node *node = &parser->nodes[at];
    uint8_t found = FILTER_NO_KEY;
    if (node->negated || node->kind == NODE_OR)
        return FILTER_NO_KEY;
    if (node->kind == NODE_TEST)
        return is_key_test(parser, &parser->terms[node->term]) ? node->term : FILTER_NO_KEY;
    for (uint8_t child = node->last; child != NO_NODE; child = parser->nodes[child].previous) {
        const uint8_t here = find_key_test(parser, child);
        found = here == FILTER_NO_KEY ? found : here;
    }
    return found;
}

static struct filter *make_filter(struct filter_parser *parser, uint8_t root)
{
    const size_t terms_size = parser->num_terms * sizeof(struct filter_term);
    struct filter *filter = malloc(sizeof(struct filter) + terms_size + parser->lexer.texts_len);
    if (filter == NULL)
        return NULL;
    *filter = (struct filter){
        .first = FILTER_ACCEPT, .key = FILTER_NO_KEY, .num_terms = parser->num_terms};
    if (root != NO_NODE) {
        filter->first = link_node(parser, root, FILTER_ACCEPT, FILTER_REJECT);
        filter->key = find_key_test(parser, root);
    }
    memcpy(filter->terms, parser->terms, terms_size);
    memcpy((uint8_t *)filter->terms + terms_size, parser->lexer.texts, parser->lexer.texts_len);
    return filter;
}

enum filter_result filter_parse(struct filter **filter, const char *text, size_t len,
                                struct fault *fault)
{
    struct filter_parser parser;
    *filter = NULL;
    if (len > FILTER_TEXT_MAX) {
        fault_set(fault, "the filter is longer than %d bytes", FILTER_TEXT_MAX);
        return FILTER_WRONG;
    }
    if (!utf8_valid((const uint8_t *)text, len)) {
        fault_set(fault, "the filter is not UTF-8");
        return FILTER_WRONG;
    }
    /* Not all of the parser, most of which is never used. */
    parser.lexer.text = (const uint8_t *)text;
    parser.lexer.len = len;
    parser.lexer.at = 0;
    parser.lexer.fault = fault;
    parser.lexer.texts_len = 0;
    parser.num_terms = parser.num_nodes = 0;
    parser.depth = 0;
    uint8_t root = NO_NODE;
    if (!filter_at_end(&parser.lexer)) {
        root = parse_whole(&parser);
        if (root == NO_NODE)
            return FILTER_WRONG;
    }
    *filter = make_filter(&parser, root);
    if (*filter != NULL)
        return FILTER_OK;
    fault_set(fault, "out of memory");
    return FILTER_NO_MEMORY;
}
