/* SPDX-License-Identifier: MIT */
/*
 * Random filters and random users. A filter is made as a tree, which is written as text for the
 * product, and evaluated here by plain recursion over C strings. Both must find the same users, and
 * filter_key() must answer what the tree says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <cmocka.h>

#include "tests/user/user_texts.h"
#include "user/filter/filter.h"

enum { FILTERS = 20000, USERS = 24, CHILDREN_MAX = 3, DEPTH_MAX = 4, TEXT_MAX = FILTER_TEXT_MAX };
#define SECOND INT64_C(1000000000)

static uint64_t random_state = 1;

/* @return 0 to below - 1 */
static unsigned draw(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % below;
}

/* ---- users ---- */

/* Few different texts, so that tests often hold. */
static const char *const names[] = {"a", "ab",       "abc",     "b",   "a*",
                                    "B", "\xc3\xa4", "a\"b'\\", "AND", "true"};
static const char *const mails[] = {"", "a@x.y", "a@X.y", "A@x.y", "ab@x.yz", "b@y"};
static const char *const keys[] = {"k", "kk", "x.y/k", "K-1", "disabled"};
#define PICK(list) list[draw(sizeof(list) / sizeof(*(list)))]

struct plain_user {
    const char *name, *mail, *roles[3], *label_values[sizeof(keys) / sizeof(*keys)];
    unsigned num_roles;
    bool disabled, has_password;
    int64_t created, updated;
};

static struct plain_user plain_users[USERS];
static struct stored_user stored_users[USERS];

static int64_t draw_time(void)
{
    static const int64_t fractions[] = {0, 0, 1, 500000000, 999999999};
    return SECOND * (1767225600 + draw(3)) + PICK(fractions);
}

static void make_user(struct plain_user *user, struct stored_user *stored)
{
    struct user_text roles[3];
    struct user_label labels[sizeof(keys) / sizeof(*keys)];
    struct user_record record = {.labels = labels, .fields.roles = roles};
    *user = (struct plain_user){.name = PICK(names),
                                .mail = PICK(mails),
                                .num_roles = draw(4),
                                .disabled = draw(2),
                                .has_password = draw(2),
                                .created = draw_time() / SECOND * SECOND};
    user->updated = draw(2) ? user->created : draw_time();
    for (unsigned i = 0; i < user->num_roles; i++)
        roles[i] = text_of_string(user->roles[i] = PICK(names));
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (draw(2))
            continue;
        user->label_values[i] = draw(4) == 0 ? "" : PICK(names);
        labels[record.num_labels++] = (struct user_label){
            .key = text_of_string(keys[i]), .value = text_of_string(user->label_values[i])};
    }
    record.fields.username = text_of_string(user->name);
    record.fields.email = text_of_string(user->mail);
    record.fields.created_at = user->created / SECOND;
    record.fields.num_roles = user->num_roles;
    record.disabled = user->disabled;
    record.update_time = user->updated;
    if (user->has_password)
        record.secret = text_of_string("$2b$");
    store_user(stored, &record);
}

/* ---- trees ---- */

enum kind { ALL, ANY, NONE_OF, NAME, MAIL, ROLE, KEY, LABEL, DISABLED, PASSWORD, CREATED, UPDATED };
static const char *const operators[] = {"=", "!=", "<", "<=", ">", ">="};

struct node {
    enum kind kind;
    unsigned num_children, comparison; /* comparison: an index of operators */
    struct node *children[CHILDREN_MAX];
    const char *text;
    size_t key; /* an index of keys */
    bool prefix, value;
    int64_t time;
};

static struct node nodes[1000];
static size_t num_nodes;

static void draw_test(struct node *node)
{
    node->kind = NAME + draw(UPDATED - NAME + 1);
    node->comparison = draw(node->kind == CREATED || node->kind == UPDATED ? 6 : 2);
    node->text = node->kind == MAIL ? PICK(mails) : node->kind == KEY ? PICK(keys) : PICK(names);
    node->key = draw(sizeof(keys) / sizeof(*keys));
    node->prefix = node->text[0] != '\0' && draw(3) == 0;
    node->value = draw(2);
    node->time = draw_time();
}

static struct node *draw_tree(unsigned depth)
{
    struct node *node = &nodes[num_nodes++];
    *node = (struct node){0};
    if (depth == 0 || draw(4) == 0) {
        draw_test(node);
        return node;
    }
    node->kind = draw(3);
    node->num_children = node->kind == NONE_OF ? 1 : 2 + draw(CHILDREN_MAX - 1);
    for (unsigned i = 0; i < node->num_children; i++)
        node->children[i] = draw_tree(depth - 1);
    return node;
}

/* ---- evaluation ---- */

