/* See jinja.h: walking the tree. Depth is bounded by the parser, steps and memory by the pool. */
#include "trainer/data/jinja.h"

#include <limits.h>
#include <string.h>
#include "trainer/data/jinja_filter.h"
#include "trainer/data/jinja_node.h"

enum { STEPS = 2000000, ARGUMENTS = 8, RANGE = 4096 };

/* Names set in a loop's round, or outside all of them. */
struct scope {
    struct value names; /* a dict */
    struct scope *up;
};

enum leave { GO_ON, BREAK, CONTINUE };

struct run_of {
    struct pool pool;
    struct scope *scope;
    struct rendered *out;
    enum leave leave;
};

static const struct value undefined = {.kind = V_UNDEFINED};

static struct value eval(struct run_of *r, const struct node *n);

static struct value text_value(struct written s)
{
    return (struct value){.kind = V_STRING, .s = s};
}

static void set_name(struct run_of *r, struct scope *s, const char *name, struct value v)
{
    dict_set(&r->pool, s->names, value_text(name), v);
}

static struct value get_name(struct run_of *r, const char *name)
{
    struct value key = value_text(name);
    for (struct scope *s = r->scope; s; s = s->up) {
        struct value v = value_member(&r->pool, &s->names, &key);
        if (v.kind != V_UNDEFINED) return v;
    }
    return undefined;
}

/* --- expressions --- */

static int eval_arguments(struct run_of *r, const struct node *list, struct value *arg)
{
    int n = 0;
    for (; list; list = list->next) {
        if (n == ARGUMENTS) {
            pool_fail(&r->pool, "line %d: too many arguments", list->line);
            return 0;
        }
        arg[n++] = eval(r, list->op == N_NAMED ? list->a : list);
    }
    return n;
}

static struct value eval_items(struct run_of *r, const struct node *list, bool dict)
{
    struct value out = dict ? value_dict(&r->pool) : value_list(&r->pool);
    for (; list && !r->pool.failed; list = list->next) {
        struct value v = eval(r, list);
        if (!dict) {
            items_add(&r->pool, out.items, v);
        } else if (list->next) {
            list = list->next;
            dict_set(&r->pool, out, v, eval(r, list));
        }
    }
    return out;
}

/* namespace(a=1), dict(a=1) */
static struct value eval_named(struct run_of *r, const struct node *list)
{
    struct value out = value_dict(&r->pool);
    for (; list && !r->pool.failed; list = list->next)
        if (list->op == N_NAMED) dict_set(&r->pool, out, value_text(list->text), eval(r, list->a));
    return out;
}

static struct value eval_range(struct run_of *r, const struct value *arg, int n)
{
    struct value out = value_list(&r->pool);
    long from = n > 1 ? arg[0].number : 0, to = n > 1 ? arg[1].number : n > 0 ? arg[0].number : 0;
    if (n > 2 || to - from > RANGE) pool_fail(&r->pool, "a range that is not known here");
    for (; from < to && !r->pool.failed; from++) items_add(&r->pool, out.items, value_int(from));
    return out;
}

static struct value eval_call(struct run_of *r, const struct node *n)
{
    struct value arg[ARGUMENTS];
    if (strcmp(n->text, "namespace") == 0 || strcmp(n->text, "dict") == 0)
        return eval_named(r, n->b);
    int args = eval_arguments(r, n->b, arg);
    if (strcmp(n->text, "range") == 0) return eval_range(r, arg, args);
    if (strcmp(n->text, "raise_exception") == 0 && args == 1 && arg[0].kind == V_STRING)
        pool_fail(&r->pool, "it says: %.*s", (int)(arg[0].s.n < 150 ? arg[0].s.n : 150),
                  arg[0].s.text);
    else
        pool_fail(&r->pool, "line %d: %.64s() is not known here", n->line, n->text);
    return undefined;
}

