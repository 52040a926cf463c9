/* XXH64 by its published test vectors, whole and piece by piece; chains. */
#include <string.h>
#include "comm/base/checksum.h"
#include "tests/support/check_unit.h"

/* Values of the reference implementation. */
static const struct {
    const char *text;
    uint64_t seed, sum;
} known[] = {
    {"", 0, 0xef46db3751d8e999},
    {"a", 0, 0xd24ec4f1a98c6e5b},
    {"abc", 0, 0x44bc2cf5ad770999},
};

START_TEST(known_sums)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ck_assert_uint_eq(checksum(known[i].text, strlen(known[i].text), known[i].seed),
                          known[i].sum);
}
END_TEST

START_TEST(in_pieces)
{
    unsigned char bytes[300];
    struct checksum *c = checksum_new();
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i);
    for (size_t piece = 1; piece < sizeof bytes; piece += 13) {
        checksum_restart(c);
        for (size_t at = 0; at < sizeof bytes; at += piece)
            checksum_add(c, bytes + at, at + piece < sizeof bytes ? piece : sizeof bytes - at);
        ck_assert_uint_eq(checksum_value(c), checksum(bytes, sizeof bytes, 0));
    }
    checksum_restart(c);
    ck_assert_uint_eq(checksum_value(c), known[0].sum);
    checksum_free(c);
    checksum_free(NULL);
    ck_assert_uint_ne(checksum(bytes, 5, 0), checksum(bytes, 5, 1)); /* the seed counts */
}
END_TEST

#define TESTS(X)  \
    X(known_sums) \
    X(in_pieces)

UNIT_MAIN("checksum")
