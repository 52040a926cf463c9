/* A recipe's YAML into settings (or another file's into its sections, see struct schema). Two
 * readings by libyaml: the first walks the events and refuses what a recipe has no use for
 * (aliases, second documents, deep nesting), so that the second may build a tree whose size is
 * bounded by the file's. Then the tree is walked once; it is three levels deep at most: top level,
 * section or phases, phase. */
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/config/presets.h"
#include "trainer/config/table.h"
#include "trainer/config/yaml_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    MAX_BYTES = 1 << 20,
    MAX_DEPTH = 8,
    MAX_PHASES = 256,
    MAX_MISTAKES = 100,
    MAX_SECTIONS = 16,
    LIST_BYTES = 4096,
    JSON_BYTES = 16384
};

struct yaml_reader {
    yaml_document_t doc;
    const struct schema *schema;
    void *root;
    const char *file;
    struct problems *p;
    bool stored; /* see settings_parse_stored */
    int most;    /* stop when p holds this many */
    int section_line[MAX_SECTIONS];
};

/* Line of what the parser stumbled over; for bytes that are no text it knows the offset only. */
static int syntax_line(const yaml_parser_t *y, const char *yaml, size_t n)
{
    if (y->error != YAML_READER_ERROR) return (int)y->problem_mark.line + 1;
    int line = 1;
    for (size_t i = 0; i < n && i < y->problem_offset; i++) line += yaml[i] == '\n';
    return line;
}

static void syntax_problem(const yaml_parser_t *y, const char *yaml, size_t n, const char *file,
                           struct problems *p)
{
    const char *what = y->problem ? y->problem : "unreadable";
    bool tab = strstr(what, "cannot start any token") != NULL;
    problems_add(p, file, syntax_line(y, yaml, n), "not YAML: %s%s%s%s", what,
                 y->context ? " " : "", y->context ? y->context : "",
                 tab ? " (indent with spaces, not tabs; quote special characters)" : "");
}

/* What is wrong with one event goes to p; keeps count of depth and documents. */
static bool event_ok(const yaml_event_t *e, const struct schema *schema, int *depth, int *documents,
                     const char *file, struct problems *p)
{
    int before = p->n, line = (int)e->start_mark.line + 1;
    bool opens = e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;
    bool closes = e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
    *depth += opens - closes;
    if (e->type == YAML_ALIAS_EVENT)
        problems_add(p, file, line,
                     "aliases (*name) are not supported in a %s: write the value again",
                     schema->noun);
    if (e->type == YAML_DOCUMENT_START_EVENT && ++*documents > 1)
        problems_add(p, file, line, "a second document starts here; a %s must be a single one",
                     schema->noun);
    if (opens && *depth > MAX_DEPTH) problems_add(p, file, line, "nested too deeply");
    return p->n == before;
}

/* First reading. */
static bool events_ok(const struct schema *schema, const void *yaml, size_t n, const char *file,
                      struct problems *p)
{
    yaml_parser_t y;
    yaml_event_t e;
    int depth = 0, documents = 0;
    bool end = false, ok = true;
    SYS_OK(yaml_parser_initialize(&y), "free memory on this machine", "no memory for a %s",
           schema->noun);
    yaml_parser_set_input_string(&y, yaml, n);
    while (!end && ok) {
        if (!yaml_parser_parse(&y, &e)) {
            syntax_problem(&y, yaml, n, file, p);
            break;
        }
        ok = event_ok(&e, schema, &depth, &documents, file, p);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&y);
    return end && ok;
}

static bool full(const struct yaml_reader *r)
{
    return r->p->n >= r->most;
}

static struct origin origin(const struct yaml_reader *r, const yaml_node_t *node)
{
    return (struct origin){r->file, (int)node->start_mark.line + 1};
}

static const char *scalar(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* `key:` with nothing behind it, or null: as if the key were not there. */
static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    return !*scalar(node) || strcmp(scalar(node), "~") == 0 || strcmp(scalar(node), "null") == 0;
}

/* Name of a setting, or NULL and a problem. */
static const char *key_of(const struct yaml_reader *r, const yaml_node_t *key)
{
    if (key->type == YAML_SCALAR_NODE) return scalar(key);
    problems_add(r->p, r->file, origin(r, key).line, "a setting's name is one word, not a %s",
                 key->type == YAML_MAPPING_NODE ? "mapping" : "list");
    return NULL;
}