/* Operands below 10^9, so that no result overflows a long. Templates count turns. */
static struct value arithmetic(struct run_of *r, const struct node *n, const struct value *a,
                               const struct value *b)
{
    long x = a->number, y = b->number;
    bool numbers =
        (a->kind == V_INT || a->kind == V_BOOL) && (b->kind == V_INT || b->kind == V_BOOL);
    bool small = x > -1000000000 && x < 1000000000 && y > -1000000000 && y < 1000000000;
    if (n->op == N_ADD && a->kind == V_STRING && b->kind == V_STRING)
        return value_join(&r->pool, a->s, b->s);
    if (n->op == N_ADD && a->kind == V_LIST && b->kind == V_LIST) {
        struct value out = value_list(&r->pool);
        for (size_t i = 0; i < a->items->n; i++) items_add(&r->pool, out.items, a->items->at[i]);
        for (size_t i = 0; i < b->items->n; i++) items_add(&r->pool, out.items, b->items->at[i]);
        return out;
    }
    bool divides = n->op == N_DIVIDE || n->op == N_REMAINDER;
    if (!numbers || !small || (divides && y == 0)) {
        pool_fail(
            &r->pool,
            "line %d: arithmetic with values other than small whole numbers, or division by 0",
            n->line);
        return undefined;
    }
    long remainder = divides ? ((x % y) + y) % y : 0; /* as Python has it: of the divisor's sign */
    switch (n->op) {
    case N_ADD: return value_int(x + y);
    case N_SUBTRACT: return value_int(x - y);
    case N_MULTIPLY: return value_int(x * y);
    case N_DIVIDE: return value_int((x - remainder) / y);
    default: return value_int(remainder);
    }
}

static struct value compare(struct run_of *r, const struct node *n, const struct value *a,
                            const struct value *b)
{
    if (n->op == N_EQUAL) return value_bool(values_equal(a, b, 0));
    if (n->op == N_UNEQUAL) return value_bool(!values_equal(a, b, 0));
    if (n->op == N_IN) return value_bool(value_in(&r->pool, a, b));
    if (a->kind != V_INT || b->kind != V_INT)
        pool_fail(&r->pool, "line %d: values of these kinds have no order", n->line);
    long x = a->number, y = b->number;
    return value_bool(n->op == N_LESS         ? x < y
                      : n->op == N_LESS_EQUAL ? x <= y
                      : n->op == N_MORE       ? x > y
                                              : x >= y);
}

/* and, or give an operand and not a truth, and leave the second alone where the first decides, as
 * in Python: `x and x.y` must not ask for a member of nothing. */
static struct value eval_two(struct run_of *r, const struct node *n)
{
    struct value a = eval(r, n->a);
    if (n->op == N_AND && !value_true(&a)) return a;
    if (n->op == N_OR && value_true(&a)) return a;
    struct value b = eval(r, n->b);
    switch (n->op) {
    case N_AND:
    case N_OR: return b;
    case N_CONCAT:
        return value_join(&r->pool, value_written(&r->pool, &a), value_written(&r->pool, &b));
    case N_ADD:
    case N_SUBTRACT:
    case N_MULTIPLY:
    case N_DIVIDE:
    case N_REMAINDER: return arithmetic(r, n, &a, &b);
    default: return compare(r, n, &a, &b);
    }
}

static struct value eval_slice(struct run_of *r, const struct node *n)
{
    struct value v = eval(r, n->a), part[3];
    const struct node *const at[3] = {n->b, n->c, n->d};
    for (int i = 0; i < 3; i++) part[i] = at[i] ? eval(r, at[i]) : undefined;
    return value_slice(&r->pool, &v, &part[0], &part[1], &part[2]);
}

/* What is done to a value, with arguments. */
static struct value eval_applied(struct run_of *r, const struct node *n)
{
    struct value v = eval(r, n->a), arg[ARGUMENTS];
    int args = eval_arguments(r, n->b, arg);
    if (r->pool.failed) return undefined;
    if (n->op == N_TEST) return value_bool(value_test(&r->pool, n->text, &v, arg, args));
    if (n->op == N_FILTER) return value_filter(&r->pool, n->text, v, arg, args);
    return value_method(&r->pool, n->text, v, arg, args);
}

/* After a failure the pool answers every step with false, so that evaluation ends by itself and no
 * result needs a check. */
