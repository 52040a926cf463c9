#include "trainer/reward/words.h"

#include <stdint.h>
#include <string.h>

/* --- letters --- */

/* Blocks of Unicode; Latin ones hold a few signs, which prose does not use. In rising order. */
static const struct block {
    uint32_t first, last;
    enum script script;
} blocks[] = {
    {'0', '9', SCRIPT_NUMBER},         {'A', 'Z', SCRIPT_BASIC},
    {'a', 'z', SCRIPT_BASIC},          {0xC0, 0xD6, SCRIPT_LATIN},
    {0xD8, 0xF6, SCRIPT_LATIN},        {0xF8, 0x24F, SCRIPT_LATIN},
    {0x370, 0x3FF, SCRIPT_GREEK},      {0x400, 0x52F, SCRIPT_CYRILLIC},
    {0x530, 0x58F, SCRIPT_OTHER},      {0x590, 0x5FF, SCRIPT_HEBREW},
    {0x600, 0x6FF, SCRIPT_ARABIC},     {0x700, 0x74F, SCRIPT_OTHER},
    {0x750, 0x77F, SCRIPT_ARABIC},     {0x780, 0x8FF, SCRIPT_OTHER},
    {0x900, 0x97F, SCRIPT_DEVANAGARI}, {0x980, 0xDFF, SCRIPT_OTHER},
    {0xE00, 0xE7F, SCRIPT_THAI},       {0xE80, 0x10FF, SCRIPT_OTHER},
    {0x1100, 0x11FF, SCRIPT_HANGUL},   {0x1200, 0x1DFF, SCRIPT_OTHER},
    {0x1E00, 0x1EFF, SCRIPT_LATIN},    {0x1F00, 0x1FFF, SCRIPT_GREEK},
    {0x3040, 0x30FF, SCRIPT_KANA},     {0x3100, 0x312F, SCRIPT_OTHER},
    {0x3130, 0x318F, SCRIPT_HANGUL},   {0x31F0, 0x31FF, SCRIPT_KANA},
    {0x3400, 0x4DBF, SCRIPT_HAN},      {0x4E00, 0x9FFF, SCRIPT_HAN},
    {0xA000, 0xABFF, SCRIPT_OTHER},    {0xAC00, 0xD7AF, SCRIPT_HANGUL},
    {0xF900, 0xFAFF, SCRIPT_HAN},      {0xFF21, 0xFF3A, SCRIPT_LATIN},
    {0xFF41, 0xFF5A, SCRIPT_LATIN},    {0xFF66, 0xFF9F, SCRIPT_KANA},
    {0x20000, 0x323AF, SCRIPT_HAN},
};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

/* Bytes of the first character of s, its code in *code; what is no UTF-8: one byte, code 0. */
static size_t character(struct span s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)s.at;
    size_t n = at[0] < 0x80 ? 1 : at[0] < 0xC0 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    *code = n == 1 ? at[0] : 0;
    if (n < 2 || n > s.n || at[0] > 0xF4) return 1;
    uint32_t value = at[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80) return 1;
        value = value << 6 | (at[i] & 0x3Fu);
    }
    if (value < least[n] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 1;
    *code = value;
    return n;
}