/* Notes in *line that `name` is given here; false and a problem when it was before. */
static bool first_time(const struct yaml_reader *r, const char *name, int *line,
                       const yaml_node_t *key)
{
    int here = origin(r, key).line;
    if (*line > 0)
        problems_add(r->p, r->file, here, "%s is given twice, first in line %d", name, *line);
    bool first = *line <= 0;
    if (first) *line = here;
    return first;
}

static yaml_node_t *node_at(struct yaml_reader *r, int index)
{
    return yaml_document_get_node(&r->doc, index);
}

/* A list or mapping as the text that --set takes for it. */
struct joined {
    char text[LIST_BYTES];
    size_t n;
    bool ok;
};

static void join_text(struct joined *j, const char *before, const yaml_node_t *node)
{
    j->ok = j->ok && node->type == YAML_SCALAR_NODE && *scalar(node);
    if (!j->ok) return;
    int n = snprintf(j->text + j->n, sizeof j->text - j->n, "%s%s", before, scalar(node));
    j->ok = n >= 0 && (size_t)n < sizeof j->text - j->n;
    if (j->ok) j->n += (size_t)n;
}

/* {path: a.jsonl, weight: 3} as a.jsonl=3 */
static void join_file(struct yaml_reader *r, struct joined *j, const char *before,
                      const yaml_node_t *node)
{
    const yaml_node_t *path = NULL, *weight = NULL;
    for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top;
         i++) {
        const yaml_node_t *key = node_at(r, i->key);
        const char *name = key->type == YAML_SCALAR_NODE ? scalar(key) : "";
        const yaml_node_t **to = strcmp(name, "path") == 0     ? &path
                                 : strcmp(name, "weight") == 0 ? &weight
                                                               : NULL;
        j->ok = j->ok && to && !*to;
        if (j->ok) *to = node_at(r, i->value);
    }
    j->ok = j->ok && path;
    if (j->ok) join_text(j, before, path);
    if (j->ok && weight) join_text(j, "=", weight);
}

/* [a, {path: b, weight: 2}] as "a, b=2"; {prompt: question} as "prompt=question". */
static void join_all(struct yaml_reader *r, struct joined *j, const yaml_node_t *value)
{
    j->ok = true;
    if (value->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *i = value->data.mapping.pairs.start;
             i < value->data.mapping.pairs.top; i++) {
            join_text(j, j->n ? ", " : "", node_at(r, i->key));
            join_text(j, "=", node_at(r, i->value));
        }
        return;
    }
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = node_at(r, *i);
        if (item->type == YAML_MAPPING_NODE)
            join_file(r, j, j->n ? ", " : "", item);
        else
            join_text(j, j->n ? ", " : "", item);
    }
}

static void read_json(struct yaml_reader *r, const struct place *at, const struct setting *k,
                      struct origin from, const yaml_node_t *value)
{
    char text[JSON_BYTES];
    size_t n;
    if (yaml_json(&r->doc, value, text, sizeof text, &n))
        setting_assign(at, k, text, n, from, r->p);
    else
        problems_add(r->p, r->file, from.line, "%s: more than %d bytes", k->name, JSON_BYTES - 1);
}

static void read_list(struct yaml_reader *r, const struct place *at, const struct setting *k,
                      struct origin from, const yaml_node_t *value)
{
    struct joined j = {.n = 0};
    join_all(r, &j, value);
    if (j.ok)
        setting_assign(at, k, j.text, j.n, from, r->p);
    else
        problems_add(r->p, r->file, from.line,
                     "%s: a list holds names, or {path: NAME, weight: W}; a mapping names; none "
                     "empty, all together at most %d bytes",
                     k->name, LIST_BYTES - 1);
}

/* A stored recipe of an earlier version may hold settings that a phase no longer uses: those are
 * skipped, not refused. */
