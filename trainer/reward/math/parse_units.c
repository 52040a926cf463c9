/* N7: units behind a value, in words or in \text{...}. */
#include <string.h>
#include "trainer/reward/math/parse_state.h"
#include "trainer/reward/math/units.h"

struct reading {
    const struct unit *unit; /* the only one of the table */
    int power, words;
    bool compound; /* m/s, miles per hour */
};

static void read_word(struct reading *r, struct span word)
{
    const struct unit *unit = math_unit(word);
    if (word.n == 0) return;
    r->words++;
    if (span_is(word, "square") || span_is(word, "sq") || span_is(word, "sq."))
        r->power = 2;
    else if (span_is(word, "cubic"))
        r->power = 3;
    else if (span_is(word, "per") || memchr(word.at, '/', word.n) || (unit && r->unit))
        r->compound = true;
    else if (unit)
        r->unit = unit;
}

/* "square cm", "cm^2". */
static void read_text(struct reading *r, struct span s)
{
    const char *power = s.n ? memchr(s.at, '^', s.n) : NULL;
    if (power) {
        for (size_t i = (size_t)(power - s.at); i < s.n; i++)
            if (s.at[i] == '2' || s.at[i] == '3') r->power = s.at[i] - '0';
        s.n = (size_t)(power - s.at);
    }
    while (s.n) read_word(r, span_take(&s, ' '));
}

static bool is_unit_word(const struct parse *p, int words)
{
    const struct token *t = parse_token(p, 0);
    if (t->kind == TOKEN_WORD) return math_unit(t->text) || (words > 0 && span_is(t->text, "per"));
    if (t->kind != TOKEN_LETTER || !math_unit(t->text)) return false;
    return t->space || parse_token(p, -1)->kind == TOKEN_NUMBER;
}

/* ^2 or ^{2} behind a unit. */
static void take_power(struct parse *p, struct reading *r)
{
    const struct token *t = parse_token(p, 0);
    bool braces = t[1].kind == '{';
    const struct token *number = &t[braces ? 2 : 1];
    if (t->kind != '^' || number->kind != TOKEN_NUMBER || number->text.n != 1) return;
    r->power = *number->text.at - '0';
    p->at += braces ? 4 : 2;
}

/* All that stands behind the value: words of the table, \text{...} of any content. */
static void read_units(struct parse *p, struct reading *r)
{
    while (!p->trouble) {
        const struct token *t = parse_token(p, 0);
        if (t->kind == TOKEN_TEXT)
            read_text(r, t->text);
        else if (is_unit_word(p, r->words))
            read_word(r, t->text);
        else if (r->words > 0 && (t->kind == '/' || t->kind == '*'))
            r->compound = true;
        else
            return;
        parse_next(p);
        take_power(p, r);
    }
}

/* A unit that is not in the table, or is made of several, has no size: it says nothing. */
int parse_units(struct parse *p, int value)
{
    struct reading r = {.power = 1};
    if (!value) return 0;
    int before = p->at;
    bool degrees = before > 0 && p->angles == 0 && parse_token(p, -1)->kind == TOKEN_DEGREE;
    if (degrees) read_word(&r, (struct span){"degrees", 7});
    read_units(p, &r);
    if (p->at == before && !degrees) return value;
    int node = math_node(p->w, NODE_UNIT, value, 0), v = math_value(p->w);
    if (!node || v < 0) return parse_fail(p, "the answer has too many parts");
    p->w->node[node].value = v;
    fmpq_one(&p->w->value[v]);
    bool known = r.unit && !r.compound && r.power >= 1 && r.power <= 3;
    if (!known || r.unit->dimension == UNIT_THINGS) return node;
    p->w->node[node].op = (int16_t)(r.unit->dimension * 4 + r.power);
    fmpq_set_si(&p->w->value[v], r.unit->numerator, (ulong)r.unit->denominator);
    fmpq_pow_si(&p->w->value[v], &p->w->value[v], r.power);
    return node;
}
