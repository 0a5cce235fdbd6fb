/* SPDX-License-Identifier: MIT */
/*
 * libh2o's http2_internal.h includes klib's khash.h, which its Debian package
 * does not ship. We never touch the stream map that it declares with it, so
 * the names alone are enough for the header to compile.
 */
#ifndef ROSTERD_HTTP2_KHASH_H
#define ROSTERD_HTTP2_KHASH_H

#define KHASH_MAP_INIT_INT64(name, type)                                                           \
    struct kh_##name {                                                                             \
        type unused;                                                                               \
    };
#define khash_t(name)          struct kh_##name
#define kh_get(name, map, key) ((void)(map), (void)(key), 0)
#define kh_end(map)            0
#define kh_val(map, iter)      ((map)->unused)
typedef unsigned khiter_t;

#endif
