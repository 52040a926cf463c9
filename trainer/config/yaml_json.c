/* See yaml_json.h. The reader has bounded how deep a recipe is nested. */
#include "trainer/config/yaml_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *out;
    size_t size, n;
};

static void put(struct text *t, const char *at, size_t n)
{
    if (t->n < t->size && n < t->size - t->n) memcpy(t->out + t->n, at, n);
    t->n += n;
}

static void put_word(struct text *t, const char *word)
{
    put(t, word, strlen(word));
}

static void put_string(struct text *t, const unsigned char *s, size_t n)
{
    char escape[8];
    put_word(t, "\"");
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            put(t, (char[]){'\\', (char)s[i]}, 2);
        else if (s[i] < ' ')
            put(t, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", s[i]));
        else
            put(t, (const char *)s + i, 1);
    }
    put_word(t, "\"");
}

/* As JSON writes one: no leading zero or plus, no hexadecimal, a digit on either side of a point.
 */
static bool is_number(const char *s)
{
    const char *digits = "0123456789";
    s += *s == '-';
    size_t whole = strspn(s, digits);
    if (whole == 0 || (whole > 1 && *s == '0')) return false;
    s += whole;
    if (*s == '.') {
        size_t part = strspn(++s, digits);
        if (part == 0) return false;
        s += part;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t power = strspn(s, digits);
        if (power == 0) return false;
        s += power;
    }
    return !*s;
}

static void put_scalar(struct text *t, const yaml_node_t *node)
{
    const char *s = (const char *)node->data.scalar.value;
    size_t n = node->data.scalar.length;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(s) == n;
    bool word = strcmp(s, "true") == 0 || strcmp(s, "false") == 0 || strcmp(s, "null") == 0;
    if (plain && (word || is_number(s)))
        put(t, s, n);
    else
        put_string(t, node->data.scalar.value, n);
}

static void put_node(struct text *t, yaml_document_t *doc, const yaml_node_t *node);

/* What is no scalar cannot be a member's name in JSON: it becomes an empty one. */
static void put_members(struct text *t, yaml_document_t *doc, const yaml_node_t *node)
{
    const yaml_node_pair_t *i = node->data.mapping.pairs.start;
    put_word(t, "{");
    for (; i < node->data.mapping.pairs.top; i++) {
        const yaml_node_t *key = yaml_document_get_node(doc, i->key);
        bool scalar = key->type == YAML_SCALAR_NODE;
        if (i > node->data.mapping.pairs.start) put_word(t, ", ");
        put_string(t, scalar ? key->data.scalar.value : (const unsigned char *)"",
                   scalar ? key->data.scalar.length : 0);
        put_word(t, ": ");
        put_node(t, doc, yaml_document_get_node(doc, i->value));
    }
    put_word(t, "}");
}

static void put_node(struct text *t, yaml_document_t *doc, const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE) put_scalar(t, node);
    if (node->type == YAML_MAPPING_NODE) put_members(t, doc, node);
    if (node->type != YAML_SEQUENCE_NODE) return;
    const yaml_node_item_t *i = node->data.sequence.items.start;
    put_word(t, "[");
    for (; i < node->data.sequence.items.top; i++) {
        if (i > node->data.sequence.items.start) put_word(t, ", ");
        put_node(t, doc, yaml_document_get_node(doc, *i));
    }
    put_word(t, "]");
}

bool yaml_json(yaml_document_t *doc, const yaml_node_t *node, char *out, size_t size, size_t *n)
{
    struct text t = {out, size, 0};
    put_node(&t, doc, node);
    *n = t.n;
    if (t.n >= size) return false;
    out[t.n] = '\0';
    return true;
}
