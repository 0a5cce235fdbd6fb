/* SPDX-License-Identifier: MIT */
#include "server/tls/tls_fault.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { TLS_TEXT = sizeof(((struct fault *)0)->text) };

bool tls_fault_set(struct fault *fault, const char *option, const char *path, const char *format,
                   ...)
{
    char text[TLS_TEXT], number[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    unsigned long error = ERR_peek_error(); /* the first error; later ones are its consequences */
    if (error == 0)
        return fault_set(fault, "%s: %.300s: %s", option, path, text);
    ERR_error_string_n(error, number, sizeof(number));
    const char *reason = ERR_reason_error_string(error);
    ERR_clear_error();
    return fault_set(fault, "%s: %.300s: %s: %s", option, path, text,
                     reason != NULL ? reason : number);
}

void tls_warning_set(struct fault *warning, const char *option, const char *path,
                     const char *format, ...)
{
    char text[TLS_TEXT];
    if (warning->text[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fault_set(warning, "%s: %.300s: %s", option, path, text);
}

const char *tls_format_date(const ASN1_TIME *date, char text[TLS_DATE])
{
    struct tm tm;
    text[0] = '\0';
    if (ASN1_TIME_to_tm(date, &tm) == 1)
        strftime(text, TLS_DATE, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return text;
}
