/* SPDX-License-Identifier: MIT */
#include "server/version_libraries.h"

#include <h2o/version.h>
#include <libdeflate.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/version.h"

enum { NUM_RUNS_WITH = 6 };

/* The libraries that the program runs with. The text of xxHash is static. */
static void find_libraries(struct version_library runs_with[NUM_RUNS_WITH + 1])
{
    static char xxhash[32];
    unsigned number = XXH_versionNumber();
    snprintf(xxhash, sizeof(xxhash), "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
    const struct version_library found[NUM_RUNS_WITH + 1] = {
        {"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"protobuf-c", protobuf_c_version()},
        {"SQLite", sqlite3_libversion()},
        {"libsodium", sodium_version_string()},
        {"zlib", zlibVersion()},
        {"xxHash", xxhash},
        {NULL, NULL},
    };
    memcpy(runs_with, found, sizeof(found));
}

static const struct version_library built_with[] = {
    {"libh2o", H2O_VERSION},
    {"libdeflate", LIBDEFLATE_VERSION_STRING},
    {"liburcu", URCU_BUILD_VERSION},
    {"inih", INIH_BUILD_VERSION},
    {"libsystemd", SYSTEMD_BUILD_VERSION},
    {NULL, NULL},
};

void version_print_server(void)
{
    struct version_library runs_with[NUM_RUNS_WITH + 1];
    find_libraries(runs_with);
    version_print(stdout, "rosterd", runs_with, built_with);
}

/* ---- labels ---- */

/* A label's name has small letters and no hyphen. */
static void print_build_label(FILE *out, const char *name, const char *value)
{
    for (; *name != '\0'; name++)
        fputc(*name == '-' ? '_' : *name >= 'A' && *name <= 'Z' ? *name + ('a' - 'A') : *name, out);
    fputs("=\"", out);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputc('"', out);
}

static void print_library_labels(FILE *out, const struct version_library *library)
{
    for (; library->name != NULL; library++) {
        fputc(',', out);
        print_build_label(out, library->name, library->version);
    }
}

const char *version_labels_server(void)
{
    static char text[1024];
    struct version_library runs_with[NUM_RUNS_WITH + 1];
    FILE *out = fmemopen(text, sizeof(text) - 1, "w");
    if (out == NULL)
        return "version=\"" PACKAGE_VERSION "\"";
    find_libraries(runs_with);
    print_build_label(out, "version", PACKAGE_VERSION);
    fputc(',', out);
    print_build_label(out, "revision", version_commit[0] != '\0' ? version_commit : "unknown");
    print_library_labels(out, runs_with);
    print_library_labels(out, built_with);
    fclose(out);
    return text;
}
