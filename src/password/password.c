/* SPDX-License-Identifier: MIT */
#include "password/password.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include <sys/param.h>

#include "base/secret.h"
#include "password/hash_format.h"

enum {
    BCRYPT_LOOKS_AT = 72,                           /* bytes of a password */
    BCRYPT_HASH_AT = 29,                            /* behind "$2b$10$" and 22 digits of salt */
    CRYPT_LOOKS_AT = CRYPT_MAX_PASSPHRASE_SIZE - 1, /* bytes of a password */
};

bool password_prepare(struct fault *fault)
{
    return sodium_init() >= 0 || fault_set(fault, "libsodium: cannot be initialized");
}

bool password_check_format(const char *hash, const struct password_limits *limits,
                           struct fault *fault)
{
    struct hash_format format;
    bool good = hash_format_read(&format, hash, limits, fault);
    explicit_bzero(&format, sizeof(format));
    return good;
}

/* ---- Argon2 ---- */

bool password_hash(char *hash, const char *password, size_t len, const struct password_cost *cost)
{
    _Static_assert(crypto_pwhash_STRBYTES <= PASSWORD_HASH_MAX + 1, "a new hash fits");
    return crypto_pwhash_str_alg(hash, password, len, cost->passes, cost->memory,
                                 crypto_pwhash_ALG_ARGON2ID13) == 0;
}

bool password_pretend(const char *password, size_t len, const struct password_cost *cost)
{
    static const uint8_t salt[crypto_pwhash_SALTBYTES] = {0};
    uint8_t key[32]; /* as long as that of crypto_pwhash_str_alg() */
    bool good = crypto_pwhash(key, sizeof(key), password, len, salt, cost->passes, cost->memory,
                              crypto_pwhash_ALG_ARGON2ID13) == 0;
    explicit_bzero(key, sizeof(key));
    return good;
}

/* libsodium compares in constant time, and sets EINVAL only if the hashes differ. */
static enum password_verdict verify_argon2(enum hash_kind kind, const char *hash,
                                           const char *password, size_t len)
{
    errno = 0;
    int result = kind == HASH_ARGON2ID ? crypto_pwhash_argon2id_str_verify(hash, password, len)
                                       : crypto_pwhash_argon2i_str_verify(hash, password, len);
    if (result == 0)
        return PASSWORD_YES;
    return errno == EINVAL ? PASSWORD_NO : PASSWORD_UNKNOWN;
}

/* ---- libcrypt ---- */

struct crypt_room {
    struct crypt_data data; /* libcrypt's scratch memory, with the password in it */
    char phrase[CRYPT_MAX_PASSPHRASE_SIZE];
};

static enum password_verdict compare_crypt(const struct crypt_room *room, const char *hash,
                                           const char *made, enum hash_kind kind)
{
    /* the last digit of bcrypt's salt has four bits that mean nothing and that libcrypt clears */
    size_t from = kind == HASH_BCRYPT ? BCRYPT_HASH_AT : 0, len = strlen(hash);
    if (made == NULL || made != room->data.output || strlen(made) != len)
        return PASSWORD_UNKNOWN;
    return CRYPTO_memcmp(made + from, hash + from, len - from) == 0 ? PASSWORD_YES : PASSWORD_NO;
}

/* A password that the hash cannot be of costs as much as any other. */
static enum password_verdict verify_crypt(enum hash_kind kind, const char *hash,
                                          const char *password, size_t len)
{
    size_t looks_at = kind == HASH_BCRYPT ? BCRYPT_LOOKS_AT : CRYPT_LOOKS_AT;
    size_t used = MIN(len, looks_at);
    bool possible = memchr(password, '\0', len) == NULL && (kind == HASH_BCRYPT || len <= looks_at);
    struct crypt_room *room = secret_alloc(sizeof(*room));
    if (room == NULL)
        return PASSWORD_UNKNOWN;
    memset(&room->data, 0, sizeof(room->data));
    memcpy(room->phrase, password, used);
    room->phrase[used] = '\0';
    const char *made = crypt_rn(room->phrase, hash, &room->data, (int)sizeof(room->data));
    enum password_verdict verdict = compare_crypt(room, hash, made, kind);
    secret_free(room, sizeof(*room));
    return verdict == PASSWORD_YES && !possible ? PASSWORD_NO : verdict;
}