static bool is_letter(uint32_t code, enum script *script)
{
    int low = 0, high = BLOCKS;
    while (low < high) {
        int middle = (low + high) / 2;
        if (blocks[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == BLOCKS || blocks[low].first > code) return false;
    *script = blocks[low].script;
    return true;
}

static bool joins(enum script word, enum script next)
{
    bool alone = word == SCRIPT_HAN || word == SCRIPT_KANA || word == SCRIPT_THAI;
    bool latin = word == SCRIPT_BASIC || word == SCRIPT_LATIN;
    return !alone && (word == next || (latin && (next == SCRIPT_BASIC || next == SCRIPT_LATIN)));
}

static struct span behind(struct span s, size_t n)
{
    return (struct span){s.at + n, s.n - n};
}

/* ' or U+2019 between letters. */
static size_t apostrophe(struct span s, enum script word)
{
    uint32_t code;
    enum script script;
    size_t n = s.n > 0 ? character(s, &code) : 0;
    if (n == 0 || n >= s.n || (code != '\'' && code != 0x2019)) return 0;
    struct span next = behind(s, n);
    character(next, &code);
    return is_letter(code, &script) && joins(word, script) ? n : 0;
}

/* A word that begins with basic letters and meets another kind of Latin ones is of that kind. */
bool word_next(struct span *rest, struct word *out)
{
    uint32_t code;
    enum script script;
    size_t n = 0;
    struct span s = *rest;
    for (; s.n > 0; s = behind(s, n)) {
        n = character(s, &code);
        if (is_letter(code, &out->script)) break;
    }
    *rest = s;
    if (s.n == 0) return false;
    out->text = (struct span){s.at, n};
    out->letters = 1;
    for (s = behind(s, n); s.n > 0; s = behind(s, n)) {
        size_t between = out->script == SCRIPT_NUMBER ? 0 : apostrophe(s, out->script);
        s = behind(s, between);
        n = character(s, &code);
        if (!is_letter(code, &script) || !joins(out->script, script)) break;
        if (script == SCRIPT_LATIN) out->script = SCRIPT_LATIN;
        out->text.n += between + n;
        out->letters++;
    }
    *rest = s;
    return true;
}

/* --- what is no prose --- */

static const struct fence {
    const char *open, *close;
    bool line, tight; /* it ends in its line; no blank inside the signs */
} fences[] = {
    {"```", "```", false, false}, {"$$", "$$", false, false}, {"\\[", "\\]", false, false},
    {"\\(", "\\)", false, false}, {"`", "`", true, false},    {"$", "$", true, true},
};
enum { FENCES = sizeof fences / sizeof *fences };

static bool begins(struct span s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && memcmp(s.at, word, n) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes of the fence and what is in it at the beginning of s; 0: it is none. Whether it ends at all
 * is looked for once: of many that do not, each would cost the rest of the text. */
static size_t fenced(struct span s, int i, unsigned *open)
{
    const struct fence *f = &fences[i];
    const struct span inside = behind(s, strlen(f->open));
    const size_t end = span_find(inside, f->close);
    if (end == inside.n) {
        *open |= 1u << i;
        return 0;
    }
    if (f->line && memchr(inside.at, '\n', end)) return 0;
    if (f->line && end == 0) return 0;
    if (f->tight && (is_blank(inside.at[0]) || is_blank(inside.at[end - 1]))) return 0;
    return strlen(f->open) + end + strlen(f->close);
}

static size_t command(struct span s)
{
    size_t n = 1;
    while (n < s.n && ((s.at[n] | 0x20) >= 'a' && (s.at[n] | 0x20) <= 'z')) n++;
    return n > 1 ? n : 0;
}

/* Bytes of what is no prose at the beginning of s. */
static size_t no_prose(struct span s, unsigned *open)
{
    size_t n = 0;
    if (s.at[0] != '`' && s.at[0] != '$' && s.at[0] != '\\') return 0;
    for (int i = 0; i < FENCES && n == 0; i++)
        if (begins(s, fences[i].open) && !(*open >> i & 1)) n = fenced(s, i, open);
    return n == 0 && s.at[0] == '\\' ? command(s) : n;
}

bool prose_next(struct prose *p, struct span *out)
{
    struct span s = p->rest;
    for (size_t n; s.n > 0 && (n = no_prose(s, &p->open)) > 0;) s = behind(s, n);
    *out = (struct span){s.at, 0};
    while (s.n > 0 && no_prose(s, &p->open) == 0) {
        s = behind(s, 1);
        out->n++;
    }
    p->rest = s;
    return out->n > 0;
}