static bool text_is(const struct node *node, const char *text)
{
    return node->prefix ? strncmp(text, node->text, strlen(node->text)) == 0
                        : strcmp(text, node->text) == 0;
}

/* The local part as it is, the domain without regard to case. */
static bool mail_is(const struct node *node, const char *mail)
{
    const char *at = strchr(node->text, '@');
    if (at == NULL)
        return text_is(node, mail);
    const size_t local = (size_t)(at - node->text) + 1;
    if (strncmp(mail, node->text, local) != 0)
        return false;
    return node->prefix ? strncasecmp(mail + local, at + 1, strlen(at + 1)) == 0
                        : strcasecmp(mail + local, at + 1) == 0;
}

static bool any_key_is(const struct node *node, const struct plain_user *user)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (user->label_values[i] != NULL && text_is(node, keys[i]))
            return true;
    return false;
}

static bool any_role_is(const struct node *node, const struct plain_user *user)
{
    bool found = false;
    for (unsigned i = 0; i < user->num_roles; i++)
        found = found || text_is(node, user->roles[i]);
    return found;
}

static bool time_is(const struct node *node, int64_t time)
{
    switch (node->comparison) {
    case 0:
        return time == node->time;
    case 1:
        return time != node->time;
    case 2:
        return time < node->time;
    case 3:
        return time <= node->time;
    case 4:
        return time > node->time;
    default:
        return time >= node->time;
    }
}

static bool holds(const struct node *node, const struct plain_user *user)
{
    const char *value = user->label_values[node->key];
    const bool unequal = node->comparison == 1;
    bool result = node->kind == ALL;
    switch (node->kind) {
    case ALL:
        for (unsigned i = 0; i < node->num_children; i++)
            result = holds(node->children[i], user) && result;
        return result;
    case ANY:
        for (unsigned i = 0; i < node->num_children; i++)
            result = holds(node->children[i], user) || result;
        return result;
    case NONE_OF:
        return !holds(node->children[0], user);
    case NAME:
        return text_is(node, user->name) ? !unequal : unequal;
    case MAIL:
        return mail_is(node, user->mail) ? !unequal : unequal;
    case ROLE:
        return any_role_is(node, user);
    case KEY:
        return any_key_is(node, user);
    case LABEL:
        return value != NULL && (text_is(node, value) ? !unequal : unequal);
    case DISABLED:
        return user->disabled == (node->value == !unequal);
    case PASSWORD:
        return user->has_password == (node->value == !unequal);
    case CREATED:
        return time_is(node, user->created);
    case UPDATED:
        return time_is(node, user->updated);
    }
    return false;
}

/* Whether a test of a unique key must hold for the whole to hold. */
static bool has_key(const struct node *node)
{
    if (node->kind == NONE_OF && node->children[0]->kind == NONE_OF)
        return has_key(node->children[0]->children[0]);
    for (unsigned i = 0; node->kind == ALL && i < node->num_children; i++)
        if (has_key(node->children[i]))
            return true;
    return (node->kind == NAME || node->kind == MAIL) && node->comparison == 0 && !node->prefix &&
           node->text[0] != '\0';
}

/* ---- text ---- */

static char filter_text[TEXT_MAX * 2];
static size_t filter_len;

static void put(const char *text)
{
    filter_len +=
        (size_t)snprintf(filter_text + filter_len, sizeof(filter_text) - filter_len, "%s", text);
}

static void put_space(bool needed)
{
    static const char *const spaces[] = {" ", "  ", "\t", "\n "};
    if (needed || draw(2))
        put(PICK(spaces));
}

static void put_value(const char *text, bool prefix, bool unquoted_works)
{
    if (unquoted_works && text[0] != '\0' && strpbrk(text, "\"'\\*") == NULL &&
        strcmp(text, "AND") != 0 && draw(2)) {
        put(text);
        put(prefix ? "*" : "");
        return;
    }
    const char quote[2] = {draw(2) ? '"' : '\'', '\0'};
    put(quote);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\' || *c == '*' || *c == quote[0])
            put("\\");
        put((const char[]){*c, '\0'});
    }
    put(prefix ? "*" : "");
    put(quote);
}

static void put_operator(const char *comparison)
{
    put_space(false);
    put(comparison);
    put_space(false);
}

static void put_time(int64_t time)
{
    char text[64];
    const int offsets[] = {0, 60, -90, 719};
    const int offset = PICK(offsets);
    const time_t local = time / SECOND + offset * 60;
    struct tm tm;
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&local, &tm));
    len += (size_t)snprintf(text + len, sizeof(text) - len, ".%09lld", (long long)(time % SECOND));
    if (offset == 0)
        snprintf(text + len, sizeof(text) - len, "Z");
    else
        snprintf(text + len, sizeof(text) - len, "%c%02d:%02d", offset < 0 ? '-' : '+',
                 abs(offset) / 60, abs(offset) % 60);
    put_value(text, false, true);
}

