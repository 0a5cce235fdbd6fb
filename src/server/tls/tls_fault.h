/* SPDX-License-Identifier: MIT */
/* Faults and warnings about the files of TLS: "OPTION: PATH: TEXT". */
#ifndef ROSTERD_SERVER_TLS_TLS_FAULT_H
#define ROSTERD_SERVER_TLS_TLS_FAULT_H

#include <openssl/asn1.h>

#include "base/fault.h"

/** Fills the fault, and appends the first error of OpenSSL's queue, which it empties.
 * @return false */
bool tls_fault_set(struct fault *fault, const char *option, const char *path, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
/** Fills the warning unless it is filled: the first one stays. */
void tls_warning_set(struct fault *warning, const char *option, const char *path,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

enum { TLS_DATE = 64 };
/** "YYYY-MM-DD hh:mm:ss UTC"; empty if the date cannot be read. @return text */
const char *tls_format_date(const ASN1_TIME *date, char text[TLS_DATE]);

#endif
