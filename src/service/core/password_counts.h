/* SPDX-License-Identifier: MIT */
/* What has become of passwords, counted by a worker's services from the worker's start. */
#ifndef ROSTERD_SERVICE_CORE_PASSWORD_COUNTS_H
#define ROSTERD_SERVICE_CORE_PASSWORD_COUNTS_H

#include <stdint.h>

/** How a verification has ended, but for one that its client gave up; and hashes replaced. */
enum password_count {
    PASSWORD_ACCEPTED,
    PASSWORD_REFUSED, /* a wrong password, or no user who has one */
    PASSWORD_LIMITED, /* too many wrong ones before: it was not looked at */
    PASSWORD_BUSY,    /* too many passwords wait: it was not looked at */
    PASSWORD_FAILED,  /* nobody knows whether it was right */
    PASSWORD_REPLACED,
    PASSWORD_NUM_COUNTS
};

struct password_counts {
    uint64_t of[PASSWORD_NUM_COUNTS];
};

#endif
