/* SPDX-License-Identifier: MIT */
/*
 * The reader is at least as strict as the libraries that compute the hashes: what it accepts, they
 * can verify. A hash that only fails at its user's first login would be found too late.
 */
#include "password/hash_format.h"

#include <string.h>

#include "base/base64.h"

#define DIGITS       "0123456789"
#define LETTERS      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define CRYPT_DIGITS "./" DIGITS LETTERS /* in the order of their values */

enum {
    KIB = 1024,
    ARGON2_SALT_LEAST = 8,  /* bytes: libsodium's bounds, and RFC 9106's */
    ARGON2_HASH_LEAST = 16, /* bytes */
    ARGON2_LANES_MAX = 64,
    PASSES_TIMES = 8, /* see struct password_limits */
    BCRYPT_LENGTH = 60,
    BCRYPT_COST_LEAST = 4,
    SHA_ROUNDS_DEFAULT = 5000,
    SHA_ROUNDS_LEAST = 1000,
    SHA_SALT_MAX = 16,
    YESCRYPT_N_LEAST = 10,   /* log2: the least that crypt_gensalt() chooses */
    YESCRYPT_ONE_DIGIT = 47, /* greater values take more digits */
    YESCRYPT_SALT_MAX = 86,
    CRYPT_SHA256_LENGTH = 43, /* characters of 256 bits */
    CRYPT_SHA512_LENGTH = 86,
};

/* ---- pieces of a text ---- */

