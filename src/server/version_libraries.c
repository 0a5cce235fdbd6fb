/* SPDX-License-Identifier: MIT */
#include "server/version_libraries.h"

#include <h2o/version.h>
#include <libdeflate.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/version.h"

void version_print_server(void)
{
    char xxhash[32];
    unsigned number = XXH_versionNumber();
    snprintf(xxhash, sizeof(xxhash), "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
    const struct version_library runs_with[] = {
        {"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)},
        {"protobuf-c", protobuf_c_version()},
        {"SQLite", sqlite3_libversion()},
        {"libsodium", sodium_version_string()},
        {"zlib", zlibVersion()},
        {"xxHash", xxhash},
        {NULL, NULL},
    };
    static const struct version_library built_with[] = {
        {"libh2o", H2O_VERSION},
        {"libdeflate", LIBDEFLATE_VERSION_STRING},
        {"liburcu", URCU_BUILD_VERSION},
        {"inih", INIH_BUILD_VERSION},
        {"libsystemd", SYSTEMD_BUILD_VERSION},
        {NULL, NULL},
    };
    version_print(stdout, "rosterd", runs_with, built_with);
}
