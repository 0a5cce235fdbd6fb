/* SPDX-License-Identifier: MIT */
/* The function of a fuzz target that libFuzzer calls. Without libFuzzer, standalone.c calls it. */
#ifndef ROSTERD_TESTS_FUZZ_FUZZ_H
#define ROSTERD_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/** @param data a copy of exactly len bytes @return 0 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
