/* SPDX-License-Identifier: MIT */
/* Passwords are nowhere in the memory of a process of the pool once it has answered, whatever
 * library has worked on them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/password/pool_kit.h"

/* One of each library, none of this password. */
static const char *const hashes[] = {
    "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$TG3TNh0UlIp7ZkGKbHzVmoKy3QnTx9+"
    "peBju9GgIUrQ",
    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/"
    "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
    "$y$j9T$AAt9R641xPvCI9nXw1HHW/$cuQRBMN3N/f8IcmVN.4YrZ1bHMOiLOoz9/XQMKV/v0A",
    "pbkdf2_sha256$1000$salt$MTIzNDU2NzgxMjM0NTY3ODEyMzQ1Njc4MTIzNDU2Nzg=",
};
enum { WAITS = 500, WAIT_US = 10000 };
enum { NUM_HASHES = sizeof(hashes) / sizeof(hashes[0]), SECRET_LEN = 64, NEEDLE_LEN = 12 };

/* The program's own text must not contain the password, and the compiler must not make it earlier
 * than this is called: volatile. */
static volatile unsigned secret_begins = 3;

static void make_secret(char secret[SECRET_LEN + 1])
{
    unsigned begins = secret_begins;
    for (unsigned i = 0; i < SECRET_LEN; i++)
        secret[i] = (char)('!' + (i * 7 + begins) % 90);
    secret[SECRET_LEN] = '\0';
}

static void ask_with_a_secret(struct kit_worker *worker)
{
    char secret[SECRET_LEN + 1];
    struct kit_request request;
    make_secret(secret);
    for (unsigned i = 0; i <= NUM_HASHES; i++) {
        CHECK(kit_submit(worker, &request, i < NUM_HASHES ? POOL_VERIFY : POOL_HASH, secret,
                         i < NUM_HASHES ? hashes[i] : NULL, CLOCK_NEVER_MS) == POOL_SUBMITTED);
        kit_turn_until(worker, worker->done + 1);
        CHECK(request.outcome == (i < NUM_HASHES ? POOL_NO : POOL_HASHED));
    }
}

/* @return how often any twelve bytes of the password are in the process's memory; -1: unreadable */
static long count_pieces(pid_t pid, const char *secret)
{
    enum { PIECE = 1 << 20 };
    static char buffer[PIECE];
    char path[64], line[512];
    long found = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    if (maps == NULL || memory < 0)
        return -1;
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *end, mode[8] = "";
        uint64_t at = strtoull(line, &end, 16), to = strtoull(end + 1, &end, 16);
        if (sscanf(end, " %7s", mode) != 1 || mode[0] != 'r' || strstr(line, "[v") != NULL)
            continue;
        for (; at < to; at += PIECE - SECRET_LEN) {
            ssize_t got = pread(memory, buffer, MIN((uint64_t)PIECE, to - at), (off_t)at);
            for (unsigned i = 0; got > 0 && i + NEEDLE_LEN <= SECRET_LEN; i += NEEDLE_LEN)
                found += memmem(buffer, (size_t)got, secret + i, NEEDLE_LEN) != NULL;
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

static void process_of_the_pool_forgets_passwords(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    return; /* the sanitizer keeps freed memory unchanged on purpose */
#endif
    struct pool_kit kit;
    char secret[SECRET_LEN + 1];
    kit_open(&kit, 1);
    make_secret(secret);
    assert_int_not_equal(count_pieces(getpid(), secret), 0); /* the search finds what is there */
    assert_int_equal(kit_bury_worker(&kit, 0, kit_worker(&kit, 0, &kit_cheap, ask_with_a_secret)),
                     0);
    /* The process answers, and overwrites its copy a moment later. */
    long found = count_pieces(kit.processes[0], secret);
    for (int i = 0; i < WAITS && found > 0; i++) {
        usleep(WAIT_US);
        found = count_pieces(kit.processes[0], secret);
    }
    if (found < 0)
        skip(); /* only root may look */
    assert_int_equal(found, 0);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(process_of_the_pool_forgets_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
