/* SPDX-License-Identifier: MIT */
/*
 * What a match costs: nanoseconds a user, for filters of each kind. The users lie one behind the
 * other; walking the store's table is not part of it.
 *   bench_filter [--users N] [--rounds N]   a line for each filter: the share of users that match,
 *                                           the median of the rounds; fields separated by tabs
 *   bench_filter --list                     the filters
 *   bench_filter --count INDEX              matches 8,000 users once, for callgrind:
 *                                           valgrind --tool=callgrind --collect-atstart=no
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "base/clock.h"
#include "user/filter/filter.h"
#include "user/user_record.h"

enum { ROUNDS_MAX = 99, COUNTED = 8000, CREATED = 1767225600 };

static const char *const filters[] = {
    "username = \"user0000042\"",
    "username = \"user00000*\"",
    "email = \"user0000042@example.org\"",
    "roles:\"auditor\"",
    "labels.team = \"core\"",
    "labels:\"example.org/cost-centre\"",
    "-labels:missing",
    "disabled",
    "has_password",
    "create_time < 2026-01-02T00:00:00Z",
    "update_time < 2026-01-02T00:00:00Z",
    "disabled AND labels.team = \"core\"",
    "-disabled AND roles:\"user\" AND labels.team = \"core\" AND create_time > "
    "2026-01-01T12:00:00Z",
};
enum { BENCH_FILTERS = sizeof(filters) / sizeof(*filters) };

struct place {
    uint32_t body_len, hidden_len;
};

static uint64_t num_users = 1000000;
static uint8_t *bytes;
static struct place *places;

static struct user_text text_of(const char *string)
{
    return (struct user_text){.data = (const uint8_t *)string, .len = strlen(string)};
}

/* A user like many: one to three roles, up to four labels, mostly a password. */
static void make_user(uint64_t i, uint8_t *at, struct place *place)
{
    static const char *const roles_of[] = {"user", "editor", "auditor"};
    static const char *const teams[] = {"core", "infra", "sales", "support", "web"};
    struct user_text roles[3];
    struct user_label labels[4];
    char name[32], email[64];
    uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    snprintf(name, sizeof(name), "user%07llu", (unsigned long long)i);
    snprintf(email, sizeof(email), "%s@example.org", name);
    for (size_t k = 0; k < 3; k++)
        roles[k] = text_of(roles_of[k]);
    labels[0] = (struct user_label){text_of("team"), text_of(teams[mixed % 5])};
    labels[1] = (struct user_label){text_of("region"), text_of("eu-west")};
    labels[2] = (struct user_label){text_of("plan"), text_of("standard")};
    labels[3] = (struct user_label){text_of("example.org/cost-centre"), text_of("4711")};
    struct user_record record = {.fields = {.username = text_of(name),
                                            .email = text_of(email),
                                            .created_at = CREATED + (int64_t)(i % 86400) * 2,
                                            .roles = roles,
                                            .num_roles = 1 + mixed % 3},
                                 .disabled = mixed % 50 == 0,
                                 .labels = labels,
                                 .num_labels = mixed / 5 % 5};
    record.update_time = user_create_time(&record.fields) + (mixed % 4 == 0 ? 1 : 0);
    if (mixed % 10 != 0)
        record.secret = text_of("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
                                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY");
    place->body_len = (uint32_t)user_body_encode(at, &record.fields);
    place->hidden_len = (uint32_t)user_hidden_encode(at + place->body_len, &record);
}

static void make_users(void)
{
    static uint8_t one[USER_RECORD_MAX];
    size_t used = 0, size = num_users * 400;
    bytes = malloc(size);
    places = malloc(num_users * sizeof(*places));
    if (bytes == NULL || places == NULL)
        exit(1);
    for (uint64_t i = 0; i < num_users; i++) {
        make_user(i, one, &places[i]);
        const size_t len = places[i].body_len + places[i].hidden_len;
        if (used + len > size)
            exit(1);
        memcpy(bytes + used, one, len);
        used += len;
    }
}

static struct filter *parse(const char *text)
{
    struct filter *filter;
    struct fault fault;
    if (filter_parse(&filter, text, strlen(text), &fault) != FILTER_OK) {
        fprintf(stderr, "bench_filter: %s: %s\n", text, fault.text);
        exit(1);
    }
    return filter;
}

/* @return how many match */
static uint64_t match_all(const struct filter *filter)
{
    const uint8_t *at = bytes;
    uint64_t found = 0;
    for (uint64_t i = 0; i < num_users; i++) {
        const struct place *place = &places[i];
        const uint8_t *hidden = at + place->body_len;
        found += filter_match(filter, at, place->body_len, hidden, place->hidden_len);
        at = hidden + place->hidden_len;
    }
    return found;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void measure(const char *text, unsigned rounds)
{
    double ns[ROUNDS_MAX];
    uint64_t found = 0;
    struct filter *filter = parse(text);
    for (unsigned i = 0; i < rounds; i++) {
        const uint64_t begin = clock_monotonic_ns();
        found = match_all(filter);
        ns[i] = (double)(clock_monotonic_ns() - begin) / (double)num_users;
    }
    qsort(ns, rounds, sizeof(*ns), compare);
    printf("%s\t%.1f %%\t%.1f ns\n", text, 100 * (double)found / (double)num_users, ns[rounds / 2]);
    free(filter);
}

/* A user with all the roles and labels that it may have. */
static struct place make_full_user(uint8_t *at)
{
    char role_texts[USER_ROLES_MAX][16], keys[USER_LABELS_MAX][16];
    struct user_text roles[USER_ROLES_MAX];
    struct user_label labels[USER_LABELS_MAX];
    struct place place;
    for (int i = 0; i < USER_ROLES_MAX; i++) {
        snprintf(role_texts[i], sizeof(role_texts[i]), "a-role-%02d", i);
        snprintf(keys[i], sizeof(keys[i]), "key%02d", i);
        roles[i] = text_of(role_texts[i]);
        labels[i] = (struct user_label){text_of(keys[i]), text_of("value")};
    }
    const struct user_record record = {
        .fields = {.username = text_of("user"), .roles = roles, .num_roles = USER_ROLES_MAX},
        .labels = labels,
        .num_labels = USER_LABELS_MAX};
    place.body_len = (uint32_t)user_body_encode(at, &record.fields);
    place.hidden_len = (uint32_t)user_hidden_encode(at + place.body_len, &record);
    return place;
}

/* The most that a filter can cost: all tests of it, none of which holds, read all of a full user. A
 * scan in slices must look at the clock often enough for it. */
static void measure_worst(const char *name, const char *test, unsigned rounds)
{
    static uint8_t user[USER_RECORD_MAX];
    char text[FILTER_TEXT_MAX];
    size_t used = 0;
    double ns[ROUNDS_MAX];
    const struct place place = make_full_user(user);
    for (int i = 0; i < FILTER_TERMS_MAX; i++)
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i == 0 ? "" : " OR ", test);
    struct filter *filter = parse(text);
    for (unsigned i = 0; i < rounds; i++) {
        const uint64_t begin = clock_monotonic_ns();
        for (int k = 0; k < 1000; k++)
            (void)filter_match(filter, user, place.body_len, user + place.body_len,
                               place.hidden_len);
        ns[i] = (double)(clock_monotonic_ns() - begin) / 1000;
    }
    qsort(ns, rounds, sizeof(*ns), compare);
    printf("64 tests of %s, a user with 32\t0.0 %%\t%.1f ns\n", name, ns[rounds / 2]);
    free(filter);
}

static void count(const char *text)
{
    struct filter *filter = parse(text);
    num_users = COUNTED;
    make_users();
    CALLGRIND_TOGGLE_COLLECT;
    const uint64_t found = match_all(filter);
    CALLGRIND_TOGGLE_COLLECT;
    printf("%s\t%llu\n", text, (unsigned long long)found);
    free(filter);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"users", required_argument, NULL, 'u'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"count", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    unsigned long rounds = 7, counted = BENCH_FILTERS;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'u')
            num_users = strtoull(optarg, NULL, 10);
        else if (c == 'r')
            rounds = strtoul(optarg, NULL, 10);
        else if (c == 'c')
            counted = strtoul(optarg, NULL, 10);
        else if (c == 'l')
            for (size_t i = 0; i < BENCH_FILTERS; i++)
                puts(filters[i]);
        if (c == 'l' || c == '?')
            return c == '?';
    }
    if (num_users == 0 || rounds == 0 || rounds > ROUNDS_MAX)
        return 1;
    if (counted < BENCH_FILTERS) {
        count(filters[counted]);
    } else {
        make_users();
        for (size_t i = 0; i < BENCH_FILTERS; i++)
            measure(filters[i], (unsigned)rounds);
        measure_worst("roles", "roles:b-role-00", (unsigned)rounds);
        measure_worst("labels", "labels.kez00 = value", (unsigned)rounds);
    }
    free(bytes);
    free(places);
    return 0;
}