static void read_setting(struct yaml_reader *r, const struct place *at, const struct setting *k,
                         const yaml_node_t *key, const yaml_node_t *value)
{
    if (!first_time(r, k->name, setting_line(at, k), key)) return;
    struct origin from = origin(r, key);
    bool in_list = r->schema->list >= 0 && at->section == &r->schema->sections[r->schema->list];
    if (in_list && r->stored && !phase_can_use(at, k)) return;
    if (in_list && !phase_uses(at, k, from, r->p)) return;
    bool list = k->type == SETTING_STR && k->low == STR_LIST;
    bool json = k->type == SETTING_STR && k->low == STR_JSON;
    if (value->type != YAML_SCALAR_NODE && json)
        read_json(r, at, k, from, value);
    else if (value->type != YAML_SCALAR_NODE && list)
        read_list(r, at, k, from, value);
    else if (value->type != YAML_SCALAR_NODE)
        problems_add(r->p, r->file, from.line, "%s takes one value, not a %s", k->name,
                     value->type == YAML_MAPPING_NODE ? "mapping" : "list");
    else if (is_null(value))
        setting_assign(at, k, "", 0, from, r->p);
    else
        setting_assign(at, k, scalar(value), value->data.scalar.length, from, r->p);
}

/* What stands under one key of a section. */
static void read_pair(struct yaml_reader *r, const struct place *at, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = node_at(r, pair->key);
    const char *name = key_of(r, key);
    if (!name) return;
    const struct setting *k = setting_find(at->section, name);
    if (k)
        read_setting(r, at, k, key, node_at(r, pair->value));
    else
        setting_unknown(r->schema, at->section, name, origin(r, key), r->p);
}

/* false and a problem when the node is no mapping; an empty one is well. */
static bool expect_mapping(const struct yaml_reader *r, const yaml_node_t *node, const char *name)
{
    if (node->type == YAML_MAPPING_NODE) return true;
    if (!is_null(node))
        problems_add(r->p, r->file, origin(r, node).line,
                     "%s takes settings, one per line as `name: value`, not a %s", name,
                     node->type == YAML_SCALAR_NODE ? "single value" : "list");
    return false;
}

static void read_section(struct yaml_reader *r, int id, const yaml_node_t *node)
{
    struct place at = schema_place(r->schema, r->root, id);
    if (!expect_mapping(r, node, at.section->name)) return;
    for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top;
         i++)
        if (!full(r)) read_pair(r, &at, i);
}

/* The phase's kind is read before the rest, because it decides what the rest may be. Returns the
 * pair that held it. */
static const yaml_node_pair_t *read_kind(struct yaml_reader *r, const struct place *at,
                                         const yaml_node_t *node)
{
    const struct setting *kind = setting_find(at->section, "kind");
    yaml_node_pair_t *i = node->data.mapping.pairs.start;
    for (; i < node->data.mapping.pairs.top; i++) {
        const yaml_node_t *key = node_at(r, i->key);
        if (key->type != YAML_SCALAR_NODE || strcmp(scalar(key), "kind") != 0) continue;
        read_setting(r, at, kind, key, node_at(r, i->value));
        return i;
    }
    char kinds[CHOICES_TEXT];
    problems_add(r->p, r->file, origin(r, node).line, "a phase without a kind: write kind: %s",
                 choices_text(kind, kinds, sizeof kinds));
    return NULL;
}

/* The kind is read first, wherever it stands: which settings are allowed depends on it. What the
 * phase's lines say goes over what its algorithm stands for. */
static void read_phase(struct yaml_reader *r, int phase, const yaml_node_t *node)
{
    struct place at = settings_place(r->root, SECTION_PHASE, phase);
    if (is_null(node)) {
        problems_add(r->p, r->file, origin(r, node).line, "an empty phase: write `- kind: ...`");
        return;
    }
    if (!expect_mapping(r, node, "a phase")) return;
    const yaml_node_pair_t *kind = read_kind(r, &at, node);
    for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top;
         i++)
        if (i != kind && !full(r)) read_pair(r, &at, i);
    preset_apply(&at);
}

/* A number beyond the limit is refused before memory is taken. */
static void read_phases(struct yaml_reader *r, const yaml_node_t *node)
{
    if (is_null(node)) return;
    if (node->type != YAML_SEQUENCE_NODE) {
        problems_add(r->p, r->file, origin(r, node).line,
                     "phases is a list: start every phase with `- kind: ...`");
        return;
    }
    yaml_node_item_t *first = node->data.sequence.items.start;
    long n = node->data.sequence.items.top - first;
    if (n > MAX_PHASES) {
        problems_add(r->p, r->file, origin(r, node).line,
                     "%ld phases are more than the limit of %d", n, MAX_PHASES);
        return;
    }
    phases_replace(r->root, (int)n);
    for (int i = 0; i < n && !full(r); i++) read_phase(r, i, node_at(r, first[i]));
}