static struct value eval(struct run_of *r, const struct node *n)
{
    struct value a, b;
    if (!n || !pool_step(&r->pool)) return undefined;
    switch (n->op) {
    case N_STRING: return text_value(n->s);
    case N_INT: return value_int(n->number);
    case N_TRUE:
    case N_FALSE: return value_bool(n->op == N_TRUE);
    case N_NONE: return (struct value){.kind = V_NONE};
    case N_NAME: return get_name(r, n->text);
    case N_LIST:
    case N_DICT: return eval_items(r, n->a, n->op == N_DICT);
    case N_MEMBER:
        a = eval(r, n->a);
        b = eval(r, n->b);
        return r->pool.failed ? undefined : value_member(&r->pool, &a, &b);
    case N_SLICE: return eval_slice(r, n);
    case N_CALL: return eval_call(r, n);
    case N_METHOD:
    case N_FILTER:
    case N_TEST: return eval_applied(r, n);
    case N_NOT: a = eval(r, n->a); return value_bool(!value_true(&a));
    case N_MINUS:
        a = eval(r, n->a);
        if (a.kind != V_INT)
            pool_fail(&r->pool, "line %d: minus before something other than a number", n->line);
        return value_int(-a.number);
    case N_COND: a = eval(r, n->a); return eval(r, value_true(&a) ? n->b : n->c);
    default: return eval_two(r, n);
    }
}

/* --- statements --- */

static void run_all(struct run_of *r, const struct node *n);

static void print(struct run_of *r, struct written s)
{
    size_t from = 0;
    if (r->pool.failed ||
        s.n > r->pool.most - (r->out->n < r->pool.most ? r->out->n : r->pool.most)) {
        pool_fail(&r->pool, "the template prints too much");
        return;
    }
    for (size_t i = 1; i <= s.n; i++) {
        if (i < s.n && (!s.who || s.who[i] == s.who[from])) continue;
        rendered_add(r->out, s.text + from, i - from, s.who ? s.who[from] : WHO_TEMPLATE);
        from = i;
    }
}

static void set_target(struct run_of *r, const struct node *target, struct value v)
{
    if (target->op == N_NAME) {
        set_name(r, r->scope, target->text, v);
        return;
    }
    struct value dict = eval(r, target->a);
    if (dict.kind != V_DICT)
        pool_fail(&r->pool, "line %d: a member is set of something other than a namespace",
                  target->line);
    else
        dict_set(&r->pool, dict, text_value(target->b->s), v);
}

/* What a body prints, as a value. */
static struct value printed(struct run_of *r, const struct node *body)
{
    struct rendered own = {.n = 0}, *out = r->out;
    struct value v = value_text("");
    r->out = &own;
    run_all(r, body);
    r->out = out;
    char *text = pool_take(&r->pool, own.n + 1);
    unsigned char *who = pool_take(&r->pool, own.n + 1);
    if (text && who && own.n > 0) {
        memcpy(text, own.text, own.n);
        memcpy(who, own.who, own.n);
        v.s = (struct written){text, who, own.n};
    }
    rendered_free(&own);
    return v;
}

static void bind(struct run_of *r, struct scope *s, const struct node *n, const struct value *item)
{
    if (!n->more) {
        set_name(r, s, n->text, *item);
        return;
    }
    if (item->kind != V_LIST || item->items->n != 2) {
        pool_fail(&r->pool, "line %d: not a pair", n->line);
        return;
    }
    set_name(r, s, n->text, item->items->at[0]);
    set_name(r, s, n->more, item->items->at[1]);
}

/* The items of a loop: those of which its condition holds. */
static void loop_items(struct run_of *r, const struct node *n, struct items *out)
{
    struct value v = eval(r, n->a);
    size_t step = v.kind == V_DICT ? 2 : 1;
    if (v.kind != V_LIST && v.kind != V_DICT) {
        if (v.kind != V_UNDEFINED)
            pool_fail(&r->pool, "line %d: a loop over something other than a list", n->line);
        return;
    }
    for (size_t i = 0; i < v.items->n && pool_step(&r->pool); i += step) {
        struct scope inner = {value_dict(&r->pool), r->scope};
        bool kept = true;
        if (n->d && !r->pool.failed) {
            bind(r, &inner, n, &v.items->at[i]);
            r->scope = &inner;
            struct value holds = eval(r, n->d);
            r->scope = inner.up;
            kept = value_true(&holds);
        }
        if (kept) items_add(&r->pool, out, v.items->at[i]);
    }
}

