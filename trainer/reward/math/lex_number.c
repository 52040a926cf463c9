/* N9, N10: where a number ends. "1,234,567" and "1 234 567" are one, "1,2" and "32, 349" are lists,
 * "(1,234)" is a pair, "1000,99" has a decimal comma. */
#include "trainer/reward/math/lex_number.h"
#include <string.h>

static bool is_digit(struct span s, size_t i)
{
    return i < s.n && s.at[i] >= '0' && s.at[i] <= '9';
}

static size_t digits(struct span s, size_t i)
{
    size_t n = 0;
    while (is_digit(s, i + n)) n++;
    return n;
}

/* The length of what may stand between groups of three digits: those that say nothing else in
 * LaTeX ("{,}"), or a thin space; 0: nothing does. */
static size_t separator(struct span s, size_t i)
{
    static const char *const all[] = {"{,}", ",\\!", "\\!,", ",\\! ", "\\,",
                                      "\\ ", "\\;",  "~",    " "};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        size_t n = strlen(all[k]);
        if (i + n <= s.n && memcmp(s.at + i, all[k], n) == 0 && is_digit(s, i + n)) return n;
    }
    return 0;
}

/* Groups of three with such a separator: where they end. Before a fraction bar the last group is a
 * numerator: "3 100/200". */
static size_t grouped(struct span s, size_t i, size_t first)
{
    if (first > 3 || s.at[0] == '0') return i;
    for (size_t n; (n = separator(s, i)) > 0; i += n + 3) {
        size_t end = i + n + 3;
        bool spaces = s.at[i] != '{' && !memchr(s.at + i, ',', n);
        if (digits(s, i + n) != 3 || (spaces && end < s.n && s.at[end] == '/')) break;
    }
    return i;
}

/* "1,234,567" when the whole run of digits and commas is groups of three; else where its first
 * number ends. Four digits and more before an only comma: it is a decimal comma. */
static size_t commas(struct span s, size_t first)
{
    size_t i = first, groups = 0, last = 0;
    bool threes = first <= 3 && s.at[0] != '0';
    for (; i < s.n && s.at[i] == ',' && (last = digits(s, i + 1)) > 0; groups++) {
        threes = threes && last == 3;
        i += 1 + last;
    }
    if (groups == 0) return first;
    if (threes) return i;
    return groups == 1 && first > 3 && last <= 2 && i == s.n ? i : first;
}

static bool is_exponent(struct span s, size_t i)
{
    if (i >= s.n || (s.at[i] != 'e' && s.at[i] != 'E')) return false;
    size_t sign = i + 1 < s.n && (s.at[i + 1] == '-' || s.at[i + 1] == '+') ? 1 : 0;
    size_t n = digits(s, i + 1 + sign), end = i + 1 + sign + n;
    bool letter = end < s.n && ((s.at[end] | 32) >= 'a' && (s.at[end] | 32) <= 'z');
    return n > 0 && n <= 4 && !letter;
}

/* Separators first, then a point with digits behind it, then an exponent. */
size_t math_number_length(struct span s, bool within, bool loose)
{
    size_t first = digits(s, 0), end = first;
    if (first > 0) {
        end = grouped(s, first, first);
        if (end == first && (!within || loose)) end = commas(s, first);
    }
    if (end < s.n && s.at[end] == '.' && digits(s, end + 1) > 0)
        end += 1 + digits(s, end + 1);
    else if (first > 0 && end + 1 < s.n && s.at[end] == '.' && s.at[end + 1] == '\\')
        end++; /* 0.\overline{3} */
    if (end == 0) return 0;
    if (is_exponent(s, end)) {
        end += s.at[end + 1] == '-' || s.at[end + 1] == '+' ? 2 : 1;
        end += digits(s, end);
    }
    return end;
}
