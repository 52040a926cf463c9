#include "trainer/reward/math/lex.h"
#include <string.h>
#include "trainer/reward/math/commands.h"
#include "trainer/reward/math/functions.h"
#include "trainer/reward/math/lex_number.h"

struct lexer {
    struct tokens *t;
    struct span s; /* what is read: all, or what stands in the braces of a font */
    size_t i;
    bool space;
    struct {
        char open;
        bool loose; /* lex_number.h */
    } bracket[MATH_LEX_DEPTH];
    int depth, matrices, fonts;
    const char *trouble;
};

static char at(const struct lexer *l, size_t i)
{
    return i < l->s.n ? l->s.at[i] : '\0';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void add(struct lexer *l, int kind, int id, struct span text)
{
    if (l->t->n == MATH_TOKENS) {
        l->trouble = "the answer has too many parts";
        return;
    }
    l->t->token[l->t->n++] = (struct token){(uint8_t)kind, l->space, (int16_t)id, text};
    l->space = false;
}

static struct span here(const struct lexer *l, size_t n)
{
    return (struct span){l->s.at + l->i, n};
}

static bool looking_at(const struct lexer *l, const char *word)
{
    size_t n = strlen(word);
    return l->i + n <= l->s.n && memcmp(l->s.at + l->i, word, n) == 0;
}

/* --- brackets --- */

/* Is an item of the bracket that opens before i separated by more than a comma? */
static bool has_loose(const struct lexer *l, size_t i)
{
    int depth = 0;
    for (; i < l->s.n && depth >= 0; i++) {
        char c = l->s.at[i], next = at(l, i + 1);
        depth += (strchr("([{", c) != NULL) - (strchr(")]}", c) != NULL);
        if (depth == 0 && (c == ';' || (c == ',' && (next == ' ' || next == '\\')))) return true;
    }
    return false;
}

static void open_bracket(struct lexer *l, char c, size_t inside)
{
    if (l->depth == MATH_LEX_DEPTH) {
        l->trouble = "the answer is nested too deep";
        return;
    }
    l->bracket[l->depth].open = c;
    l->bracket[l->depth].loose = has_loose(l, inside);
    l->depth++;
}

static void close_bracket(struct lexer *l)
{
    if (l->depth > 0) l->depth--;
}

/* --- numbers, words --- */

static bool number(struct lexer *l)
{
    bool within = l->depth > 0 && l->bracket[l->depth - 1].open != '{';
    bool loose = within && l->bracket[l->depth - 1].loose;
    size_t n = math_number_length(here(l, l->s.n - l->i), within, loose);
    if (n == 0) return false;
    add(l, TOKEN_NUMBER, 0, here(l, n));
    l->i += n;
    return true;
}

/* Two letters that are a word or a unit; others are a product. */
static bool is_short_word(struct span s)
{
    static const char *const all[] = {"no", "on", "in", "at", "to", "up", "by", "is", "it", "if",
                                      "of", "so", "as", "an", "be", "he", "we", "us", "me", "my",
                                      "No", "NO", "cm", "mm", "km", "ft", "kg", "mg", "ml", "gm",
                                      "lb", "sq", "hr", "ms", "Hz", "mL", "mi", "oz"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (span_is(s, all[i])) return true;
    return false;
}

static void letter(struct lexer *l, struct span s)
{
    if (*s.at == 'e')
        add(l, TOKEN_CONSTANT, CONSTANT_E, s);
    else
        add(l, TOKEN_LETTER, 0, s);
}

/* Letters, also of other scripts, as one word where they mean something. */
static void word(struct lexer *l, struct span s)
{
    const struct command *c = math_word(s);
    int function = math_function(s);
    bool ascii = true;
    for (size_t i = 0; i < s.n; i++) ascii = ascii && is_letter(s.at[i]);
    if (c)
        add(l, c->kind, c->id, s);
    else if (function >= 0 && s.n > 1)
        add(l, TOKEN_FUNCTION, function, s);
    else if (ascii && s.n <= 2 && !is_short_word(s))
        for (size_t i = 0; i < s.n; i++) letter(l, (struct span){s.at + i, 1});
    else
        add(l, TOKEN_WORD, 0, s);
}

static void letters(struct lexer *l)
{
    size_t n = 0;
    while (is_letter(at(l, l->i + n)) || (unsigned char)at(l, l->i + n) >= 0x80) n++;
    struct span s = here(l, n);
    l->i += n;
    word(l, s);
}

/* --- commands --- */

static void run(struct lexer *l);

static void skip_spaces(struct lexer *l)
{
    while (at(l, l->i) == ' ') l->i++;
}

/* The content of {...} at the place where the lexer is, which moves behind it. */
static bool braces(struct lexer *l, struct span *content)
{
    int depth = 0;
    skip_spaces(l);
    if (at(l, l->i) != '{') return false;
    for (size_t i = l->i; i < l->s.n; i++) {
        char c = l->s.at[i];
        if (c == '\\')
            i++;
        else if (c == '{')
            depth++;
        else if (c == '}' && --depth == 0) {
            *content = (struct span){l->s.at + l->i + 1, i - l->i - 1};
            l->i = i + 1;
            return true;
        }
    }
    return false;
}

/* Reads s as if it stood there without its braces. */
static void inline_text(struct lexer *l, struct span s)
{
    struct span outer = l->s;
    size_t i = l->i;
    if (l->fonts == 8) {
        l->trouble = "the answer is nested too deep";
        return;
    }
    l->fonts++;
    l->s = s;
    l->i = 0;
    run(l);
    l->s = outer;
    l->i = i;
    l->fonts--;
}

/* Does what stands in \text{...} have a value of its own: \text{13}, \text{(C)}, \text{and}? */
static bool has_value(struct span s)
{
    const struct command *c = math_word(s);
    if (c || span_is(s, ",") || span_is(s, ";") || span_is(s, "%") || span_is(s, "\\%"))
        return true;
    if (math_function(s) >= 0 && s.n > 1) return true;
    bool words = false;
    for (size_t i = 0, run_length = 0; i < s.n && !words; i++) {
        run_length = is_letter(s.at[i]) || (unsigned char)s.at[i] >= 0x80 ? run_length + 1 : 0;
        words = run_length > 1;
    }
    return !words && (is_digit(*s.at) || (s.n > 1 && strchr("(-$.", *s.at)));
}

/* A letter alone is a variable where nothing stands before it that could have a unit. */
static bool is_variable(const struct lexer *l, struct span s)
{
    static const char before[] = "+-*/^_([{=|";
    int kind = l->t->n ? l->t->token[l->t->n - 1].kind : TOKEN_SEPARATOR;
    if (s.n != 1 || !is_letter(*s.at)) return false;
    if (*s.at == 'e' || *s.at == 'i') return true;
    return kind == TOKEN_SEPARATOR || kind == TOKEN_RELATION || kind == TOKEN_OPEN ||
           (kind < TOKEN_NUMBER && strchr(before, kind));
}

static void text_command(struct lexer *l, bool whole)
{
    struct span content;
    if (!braces(l, &content)) return; /* \rm style: the command alone changes nothing */
    content = span_trim(content);
    while (content.n && content.at[0] == '~') content.at++, content.n--;
    if (content.n == 0)
        l->space = true;
    else if (whole || has_value(content) || is_variable(l, content))
        inline_text(l, content);
    else
        add(l, TOKEN_TEXT, 0, content);
}

/* The columns of an array say how it looks. */
static void begin(struct lexer *l)
{
    static const char *const kinds[] = {"pmatrix", "bmatrix", "matrix",      "vmatrix", "Bmatrix",
                                        "Vmatrix", "array",   "smallmatrix", "cases"};
    struct span name, columns;
    bool known = false;
    if (!braces(l, &name)) {
        add(l, TOKEN_UNKNOWN, 0, here(l, 0));
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) known |= span_is(name, kinds[i]);
    if (span_is(name, "array") && !braces(l, &columns)) known = false;
    l->matrices++;
    add(l, known ? TOKEN_BEGIN : TOKEN_UNKNOWN, 0, name);
}

static void end(struct lexer *l)
{
    struct span name = here(l, 0);
    braces(l, &name);
    if (l->matrices > 0) l->matrices--;
    add(l, TOKEN_FINISH, 0, name);
}

/* A command of the table. */
static void use(struct lexer *l, const struct command *c, struct span name, bool whole)
{
    struct span content;
    switch (c->use) {
    case COMMAND_SPACE: l->space = true; break;
    case COMMAND_SIZE:
        skip_spaces(l);
        if (at(l, l->i) == '.') l->i++;
        break;
    case COMMAND_TEXT: text_command(l, whole); break;
    case COMMAND_FONT:
        if (looking_at(l, "{R}"))
            add(l, TOKEN_CONSTANT, CONSTANT_REALS, here(l, 3)), l->i += 3;
        else if (braces(l, &content))
            inline_text(l, content);
        break;
    case COMMAND_BEGIN: begin(l); break;
    case COMMAND_END: end(l); break;
    default:
        if (c->kind == TOKEN_OPEN) open_bracket(l, '(', l->i);
        if (c->kind == TOKEN_CLOSE) close_bracket(l);
        add(l, c->kind, c->id, name);
    }
}

/* \name; `whole`: nothing stands before it. */
static void named_command(struct lexer *l)
{
    size_t n = 0, start = l->i;
    while (is_letter(at(l, l->i + n))) n++;
    struct span name = here(l, n), content;
    if (n > 4 && memcmp(name.at, "quad", 4) == 0) name.n = n = 4; /* \quadx */
    l->i += n;
    const struct command *c = math_command(name);
    int function = math_function(name);
    bool whole = false;
    if (c && c->use == COMMAND_TEXT) { /* is it all that there is? */
        size_t back = l->i;
        whole = start <= 1 && braces(l, &content) && span_trim(here(l, l->s.n - l->i)).n == 0;
        l->i = back;
    }
    if (c)
        use(l, c, name, whole);
    else if (function >= 0)
        add(l, TOKEN_FUNCTION, function, name);
    else
        add(l, math_greek(name) ? TOKEN_GREEK : TOKEN_UNKNOWN, 0, name);
}

/* What follows a backslash. N2: two of them before a letter are one, but not in a matrix. */
static void command(struct lexer *l)
{
    char c = at(l, ++l->i);
    if (c == '\\' && l->matrices > 0) {
        add(l, TOKEN_ROW, 0, here(l, 1));
        l->i++;
        return;
    }
    if (c == '\\') c = at(l, ++l->i);
    if (is_letter(c)) {
        named_command(l);
        return;
    }
    if (c) l->i++;
    switch (c) {
    case '{':
        open_bracket(l, '(', l->i);
        add(l, TOKEN_OPEN, '{', here(l, 0));
        break;
    case '}':
        close_bracket(l);
        add(l, TOKEN_CLOSE, '{', here(l, 0));
        break;
    case '%': add(l, TOKEN_PERCENT, 0, here(l, 0)); break;
    case '|': add(l, '|', 0, here(l, 0)); break;
    case '!': break;
    case '&': add(l, TOKEN_SEPARATOR, '&', here(l, 0)); break;
    default: l->space = true; /* \, \; \: \$ and the like; "(" and "[" begin formulas */
    }
}

/* --- characters --- */

/* ^\circ and ^{\circ} are a degree, ** is ^. */
static bool degree(struct lexer *l)
{
    static const char *const all[] = {"^{\\circ}", "^{\\circ }", "^\\circ",
                                      "^ \\circ",  "^\\degree",  "^{\\degree}"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t n = strlen(all[i]);
        if (!looking_at(l, all[i]) || (all[i][n - 1] != '}' && is_letter(at(l, l->i + n))))
            continue;
        add(l, TOKEN_DEGREE, 0, here(l, n));
        l->i += n;
        return true;
    }
    return false;
}

/* Relations of plain text; the longer ones come first. */
static bool relation(struct lexer *l)
{
    static const struct {
        const char *as;
        int id;
    } all[] = {{"<=", RELATION_AT_MOST},  {"=<", RELATION_AT_MOST}, {">=", RELATION_AT_LEAST},
               {"=>", RELATION_AT_LEAST}, {"!=", RELATION_OTHER},   {"==", RELATION_EQUAL},
               {"=", RELATION_EQUAL},     {"<", RELATION_LESS},     {">", RELATION_MORE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (looking_at(l, all[i].as)) {
            add(l, TOKEN_RELATION, all[i].id, here(l, strlen(all[i].as)));
            l->i += strlen(all[i].as);
            return true;
        }
    return false;
}

/* A point behind everything ends the sentence. */
static bool is_last_point(const struct lexer *l)
{
    size_t i = l->i;
    while (i < l->s.n && (l->s.at[i] == '.' || l->s.at[i] == ' ' || l->s.at[i] == '$')) i++;
    return i == l->s.n;
}

/* One character that is neither digit, letter nor backslash. */
static void character(struct lexer *l)
{
    char c = at(l, l->i);
    if ((c == '^' && degree(l)) || relation(l)) return;
    if (looking_at(l, "**")) {
        add(l, '^', 0, here(l, 2));
        l->i += 2;
        return;
    }
    if (strchr("([{", c)) open_bracket(l, c, l->i + 1);
    if (strchr(")]}", c)) close_bracket(l);
    if (strchr("$\"~ ", c))
        l->space = true;
    else if (c == ',' || c == ';')
        add(l, TOKEN_SEPARATOR, c, here(l, 1));
    else if (c == '%')
        add(l, TOKEN_PERCENT, 0, here(l, 1));
    else if (c == '&')
        add(l, TOKEN_COLUMN, 0, here(l, 1));
    else if (c == '.' && is_last_point(l))
        l->space = true;
    else if (strchr("+-*/^_()[]{}|!:.'", c))
        add(l, c, 0, here(l, 1));
    else
        add(l, TOKEN_UNKNOWN, 0, here(l, 1));
    l->i++;
}

static void run(struct lexer *l)
{
    while (l->i < l->s.n && !l->trouble) {
        char c = at(l, l->i);
        if ((is_digit(c) || c == '.') && number(l)) continue;
        if (is_letter(c) || (unsigned char)c >= 0x80)
            letters(l);
        else if (c == '\\')
            command(l);
        else
            character(l);
    }
}

/* What the parser looks ahead into is TOKEN_END. */
const char *math_lex(struct tokens *t, struct span answer)
{
    struct text clean = {t->text, 0, sizeof t->text, false};
    struct lexer l = {.t = t};
    t->n = 0;
    t->length = 0;
    l.trouble = math_clean(&clean, answer);
    if (!l.trouble) {
        t->length = clean.n;
        l.s = (struct span){t->text, clean.n};
        run(&l);
    }
    for (int i = 0; i < 8; i++)
        t->token[t->n + i] = (struct token){.kind = TOKEN_END, .text = {t->text + t->length, 0}};
    return l.trouble;
}

bool math_tokens_equal(const struct tokens *a, const struct tokens *b)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        const struct token *x = &a->token[i], *y = &b->token[i];
        if (x->kind != y->kind || x->id != y->id) return false;
        bool named = (x->kind >= TOKEN_NUMBER && x->kind <= TOKEN_TEXT) || x->kind == TOKEN_UNKNOWN;
        if (named && (x->text.n != y->text.n || memcmp(x->text.at, y->text.at, x->text.n) != 0))
            return false;
    }
    return true;
}