static bool take_text(const char **at, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

/* A number of at most nine digits, without leading zeros. */
static bool take_decimal(const char **at, uint32_t *number)
{
    size_t len = strspn(*at, DIGITS);
    if (len == 0 || len > 9 || (**at == '0' && len != 1))
        return false;
    *number = 0;
    for (; len != 0; len--, (*at)++)
        *number = *number * 10 + (uint32_t)(**at - '0');
    return true;
}

/* @return the number of characters up to the next dollar sign or the end */
static size_t field_length(const char *at)
{
    return strcspn(at, "$");
}

/* Takes between `least` and `most` digits of libcrypt, up to the next dollar sign or the end. */
static bool take_crypt_digits(const char **at, size_t least, size_t most)
{
    size_t len = field_length(*at);
    if (len < least || len > most || strspn(*at, CRYPT_DIGITS) < len)
        return false;
    *at += len;
    return true;
}

/* Takes base64 up to the next dollar sign or the end: the text that encoding its bytes yields, and
 * no other text for the same bytes. `dots`: passlib's, which has dots instead of plus signs. */
static bool take_base64(const char **at, bool dots, uint8_t *bytes, size_t room, size_t *count)
{
    struct {
        char text[PASSWORD_HASH_MAX], again[PASSWORD_HASH_MAX];
        uint8_t decoded[PASSWORD_HASH_MAX + 3];
    } part;
    size_t len = field_length(*at);
    if (len == 0 || len >= sizeof(part.text) || memchr(*at, dots ? '+' : '=', len) != NULL)
        return false;
    for (size_t i = 0; i < len; i++)
        part.text[i] = dots && (*at)[i] == '.' ? '+' : (*at)[i];
    *at += len;
    bool good = memchr(part.text, '=', len) == NULL &&
                base64_decode(part.decoded, count, part.text, len) && *count <= room &&
                base64_encoded_length(*count) == len;
    if (good) {
        base64_encode(part.again, part.decoded, *count);
        memcpy(bytes, part.decoded, *count);
        good = memcmp(part.again, part.text, len) == 0;
    }
    explicit_bzero(&part, sizeof(part));
    return good;
}

static bool malformed(struct fault *fault, const char *what)
{
    return fault_set(fault, "the hash is malformed: %s", what);
}

static bool check_most(struct fault *fault, const char *what, uint64_t value, uint64_t most)
{
    return value <= most ||
           fault_set(fault, "the hash costs too much: its %s is %llu, and at most %llu is allowed",
                     what, (unsigned long long)value, (unsigned long long)most);
}

static bool check_memory(const struct hash_format *format, const struct password_limits *limits,
                         struct fault *fault)
{
    return check_most(fault, "memory in KiB", format->memory / KIB, limits->memory / KIB);
}

/* ---- Argon2 ---- */

static bool read_argon2(struct hash_format *format, const char *at,
                        const struct password_limits *limits, struct fault *fault)
{
    uint32_t kib, lanes;
    size_t count;
    if (!take_text(&at, "v=19$"))
        return fault_set(fault, "the hash is of an unknown version of Argon2: only v=19 is known");
    if (!take_text(&at, "m=") || !take_decimal(&at, &kib) || !take_text(&at, ",t=") ||
        !take_decimal(&at, &format->rounds) || !take_text(&at, ",p=") ||
        !take_decimal(&at, &lanes) || !take_text(&at, "$"))
        return malformed(fault, "Argon2's parameters are m=KIB,t=PASSES,p=LANES");
    if (format->rounds == 0 || lanes == 0 || lanes > ARGON2_LANES_MAX || kib < 8 * lanes)
        return malformed(fault, "Argon2's parameters are out of range");
    format->memory = (uint64_t)kib * KIB;
    bool own = format->kind == HASH_ARGON2ID && lanes == 1 &&
               format->memory <= limits->own_memory && format->rounds <= limits->own_passes;
    if (!own && (!check_memory(format, limits, fault) ||
                 !check_most(fault, "memory in KiB times passes", (uint64_t)kib * format->rounds,
                             PASSES_TIMES * limits->memory / KIB)))
        return false;
    if (!take_base64(&at, false, format->salt, sizeof(format->salt), &count) ||
        count < ARGON2_SALT_LEAST || !take_text(&at, "$"))
        return malformed(fault, "Argon2's salt is at least 8 bytes in base64");
    if (!take_base64(&at, false, format->salt, sizeof(format->salt), &count) ||
        count < ARGON2_HASH_LEAST || *at != '\0')
        return malformed(fault, "Argon2's hash is at least 16 bytes in base64");
    return true;
}

/* ---- libcrypt's ---- */

/* @param at behind "$2b$" */
static bool read_bcrypt(struct hash_format *format, const char *at,
                        const struct password_limits *limits, struct fault *fault)
{
    const size_t rest = BCRYPT_LENGTH - 7; /* without "$2b$10$" */
    if (strspn(at, DIGITS) != 2 || at[2] != '$')
        return malformed(fault, "bcrypt's cost has two digits");
    format->rounds = (uint32_t)(at[0] - '0') * 10 + (uint32_t)(at[1] - '0');
    at += 3;
    if (format->rounds < BCRYPT_COST_LEAST)
        return malformed(fault, "bcrypt's cost is at least 4");
    if (!check_most(fault, "cost", format->rounds, limits->bcrypt_cost))
        return false;
    if (!take_crypt_digits(&at, rest, rest) || *at != '\0')
        return malformed(fault, "bcrypt's salt and hash are 53 letters, digits, dots and slashes");
    return true;
}

/* @param at behind "$6$" */
static bool read_sha_crypt(struct hash_format *format, const char *at,
                           const struct password_limits *limits, struct fault *fault)
{
    format->rounds = SHA_ROUNDS_DEFAULT;
    if (take_text(&at, "rounds=") && (!take_decimal(&at, &format->rounds) ||
                                      format->rounds < SHA_ROUNDS_LEAST || !take_text(&at, "$")))
        return malformed(fault, "rounds= needs a number of at least 1000");
    if (!check_most(fault, "rounds", format->rounds, limits->sha_rounds))
        return false;
    if (!take_crypt_digits(&at, 0, SHA_SALT_MAX) || !take_text(&at, "$"))
        return malformed(fault, "its salt is at most 16 letters, digits, dots and slashes");
    if (!take_crypt_digits(&at, format->length, format->length) || *at != '\0')
        return malformed(fault, "it does not end in the characters of a hash of its kind");
    return true;
}

/* @return the value of a digit; YESCRYPT_ONE_DIGIT + 1: it is none, or more digits follow */
static uint32_t crypt_digit(char c)
{
    static const char digits[] = CRYPT_DIGITS;
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    size_t value = found != NULL ? (size_t)(found - digits) : YESCRYPT_ONE_DIGIT + 1;
    return value <= YESCRYPT_ONE_DIGIT ? (uint32_t)value : YESCRYPT_ONE_DIGIT + 1;
}

/* Takes base64 as yescrypt has it, low bits first. The bits that belong to no byte must be zero. */
static bool take_yescrypt_base64(const char **at, size_t least, size_t most)
{
    size_t len = field_length(*at);
    if (!take_crypt_digits(at, least, most))
        return false;
    uint32_t last = crypt_digit((*at)[-1]);
    return len % 4 == 0 || (len % 4 == 2 && last < 4) || (len % 4 == 3 && last < 16);
}

/* @param at behind "$y$" */
static bool read_yescrypt(struct hash_format *format, const char *at,
                          const struct password_limits *limits, struct fault *fault)
{
    if (field_length(at) != 3 || at[0] != 'j' || crypt_digit(at[1]) > YESCRYPT_ONE_DIGIT ||
        crypt_digit(at[2]) > YESCRYPT_ONE_DIGIT)
        return malformed(fault, "yescrypt's parameters are j, one digit for N and one for r");
    uint32_t log2 = crypt_digit(at[1]) + 1, r = crypt_digit(at[2]) + 1;
    at += 3;
    if (log2 < YESCRYPT_N_LEAST)
        return malformed(fault, "yescrypt's N is too small");
    format->memory = (uint64_t)128 * r << log2;
    if (!check_memory(format, limits, fault))
        return false;
    if (!take_text(&at, "$") || !take_yescrypt_base64(&at, 1, YESCRYPT_SALT_MAX) ||
        !take_text(&at, "$"))
        return malformed(fault, "yescrypt's salt is at most 64 bytes in its base64");
    if (!take_yescrypt_base64(&at, CRYPT_SHA256_LENGTH, CRYPT_SHA256_LENGTH) || *at != '\0')
        return malformed(fault, "yescrypt's hash is 32 bytes in its base64: 43 characters");
    return true;
}

/* ---- PBKDF2 ---- */

static bool take_iterations(struct hash_format *format, const char **at,
                            const struct password_limits *limits, struct fault *fault)
{
    if (!take_decimal(at, &format->rounds) || format->rounds == 0 || !take_text(at, "$"))
        return malformed(fault, "PBKDF2's iterations are a number of at most nine digits");
    return check_most(fault, "iterations", format->rounds, limits->pbkdf2_iterations);
}

/* @param at behind "$pbkdf2-sha256$" */
static bool read_passlib(struct hash_format *format, const char *at,
                         const struct password_limits *limits, struct fault *fault)
{
    if (!take_iterations(format, &at, limits, fault))
        return false;
    if (*at != '$' &&
        !take_base64(&at, true, format->salt, sizeof(format->salt), &format->salt_len))
        return malformed(fault, "PBKDF2's salt is base64 with dots, without padding");
    if (!take_text(&at, "$") ||
        !take_base64(&at, true, format->key, sizeof(format->key), &format->key_len) ||
        format->key_len != format->length || *at != '\0')
        return malformed(fault, "PBKDF2's hash is as long as its digest, in base64 with dots, "
                                "without padding");
    return true;
}

/* Django's salt is text, and its hash has padding. @param at behind "pbkdf2_sha256$" */
static bool read_django(struct hash_format *format, const char *at,
                        const struct password_limits *limits, struct fault *fault)
{
    char key[HASH_KEY_MAX * 2]; /* without the padding */
    if (!take_iterations(format, &at, limits, fault))
        return false;
    format->salt_len = field_length(at);
    for (size_t i = 0; i < format->salt_len; i++)
        if (at[i] <= 0x20 || at[i] >= 0x7f) /* as in each hash that a user's record takes */
            return malformed(fault, "PBKDF2's salt is visible ASCII characters");
    memcpy(format->salt, at, format->salt_len);
    at += format->salt_len;
    size_t padding = (3 - format->length % 3) % 3,
           len = base64_encoded_length(format->length) + padding;
    if (!take_text(&at, "$") || strlen(at) != len || strspn(at + len - padding, "=") != padding)
        return malformed(fault, "PBKDF2's hash is as long as its digest, in base64 with padding");
    memcpy(key, at, len - padding);
    key[len - padding] = '\0';
    at = key;
    bool good = take_base64(&at, false, format->key, sizeof(format->key), &format->key_len) &&
                format->key_len == format->length;
    explicit_bzero(key, sizeof(key));
    return good ||
           malformed(fault, "PBKDF2's hash is as long as its digest, in base64 with padding");
}

/* ---- all of them ---- */

bool hash_format_read(struct hash_format *format, const char *hash,
                      const struct password_limits *limits, struct fault *fault)
{
    static const struct {
        const char *prefix;
        enum hash_kind kind;
        bool (*read)(struct hash_format *format, const char *at,
                     const struct password_limits *limits, struct fault *fault);
        size_t length;      /* of the hash: digits of libcrypt, or bytes; 0: not of one length */
        const char *digest; /* of PBKDF2 */
    } kinds[] = {
        {"$argon2id$", HASH_ARGON2ID, read_argon2, 0, NULL},
        {"$argon2i$", HASH_ARGON2I, read_argon2, 0, NULL},
        {"$2b$", HASH_BCRYPT, read_bcrypt, 0, NULL},
        {"$2a$", HASH_BCRYPT, read_bcrypt, 0, NULL},
        {"$2y$", HASH_BCRYPT, read_bcrypt, 0, NULL},
        {"$6$", HASH_SHA_CRYPT, read_sha_crypt, CRYPT_SHA512_LENGTH, NULL},
        {"$5$", HASH_SHA_CRYPT, read_sha_crypt, CRYPT_SHA256_LENGTH, NULL},
        {"$y$", HASH_YESCRYPT, read_yescrypt, 0, NULL},
        {"$pbkdf2-sha256$", HASH_PBKDF2, read_passlib, 32, "SHA256"},
        {"$pbkdf2-sha512$", HASH_PBKDF2, read_passlib, 64, "SHA512"},
        {"pbkdf2_sha256$", HASH_PBKDF2, read_django, 32, "SHA256"},
        {"pbkdf2_sha512$", HASH_PBKDF2, read_django, 64, "SHA512"},
    };
    if (strnlen(hash, PASSWORD_HASH_MAX + 1) > PASSWORD_HASH_MAX)
        return fault_set(fault, "the hash is longer than %d bytes", PASSWORD_HASH_MAX);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *at = hash;
        if (!take_text(&at, kinds[i].prefix))
            continue;
        *format = (struct hash_format){
            .kind = kinds[i].kind, .length = kinds[i].length, .digest = kinds[i].digest};
        return kinds[i].read(format, at, limits, fault);
    }
    return fault_set(fault, "the hash is of an unknown kind: known are Argon2, bcrypt, SHA-crypt, "
                            "yescrypt and PBKDF2");
}
