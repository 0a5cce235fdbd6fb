/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target as a plain test, with these inputs: each file of a corpus, each beginning of
 * the file (of a long file 512 of them), and mutations of the file, which are the same in every
 * run. Usage: PROGRAM CORPUS_FOLDER [MUTATIONS_OF_EACH_FILE]
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "fuzz.h"

enum { INPUT_MAX = 65536, MUTATIONS = 400, CUTS_MAX = 512 };

static uint64_t inputs;

/* Runs the target on a copy of exactly this size, so that a sanitizer finds a read past its end. */
static void run_input(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + (len == 0));
    if (copy == NULL)
        exit(1);
    memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    inputs++;
}

static uint64_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Flips a bit, sets a byte, or copies a piece of the input to another place in the input. */
static void mutate(uint8_t *data, size_t len, uint64_t *random)
{
    size_t at = random_next(random) % len, from = random_next(random) % len;
    switch (random_next(random) % 4) {
    case 0:
        data[at] ^= (uint8_t)(1u << random_next(random) % 8);
        return;
    case 1:
        data[at] = (uint8_t)random_next(random);
        return;
    case 2:
        data[at] = random_next(random) % 2 == 0 ? 0 : 0xff;
        return;
    default:
        memmove(data + at, data + from, (len - MAX(at, from)) % 64);
    }
}

static void run_file(const char *folder, const char *name, unsigned mutations)
{
    static uint8_t data[INPUT_MAX], changed[INPUT_MAX];
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(data, 1, sizeof(data), file);
    fclose(file);
    for (size_t cut = 0; cut <= len; cut += 1 + len / CUTS_MAX)
        run_input(data, cut);
    uint64_t random = len;
    for (unsigned i = 0; len != 0 && i != mutations; i++) {
        memcpy(changed, data, len);
        for (uint64_t n = 1 + random_next(&random) % 4; n != 0; n--)
            mutate(changed, len, &random);
        run_input(changed, len);
    }
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS]\n", argv[0]);
        return 2;
    }
    unsigned mutations = argc > 2 ? (unsigned)atoi(argv[2]) : MUTATIONS;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        run_file(argv[1], entry->d_name, mutations);
        files++;
    }
    closedir(dir);
    printf("%u seeds, %llu inputs\n", files, (unsigned long long)inputs);
    return files == 0;
}