/* A name is a section, the list of phases, or a setting of the top level. */
static void read_top_pair(struct yaml_reader *r, const struct place *top,
                          const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = node_at(r, pair->key), *value = node_at(r, pair->value);
    const char *name = key->type == YAML_SCALAR_NODE ? scalar(key) : "";
    for (int id = 1; id < r->schema->n; id++) {
        if (strcmp(r->schema->sections[id].name, name) != 0) continue;
        if (!first_time(r, name, &r->section_line[id], key)) return;
        if (id == r->schema->list)
            read_phases(r, value);
        else
            read_section(r, id, value);
        return;
    }
    read_pair(r, top, pair);
}

/* Stops at a number of mistakes: a file that is something else would have hundreds. */
static void read_top(struct yaml_reader *r)
{
    const yaml_node_t *node = yaml_document_get_root_node(&r->doc);
    struct place top = schema_place(r->schema, r->root, 0);
    char what[32];
    snprintf(what, sizeof what, "a %s", r->schema->noun);
    if (!node || !expect_mapping(r, node, what)) return;
    for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i < node->data.mapping.pairs.top;
         i++)
        if (!full(r)) read_top_pair(r, &top, i);
    if (full(r)) problems_add(r->p, r->file, 0, "and more mistakes, not shown");
}

/* A new file begins: what earlier ones said is kept, where they said it is not. */
static void forget_lines(const struct schema *schema, void *root)
{
    for (int id = 0; id < schema->n; id++) {
        if (id == schema->list) continue;
        struct place at = schema_place(schema, root, id);
        for (int i = 0; i < at.section->n_settings; i++)
            *setting_line(&at, &at.section->settings[i]) = 0;
    }
}

/* r says what to read into and how. */
static bool parse(struct yaml_reader r, const void *yaml, size_t n)
{
    const struct schema *schema = r.schema;
    struct problems *p = r.p;
    const char *file = r.file;
    int before = p->n;
    yaml_parser_t y;
    r.most = before + MAX_MISTAKES;
    INVARIANT(schema->n <= MAX_SECTIONS, "%d sections", schema->n);
    forget_lines(schema, r.root);
    if (n > MAX_BYTES)
        problems_add(p, file, 0, "%zu bytes are too many for a %s (the limit is %d)", n,
                     schema->noun, MAX_BYTES);
    if (n == 0 || n > MAX_BYTES || !events_ok(schema, yaml, n, file, p)) return p->n == before;
    SYS_OK(yaml_parser_initialize(&y), "free memory on this machine", "no memory for a %s",
           schema->noun);
    yaml_parser_set_input_string(&y, yaml, n);
    if (yaml_parser_load(&y, &r.doc)) {
        read_top(&r);
        yaml_document_delete(&r.doc);
    } else {
        syntax_problem(&y, yaml, n, file, p);
    }
    yaml_parser_delete(&y);
    return p->n == before;
}

bool schema_parse(const struct schema *schema, void *root, const void *yaml, size_t n,
                  const char *file, struct problems *p)
{
    return parse((struct yaml_reader){.schema = schema, .root = root, .file = file, .p = p}, yaml,
                 n);
}

static void recipe_begin(struct settings *s, const char *file)
{
    char *copy = memory_copy_text(file, "a file name");
    free(s->file);
    s->file = copy;
    if (s->n_phases) memset(s->lines.phases, 0, (size_t)s->n_phases * sizeof *s->lines.phases);
}

bool settings_parse(struct settings *s, const void *yaml, size_t n, const char *file,
                    struct problems *p)
{
    recipe_begin(s, file);
    return schema_parse(&recipe_schema, s, yaml, n, file, p);
}

bool settings_parse_stored(struct settings *s, const char *yaml, struct problems *p)
{
    const char *file = "recipe.yaml";
    recipe_begin(s, file);
    return parse(
        (struct yaml_reader){
            .schema = &recipe_schema, .root = s, .file = file, .p = p, .stored = true},
        yaml, strlen(yaml));
}