/* A round has a scope of its own: what is set in it is gone behind it, as in Jinja. */
static void run_for(struct run_of *r, const struct node *n)
{
    struct loop_at *at = pool_take(&r->pool, sizeof *at); /* may outlive the loop: set x = loop */
    if (!at) return;
    bool ended =
        false; /* some round came to its end: if none did, Jinja runs `else`, also after breaks */
    loop_items(r, n, &at->list);
    for (; at->i < at->list.n && pool_step(&r->pool) && r->leave == GO_ON; at->i++) {
        struct scope inner = {value_dict(&r->pool), r->scope};
        if (r->pool.failed) break;
        bind(r, &inner, n, &at->list.at[at->i]);
        set_name(r, &inner, "loop", (struct value){.kind = V_LOOP, .loop = at});
        r->scope = &inner;
        run_all(r, n->b);
        r->scope = inner.up;
        ended = ended || r->leave == GO_ON;
        if (r->leave == CONTINUE) r->leave = GO_ON;
    }
    if (r->leave == BREAK) r->leave = GO_ON;
    if (!ended) run_all(r, n->c);
}

/* break and continue are left in r->leave, which ends the bodies up to the loop. */
static void run_one(struct run_of *r, const struct node *n)
{
    struct value v;
    switch (n->op) {
    case N_TEXT: print(r, n->s); break;
    case N_PRINT:
        v = eval(r, n->a);
        print(r, value_written(&r->pool, &v));
        break;
    case N_IF:
        v = eval(r, n->a);
        run_all(r, value_true(&v) ? n->b : n->c);
        break;
    case N_FOR: run_for(r, n); break;
    case N_SET: set_target(r, n->a, eval(r, n->b)); break;
    case N_SET_BODY: set_target(r, n->a, printed(r, n->b)); break;
    case N_BODY: run_all(r, n->b); break;
    case N_BREAK: r->leave = BREAK; break;
    case N_CONTINUE: r->leave = CONTINUE; break;
    default: pool_fail(&r->pool, "line %d: not a statement", n->line);
    }
}

static void run_all(struct run_of *r, const struct node *n)
{
    for (; n && pool_step(&r->pool) && r->leave == GO_ON; n = n->next) run_one(r, n);
}

/* --- a conversation --- */

static struct value said(struct pool *p, const char *text, size_t n, unsigned char who)
{
    unsigned char *whose = pool_take(p, n + 1);
    if (!whose) return undefined;
    memset(whose, who, n);
    return text_value((struct written){text, whose, n});
}

static struct value message(struct pool *p, const struct turn *t)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    unsigned char who = t->role == TURN_ASSISTANT ? WHO_ASSISTANT : WHO_OTHERS;
    struct value v = value_dict(p);
    if (p->failed) return undefined;
    dict_set(p, v, value_text("role"), value_text(roles[t->role]));
    dict_set(p, v, value_text("content"), said(p, t->text, t->n, who));
    if (t->reasoning)
        dict_set(p, v, value_text("reasoning_content"),
                 said(p, t->reasoning, strlen(t->reasoning), who));
    return v;
}

/* Memory and steps are bounded by the template and the conversation (P11). The names are those that
 * Transformers gives a template; enable_thinking stays undefined unless it is off, since templates
 * ask whether it is there. */
bool jinja_render(const struct jinja *j, const struct jinja_job *job, struct rendered *out,
                  char why[JINJA_WHY])
{
    struct run_of r = {.out = out};
    size_t bytes = j->bytes;
    for (int i = 0; i < job->turns; i++)
        bytes += job->turn[i].n + (job->turn[i].reasoning ? strlen(job->turn[i].reasoning) : 0);
    r.pool = (struct pool){.most = 256 * bytes + 4194304, .steps = STEPS, .why = why};
    struct scope top = {value_dict(&r.pool), NULL};
    struct value messages = value_list(&r.pool), none = {.kind = V_NONE};
    for (int i = 0; i < job->turns && !r.pool.failed; i++)
        items_add(&r.pool, messages.items, message(&r.pool, &job->turn[i]));
    r.scope = &top;
    if (!r.pool.failed) {
        set_name(&r, &top, "messages", messages);
        set_name(&r, &top, "bos_token", value_text(job->bos ? job->bos : ""));
        set_name(&r, &top, "eos_token", value_text(job->eos ? job->eos : ""));
        set_name(&r, &top, "add_generation_prompt", value_bool(job->ask));
        set_name(&r, &top, "tools", none);
        set_name(&r, &top, "documents", none);
        if (job->no_thinking) set_name(&r, &top, "enable_thinking", value_bool(false));
        run_all(&r, j->body);
    }
    pool_free(&r.pool);
    return !r.pool.failed;
}
