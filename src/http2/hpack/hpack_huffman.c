/* SPDX-License-Identifier: MIT */
/*
 * The code is canonical: sorted by length and value, each code is the previous one plus 1, with
 * zeros appended where it is longer. So a code's symbol follows from its length and its distance to
 * the first code of that length; the length is found by comparing the next bits with one bound per
 * length. Codes of at most eight bits, which are nearly all codes of real input, come from a table.
 */
#include "http2/hpack/hpack_huffman.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

enum { END_OF_STRING = 256 };

static const struct {
    uint8_t bits;   /* length of the codes */
    uint8_t first;  /* index in symbols[] of the first code's symbol */
    uint32_t code;  /* the first code */
    uint64_t bound; /* the last code of this length plus 1, shifted left to 32 bits */
} lengths[] = {
    {5, 0, 0x0, 0x50000000},
    {6, 10, 0x14, 0xb8000000},
    {7, 36, 0x5c, 0xf8000000},
    {8, 68, 0xf8, 0xfe000000},
    {10, 74, 0x3f8, 0xff400000},
    {11, 79, 0x7fa, 0xffa00000},
    {12, 82, 0xffa, 0xffc00000},
    {13, 84, 0x1ff8, 0xfff00000},
    {14, 90, 0x3ffc, 0xfff80000},
    {15, 92, 0x7ffc, 0xfffe0000},
    {19, 95, 0x7fff0, 0xfffe6000},
    {20, 98, 0xfffe6, 0xfffee000},
    {21, 106, 0x1fffdc, 0xffff4800},
    {22, 119, 0x3fffd2, 0xffffb000},
    {23, 145, 0x7fffd8, 0xffffea00},
    {24, 174, 0xffffea, 0xfffff600},
    {25, 186, 0x1ffffec, 0xfffff800},
    {26, 190, 0x3ffffe0, 0xfffffbc0},
    {27, 205, 0x7ffffde, 0xfffffe20},
    {28, 224, 0xfffffe2, 0xfffffff0},
    {30, 253, 0x3ffffffc, 0x100000000},
};

static const uint16_t symbols[] = {
    48,  49,           50,  97,  99,  101, 105, 111, 115, 116, 32,  37,  45,  46,  47,  51,  52,
    53,  54,           55,  56,  57,  61,  65,  95,  98,  100, 102, 103, 104, 108, 109, 110, 112,
    114, 117,          58,  66,  67,  68,  69,  70,  71,  72,  73,  74,  75,  76,  77,  78,  79,
    80,  81,           82,  83,  84,  85,  86,  87,  89,  106, 107, 113, 118, 119, 120, 121, 122,
    38,  42,           44,  59,  88,  90,  33,  34,  40,  41,  63,  39,  43,  124, 35,  62,  0,
    36,  64,           91,  93,  126, 94,  125, 60,  96,  123, 92,  195, 208, 128, 130, 131, 162,
    184, 194,          224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230,
    129, 132,          133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185,
    186, 187,          189, 190, 196, 198, 228, 232, 233, 1,   135, 137, 138, 139, 140, 141, 143,
    147, 149,          150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188,
    191, 197,          231, 239, 9,   142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237, 199,
    207, 234,          235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243,
    255, 203,          204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251,
    252, 253,          254, 2,   3,   4,   5,   6,   7,   8,   11,  12,  14,  15,  16,  17,  18,
    19,  20,           21,  23,  24,  25,  26,  27,  28,  29,  30,  31,  127, 220, 249, 10,  13,
    22,  END_OF_STRING};

struct code {
    uint16_t symbol;
    uint8_t bits;
};

/* The code with which the next 32 bits begin. */
static struct code find_code(uint32_t next)
{
    unsigned row = 0;
    while (next >= lengths[row].bound)
        row++;
    unsigned bits = lengths[row].bits;
    return (struct code){symbols[lengths[row].first + ((next >> (32 - bits)) - lengths[row].code)],
                         (uint8_t)bits};
}

/* Indexed by the next eight bits; an entry with bits 0 belongs to longer codes. */
static struct code short_codes[256];

static void prepare_short_codes(void)
{
    for (uint32_t next = 0; next < 256; next++) {
        struct code code = find_code(next << 24);
        if (code.bits <= 8)
            short_codes[next] = code;
    }
}

/* The next bits are the highest ones of `bits`. */
struct bit_reader {
    const uint8_t *src, *end;
    uint64_t bits;
    unsigned have;
};

static void refill_bits(struct bit_reader *reader)
{
    uint32_t word;
    if (reader->have <= 32 && reader->end - reader->src >= 4) {
        memcpy(&word, reader->src, sizeof(word));
        reader->bits |= (uint64_t)ntohl(word) << (32 - reader->have);
        reader->have += 32;
        reader->src += 4;
        return;
    }
    for (; reader->have <= 56 && reader->src != reader->end; reader->have += 8)
        reader->bits |= (uint64_t)*reader->src++ << (56 - reader->have);
}

/* The padding after the last code is shorter than a byte, and all ones: the beginning of
 * END_OF_STRING's code. */
static bool is_padding(const struct bit_reader *reader)
{
    return reader->have < 8 &&
           (reader->have == 0 || reader->bits >> (64 - reader->have) == (1u << reader->have) - 1);
}

ssize_t hpack_huffman_decode(char *dst, size_t room, const uint8_t *src, size_t len)
{
    struct bit_reader reader = {src, src + len, 0, 0};
    size_t written = 0;
    if (short_codes[0].bits == 0)
        prepare_short_codes();
    for (;;) {
        if (reader.have < 30)
            refill_bits(&reader);
        struct code code = short_codes[reader.bits >> 56];
        if (code.bits == 0)
            code = find_code((uint32_t)(reader.bits >> 32));
        if (code.bits > reader.have)
            return is_padding(&reader) ? (ssize_t)written : -1;
        if (code.symbol == END_OF_STRING)
            return -1;
        if (written < room)
            dst[written] = (char)code.symbol;
        written++;
        reader.bits <<= code.bits;
        reader.have -= code.bits;
    }
}
