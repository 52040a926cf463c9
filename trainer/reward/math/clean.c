#include "trainer/reward/math/clean.h"
#include <stdint.h>
#include <string.h>

static const struct {
    uint32_t point;
    const char *as;
} spellings[] = {
    {0x00a0, " "},        {0x00ad, ""},          {0x00b0, "^\\circ "},
    {0x00b1, "\\pm "},    {0x00b2, "^2 "},       {0x00b3, "^3 "},
    {0x00b7, "\\cdot "},  {0x00b9, "^1 "},       {0x00bc, "\\frac14"},
    {0x00bd, "\\frac12"}, {0x00be, "\\frac34"},  {0x00d7, "\\times "},
    {0x00f7, "/"},        {0x03c0, "\\pi "},     {0x2009, " "},
    {0x200b, ""},         {0x200c, ""},          {0x200d, ""},
    {0x2010, "-"},        {0x2011, "-"},         {0x2012, "-"},
    {0x2013, "-"},        {0x2018, "'"},         {0x2019, "'"},
    {0x201c, "\""},       {0x201d, "\""},        {0x2026, "\\ldots "},
    {0x202f, " "},        {0x2032, "'"},         {0x2044, "/"},
    {0x2060, ""},         {0x2070, "^0 "},       {0x2074, "^4 "},
    {0x2075, "^5 "},      {0x2076, "^6 "},       {0x2077, "^7 "},
    {0x2078, "^8 "},      {0x2079, "^9 "},       {0x211d, "\\R "},
    {0x2153, "\\frac13"}, {0x2154, "\\frac23"},  {0x2205, "\\emptyset "},
    {0x2208, "\\in "},    {0x2212, "-"},         {0x2215, "/"},
    {0x221a, "\\sqrt "},  {0x221e, "\\infty "},  {0x2229, "\\cap "},
    {0x222a, "\\cup "},   {0x2248, "\\approx "}, {0x2260, "\\ne "},
    {0x2264, "\\le "},    {0x2265, "\\ge "},     {0x22c5, "\\cdot "},
    {0x2713, ""},         {0x27e8, "\\langle "}, {0x27e9, "\\rangle "},
    {0x3000, " "},        {0x3001, ","},         {0x3002, "."},
    {0xfeff, ""},
};
/* U+03B1 to U+03C9; pi is above. */
static const char *const greek[] = {
    "alpha", "beta",   "gamma",   "delta", "epsilon", "zeta",    "eta",   "theta", "iota",
    "kappa", "lambda", "mu",      "nu",    "xi",      "omicron", "pi",    "rho",   "sigma",
    "sigma", "tau",    "upsilon", "phi",   "chi",     "psi",     "omega",
};

/* One character of UTF-8 in its shortest form, its length; 0: it is none. */
static size_t decode(const unsigned char *s, size_t n, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (length == 0 || length > n || s[0] > 0xf4) return 0;
    *point = length == 1 ? s[0] : s[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *point = *point << 6 | (s[i] & 0x3f);
    }
    bool surrogate = *point >= 0xd800 && *point < 0xe000;
    return *point < least[length] || *point > 0x10ffff || surrogate ? 0 : length;
}

static bool is_forbidden(uint32_t c)
{
    bool turns = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                 (c >= 0x2066 && c <= 0x2069);
    bool control = (c < 0x20 && !(c >= '\t' && c <= '\r')) || (c >= 0x7f && c < 0xa0);
    return turns || control;
}

/* Full-width forms of ASCII lie in its order. */
static void spell(struct text *out, uint32_t c, const char *bytes, size_t n)
{
    if (c >= 0xff01 && c <= 0xff5e) {
        char ascii = (char)(c - 0xfee0);
        text_add_bytes(out, &ascii, 1);
        return;
    }
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (spellings[i].point == c) {
            text_add(out, "%s", spellings[i].as);
            return;
        }
    if (c >= 0x3b1 && c <= 0x3c9)
        text_add(out, "\\%s ", greek[c - 0x3b1]);
    else
        text_add_bytes(out, bytes, n);
}

/* White space of any kind is a space: the lexer knows no other. */
const char *math_clean(struct text *out, struct span s)
{
    s = span_trim(s);
    if (s.n > MATH_ANSWER) return "the answer is longer than 1024 bytes";
    for (size_t i = 0, n; i < s.n; i += n) {
        uint32_t c = 0;
        n = decode((const unsigned char *)s.at + i, s.n - i, &c);
        if (n == 0) return "the answer is not UTF-8";
        if (is_forbidden(c)) return "the answer has control characters";
        char ascii = (char)c;
        if (c >= '\t' && c <= '\r')
            text_add_bytes(out, " ", 1);
        else if (c < 0x80)
            text_add_bytes(out, &ascii, 1);
        else
            spell(out, c, s.at + i, n);
    }
    return out->cut ? "the answer is longer than 1024 bytes" : NULL;
}