/* ---- PBKDF2 ---- */

static enum password_verdict verify_pbkdf2(const struct hash_format *format, const char *password,
                                           size_t len)
{
    uint8_t key[HASH_KEY_MAX];
    EVP_MD *digest = EVP_MD_fetch(NULL, format->digest, NULL);
    bool made = digest != NULL &&
                PKCS5_PBKDF2_HMAC(password, (int)len, format->salt, (int)format->salt_len,
                                  (int)format->rounds, digest, (int)format->key_len, key) == 1;
    enum password_verdict verdict = PASSWORD_UNKNOWN;
    if (made)
        verdict =
            CRYPTO_memcmp(key, format->key, format->key_len) == 0 ? PASSWORD_YES : PASSWORD_NO;
    EVP_MD_free(digest);
    explicit_bzero(key, sizeof(key));
    return verdict;
}

/* ---- all of them ---- */

static bool is_weaker(const struct hash_format *format, const struct password_cost *cost)
{
    return format->kind != HASH_ARGON2ID || format->memory < cost->memory ||
           format->rounds < cost->passes;
}

/* What Argon2's time grows with: its memory times its passes. To get the memory, which the kernel
 * fills with zeros, takes about as long as two passes over it. */
static uint64_t argon2_work(uint64_t memory, uint64_t passes)
{
    enum { PASSES_TO_GET_IT = 2 };
    return memory * (passes + PASSES_TO_GET_IT);
}

/* Spends what a hash of the usual cost takes more than the weaker one that was verified. The time
 * of other kinds than Argon2 cannot be compared, and so all of the usual cost is spent. */
static void spend_the_rest(const struct hash_format *format, const char *password, size_t len,
                           const struct password_cost *cost)
{
    bool argon2 = format->kind == HASH_ARGON2ID || format->kind == HASH_ARGON2I;
    uint64_t usual = argon2_work(cost->memory, cost->passes);
    uint64_t spent = argon2 ? argon2_work(format->memory, format->rounds) : 0;
    if (spent >= usual)
        return;
    uint64_t memory = (usual - spent) / argon2_work(1, cost->passes);
    const struct password_cost rest = {.memory = MAX(memory, (uint64_t)crypto_pwhash_MEMLIMIT_MIN),
                                       .passes = cost->passes};
    password_pretend(password, len, &rest); /* without the memory it stays a wrong password */
}

/* @param pretend a right password takes as long as a wrong one */
static enum password_verdict judge(const char *hash, const char *password, size_t len,
                                   const struct password_cost *cost,
                                   const struct password_limits *limits, bool pretend,
                                   bool *replace)
{
    struct hash_format format;
    enum password_verdict verdict = PASSWORD_UNKNOWN;
    *replace = false;
    if (len <= PASSWORD_MAX && hash_format_read(&format, hash, limits, NULL)) {
        if (format.kind == HASH_ARGON2ID || format.kind == HASH_ARGON2I)
            verdict = verify_argon2(format.kind, hash, password, len);
        else if (format.kind == HASH_PBKDF2)
            verdict = verify_pbkdf2(&format, password, len);
        else
            verdict = verify_crypt(format.kind, hash, password, len);
        bool whole = format.kind != HASH_BCRYPT || len <= BCRYPT_LOOKS_AT;
        bool weaker = is_weaker(&format, cost);
        *replace = verdict == PASSWORD_YES && whole && weaker;
        if (weaker && (verdict == PASSWORD_NO || (verdict == PASSWORD_YES && pretend)))
            spend_the_rest(&format, password, len, cost);
    }
    explicit_bzero(&format, sizeof(format));
    return verdict;
}

enum password_verdict password_verify(const char *hash, const char *password, size_t len,
                                      const struct password_cost *cost,
                                      const struct password_limits *limits, bool *replace)
{
    return judge(hash, password, len, cost, limits, false, replace);
}

bool password_pretend_hash(const char *hash, const char *password, size_t len,
                           const struct password_cost *cost, const struct password_limits *limits)
{
    bool replace;
    return judge(hash, password, len, cost, limits, true, &replace) != PASSWORD_UNKNOWN;
}