static void put_label(const struct node *node)
{
    put("labels.");
    put_value(keys[node->key], false, strpbrk(keys[node->key], "-./") == NULL);
    put_operator(node->comparison == 0 && draw(3) == 0 ? ":" : operators[node->comparison]);
    put_value(node->text, node->prefix, true);
}

static void put_test(const struct node *node)
{
    static const char *const fields[] = {
        [NAME] = "username",       [MAIL] = "email",         [ROLE] = "roles",
        [KEY] = "labels",          [DISABLED] = "disabled",  [PASSWORD] = "has_password",
        [CREATED] = "create_time", [UPDATED] = "update_time"};
    if (node->kind == LABEL) {
        put_label(node);
        return;
    }
    put(fields[node->kind]);
    if (node->kind == DISABLED || node->kind == PASSWORD) {
        if (node->comparison == 0 && node->value && draw(2))
            return;
        put_operator(operators[node->comparison]);
        put(node->value ? "true" : "false");
        return;
    }
    put_operator(node->kind == ROLE || node->kind == KEY ? ":" : operators[node->comparison]);
    if (node->kind == CREATED || node->kind == UPDATED)
        put_time(node->time);
    else
        put_value(node->text, node->prefix, true);
}

/* How tightly each kind binds: OR tighter than AND, NOT tighter than both. */
static unsigned strength(const struct node *node)
{
    return node->kind == ALL ? 0 : node->kind == ANY ? 1 : node->kind == NONE_OF ? 2 : 3;
}

static void put_node(const struct node *node, unsigned least)
{
    const bool brackets = strength(node) < least || draw(8) == 0;
    if (brackets) {
        put("(");
        put_space(false);
    }
    if (node->kind == NONE_OF) {
        put(draw(2) ? "-" : "NOT ");
        put_node(node->children[0], 3);
    } else if (node->num_children == 0) {
        put_test(node);
    } else {
        for (unsigned i = 0; i < node->num_children; i++) {
            if (i != 0) {
                put_space(true);
                put(node->kind == ALL ? "AND" : "OR");
                put_space(true);
            }
            put_node(node->children[i], strength(node) + draw(2));
        }
    }
    if (brackets) {
        put_space(false);
        put(")");
    }
}

/* ---- the comparison ---- */

static void check_key(const struct node *tree, const struct filter *filter)
{
    enum user_key key;
    struct user_text text;
    uint8_t has[USER_KEY_MAX];
    assert_int_equal(filter_key(filter, &key, &text), has_key(tree));
    for (size_t i = 0; has_key(tree) && i < USERS; i++) {
        const struct stored_user *user = &stored_users[i];
        if (!filter_match(filter, user->body, user->body_len, user->hidden, user->hidden_len))
            continue;
        const size_t len = user_key_of(key, user->body, user->body_len, has);
        assert_true(user_text_equal(text, (struct user_text){.data = has, .len = len}));
    }
}

/* @return whether some users match, but not all */
static bool compare(const struct node *tree)
{
    struct filter *filter;
    struct fault fault;
    unsigned found = 0;
    if (filter_parse(&filter, filter_text, filter_len, &fault) != FILTER_OK)
        fail_msg("%s\n%s", filter_text, fault.text);
    for (size_t i = 0; i < USERS; i++) {
        const struct stored_user *user = &stored_users[i];
        const bool match =
            filter_match(filter, user->body, user->body_len, user->hidden, user->hidden_len);
        if (match != holds(tree, &plain_users[i]))
            fail_msg("%s\nuser %zu %s", filter_text, i, match ? "matches" : "does not match");
        found += match;
    }
    check_key(tree, filter);
    free(filter);
    return found != 0 && found != USERS;
}

static void random_filters_match_what_their_trees_say(void **state)
{
    unsigned telling = 0, with_key = 0;
    (void)state;
    for (unsigned i = 0; i < FILTERS; i++) {
        if (i % 100 == 0)
            for (size_t k = 0; k < USERS; k++)
                make_user(&plain_users[k], &stored_users[k]);
        num_nodes = filter_len = 0;
        const struct node *tree = draw_tree(draw(DEPTH_MAX));
        put_space(false);
        put_node(tree, 0);
        put_space(false);
        telling += compare(tree);
        with_key += has_key(tree);
    }
    /* Otherwise the users are too much alike, and the comparison says little. */
    assert_true(telling > FILTERS / 2);
    assert_true(with_key > FILTERS / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_filters_match_what_their_trees_say),
    };
    return cmocka_run_group_tests_name("filter_random", tests, NULL, NULL);
}
