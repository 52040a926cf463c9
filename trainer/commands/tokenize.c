/* duet tokenize MODEL [FILE]: texts to token ids and back, a line at a time.
 *
 * In: {"text": "..."}; out: {"ids": [...]}. With --decode the other way round. With --chat:
 * {"messages": [...]} (conversation.h) to {"text": "...", "ids": [...]}, as the model's template
 * has it. Other members are ignored. Lines are read, answered and forgotten, so a file may be of
 * any length. A bad line is named with its number; nothing is written from it on, and the exit code
 * is 2. */
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "comm/base/file.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "model/tokenizer.h"
#include "trainer/checkpoint/hf/kept.h"
#include "trainer/checkpoint/open.h"
#include "trainer/checkpoint/where.h"
#include "trainer/commands/commands.h"
#include "trainer/commands/conversation.h"
#include "trainer/config/options.h"
#include "trainer/data/chat.h"
#include "trainer/gguf/file.h"

enum { TOKENIZER_MOST = 1 << 30, COMPLAINTS = 20 };

/* What MODEL gives. */
struct opened {
    struct tokenizer *t;
    char *json;               /* its file */
    char path[PATH_BYTES];    /* of that; of a checkpoint, its folder */
    struct chat *chat;        /* with --chat */
    struct model_files files; /* of a checkpoint: its chat template */
};

/* One stream of lines. */
struct line_stream {
    const struct tokenizer *t;
    struct chat *chat;
    struct conversation conversation;
    const char *file;
    bool decode, special, around;
    long line;
    struct problems problems;
    int *ids;
    size_t ids_room;
    char *out; /* a line to be written */
    size_t n, room;
};

static char *read_file(const char *path, size_t *n, struct problems *p)
{
    if (gguf_is_file(path)) return gguf_file_tokenizer(path, n, p);
    char why[FILE_WHY], *bytes = file_read(path, FILE_REGULAR, TOKENIZER_MOST, n, why);
    if (!bytes) problems_add(p, path, 0, "cannot be read: %s", why);
    return bytes;
}

/* tokenizer.json of a checkpoint, a run's folder (its newest one) or its folder of checkpoints, and
 * what it keeps of the files of an imported model. */
static char *of_checkpoint(struct opened *m, const char *path, size_t *n, struct problems *p)
{
    struct where at;
    struct checkpoint c = {0};
    char folder[PATH_BYTES], *text = NULL;
    if (!where_find(&at, path, p)) return NULL;
    snprintf(folder, sizeof folder, "%s", at.root);
    if (!at.one) store_path(folder, at.root, at.list.entry[0]);
    if (checkpoint_load(&c, folder, p)) {
        text = c.tokenizer;
        c.tokenizer = NULL;
        if (!text) problems_add(p, folder, 0, "the checkpoint has no tokenizer.json");
        m->files = hf_kept_files(&c);
    }
    *n = text ? strlen(text) : 0;
    checkpoint_close(&c);
    where_free(&at);
    return text;
}

static void open_tokenizer(struct opened *m, const char *model, struct problems *p)
{
    struct stat s;
    size_t n = 0;
    char manifest[PATH_BYTES]; /* a checkpoint's */
    bool folder = stat(model, &s) == 0 && S_ISDIR(s.st_mode);
    path_make(m->path, folder ? "%s/tokenizer.json" : "%s", model);
    path_make(manifest, "%s/manifest.json", model);
    bool plain = !folder || (stat(m->path, &s) == 0 && stat(manifest, &s) != 0);
    m->json = plain ? read_file(m->path, &n, p) : of_checkpoint(m, model, &n, p);
    if (m->json) m->t = tokenizer_parse(m->json, n, plain ? m->path : model, p);
}

/* The template beside the tokenizer, or that of the checkpoint, or what the settings say. */
static void open_chat(struct opened *m, const struct option_list *sets, struct problems *p)
{
    struct settings s;
    settings_defaults(&s);
    settings_set(&s, "data.template=model", p);
    free(s.model.tokenizer);
    s.model.tokenizer = memory_copy_text(m->path, "the settings");
    s.files = m->files;
    m->files = (struct model_files){.from = NULL};
    for (int i = 0; i < sets->n; i++) settings_set(&s, sets->at[i], p);
    const struct chat_job job = {.settings = &s, .tokenizer = m->t, .tokenizer_json = m->json};
    if (p->n == 0) m->chat = chat_new(&job, p);
    settings_free(&s);
}

static void close_model(struct opened *m)
{
    chat_free(m->chat);
    tokenizer_free(m->t);
    free(m->json);
    model_files_free(&m->files);
}

static void *grown(void *at, size_t *room, size_t n, size_t size)
{
    if (n <= *room) return at;
    *room = n + n / 2 + 256;
    at = realloc(at, *room * size);
    SYS_OK(at, "shorten the line, or free memory", "no memory for a line of %zu tokens", n);
    return at;
}

static void put_in_line(struct line_stream *l, const char *text, size_t n)
{
    l->out = grown(l->out, &l->room, l->n + n, 1);
    memcpy(l->out + l->n, text, n);
    l->n += n;
}

static void put_number(struct line_stream *l, int value)
{
    char digits[12];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    put_in_line(l, digits + at, sizeof digits - at);
}

static void put_ids(struct line_stream *l, const int *ids, size_t n, bool more)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 || more) put_in_line(l, ", ", 2);
        put_number(l, ids[i]);
    }
}

/* By hand and not by jansson: decoded text may hold a NUL, and lines are many. */
static void put_string(struct line_stream *l, const char *s, size_t n)
{
    size_t from = 0;
    put_in_line(l, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char escape[8];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        put_in_line(l, s + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            put_in_line(l, (char[]){'\\', (char)c}, 2);
        else
            put_in_line(l, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
    }
    put_in_line(l, s + from, n - from);
    put_in_line(l, "\"", 1);
}

/* A token is at least a byte as a rule, so one pass is enough but for texts that a normalizer makes
 * longer. */
static void encode_line(struct line_stream *l, const json_t *text)
{
    const char *s = json_string_value(text);
    size_t length = json_string_length(text), n_before = 0, n_behind = 0;
    const int *before = NULL, *behind = NULL;
    l->ids = grown(l->ids, &l->ids_room, length + 16, sizeof *l->ids);
    size_t n = tokenizer_encode(l->t, s, length, l->special, l->ids, l->ids_room);
    if (n > l->ids_room) { /* a normalizer made the text longer */
        l->ids = grown(l->ids, &l->ids_room, n, sizeof *l->ids);
        n = tokenizer_encode(l->t, s, length, l->special, l->ids, l->ids_room);
    }
    if (l->around) {
        n_before = tokenizer_before(l->t, &before);
        n_behind = tokenizer_behind(l->t, &behind);
    }
    put_in_line(l, "{\"ids\": [", 9);
    put_ids(l, before, n_before, false);
    put_ids(l, l->ids, n, n_before > 0);
    put_ids(l, behind, n_behind, n_before + n > 0);
    put_in_line(l, "]}\n", 3);
}

static void complain(struct line_stream *l, const char *what, const char *detail)
{
    problems_add(&l->problems, l->file, (int)l->line, "%s%s", what, detail);
}

/* The length is asked first: ids may stand for any number of bytes. */
static void decode_line(struct line_stream *l, const json_t *ids)
{
    size_t n = json_array_size(ids);
    l->ids = grown(l->ids, &l->ids_room, n + 1, sizeof *l->ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(ids, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= tokenizer_size(l->t)) {
            char why[96];
            snprintf(why, sizeof why, "[%zu] is not an id below %d", i, tokenizer_size(l->t));
            complain(l, "\"ids\"", why);
            return;
        }
        l->ids[i] = (int)id;
    }
    size_t room = tokenizer_decode(l->t, l->ids, n, NULL, 0) + 1;
    char *text = malloc(room);
    SYS_OK(text, "shorten the line, or free memory", "no memory for %zu bytes of text", room);
    tokenizer_decode(l->t, l->ids, n, text, room);
    put_in_line(l, "{\"text\": ", 9);
    put_string(l, text, room - 1);
    put_in_line(l, "}\n", 2);
    free(text);
}

/* Rendered once; the tokens are counted, then written. */
static void converse(struct line_stream *l, const json_t *line)
{
    struct conversation *c = &l->conversation;
    const char *wrong = conversation_read(c, line);
    if (wrong) {
        complain(l, wrong, "");
        return;
    }
    const struct rendered *r = chat_show(l->chat, c->turn, c->n, c->ask, c->thinking);
    if (!r) {
        complain(l, "the template refuses this conversation: ", chat_refused(l->chat));
        return;
    }
    struct chat_tokens tokens = {.room = 0};
    chat_shown(l->chat, &tokens);
    l->ids = grown(l->ids, &l->ids_room, tokens.n + 1, sizeof *l->ids);
    tokens = (struct chat_tokens){.token = l->ids, .room = l->ids_room};
    chat_shown(l->chat, &tokens);
    put_in_line(l, "{\"text\": ", 9);
    put_string(l, r->text, r->n);
    put_in_line(l, ", \"ids\": [", 10);
    put_ids(l, l->ids, tokens.n, false);
    put_in_line(l, "]}\n", 3);
}

/* NUL is allowed, since a model's text may hold it; a name twice is not, since readers differ in
 * which of the two they take. */
static void take_line(struct line_stream *l, const char *s, size_t n)
{
    json_error_t why;
    json_t *o = json_loadb(s, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    const json_t *text = json_object_get(o, "text"), *ids = json_object_get(o, "ids");
    l->n = 0;
    if (!o)
        complain(l, "is not JSON: ", why.text);
    else if (l->chat)
        converse(l, o);
    else if (l->decode && !json_is_array(ids))
        complain(l, "needs \"ids\": a list of token ids", "");
    else if (!l->decode && !json_is_string(text))
        complain(l, "needs \"text\": a string", "");
    else if (l->decode)
        decode_line(l, ids);
    else
        encode_line(l, text);
    json_decref(o);
}

/* Nothing is written from the first bad line on: a short output is seen, one with a line missing in
 * the middle is not. */
static void take_lines(struct line_stream *l, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while (l->problems.n < COMPLAINTS && (n = getline(&line, &room, in)) >= 0) {
        l->line++;
        if (strspn(line, " \t\r\n") == (size_t)n) continue;
        take_line(l, line, (size_t)n);
        if (l->problems.n > 0) continue;
        SYS_OK(fwrite(l->out, 1, l->n, stdout) == l->n, "free space where the output goes",
               "cannot write: %s", strerror(errno));
    }
    SYS_OK(!ferror(in), "look at the disk or the program before the pipe", "cannot read %s: %s",
           l->file, strerror(errno));
    SYS_OK(fflush(stdout) == 0, "free space where the output goes", "cannot write: %s",
           strerror(errno));
    free(line);
}

struct tokenize_options {
    const char *args[2];
    bool chat, decode, special, around;
    struct option_list sets;
};

static void check_options(const void *checked, struct problems *p)
{
    const struct tokenize_options *e = checked;
    if (e->chat && (e->decode || e->special || e->around))
        problems_add(p, NULL, 0,
                     "--chat excludes --decode, --special and --add-special: the template says "
                     "which special tokens stand where");
    if (!e->chat && e->sets.n > 0) problems_add(p, NULL, 0, "--set goes with --chat");
}

/* --set is as everywhere: what a recipe would say of prompts can be looked at. */
static int read_options(struct tokenize_options *e, int argc, char **argv)
{
    *e = (struct tokenize_options){.chat = false};
    const struct option_row rows[] = {
        {"decode", OPT_FLAG, &e->decode, 0, 0, "from ids to text"},
        {"special", OPT_FLAG, &e->special, 0, 0,
         "recognises special tokens that stand in a text; without it they are text, as everywhere "
         "in data"},
        {"add-special", OPT_FLAG, &e->around, 0, 0,
         "puts the ids around each text that the tokenizer's post_processor asks for, such as the "
         "beginning of a text"},
        {"chat", OPT_FLAG, &e->chat, 0, 0,
         "conversations by the model's template: {\"messages\": [{\"role\", \"content\"}, ...]} to "
         "{\"text\", \"ids\"}; \"add_generation_prompt\": true, \"enable_thinking\": false as in "
         "transformers. Special tokens are the template's alone"},
        {"set", OPT_LIST, &e->sets, 0, 0,
         "--chat: KEY=VALUE, such as data.template=FILE.jinja or data.system=r1"},
    };
    struct options o = {
        .command = "tokenize",
        .summary =
            "Texts to token ids and back: reads JSON Lines {\"text\": \"...\"} from FILE or "
            "standard input and writes {\"ids\": [...]}, or the other way round with --decode, or "
            "conversations with --chat. MODEL is a tokenizer.json, a folder that holds one, a "
            "checkpoint, a run's folder or a GGUF file.",
        .usage = "MODEL [FILE]",
        .check = check_options,
        .checked = e,
        .rows = rows,
        .n_rows = 5,
        .args = e->args,
        .min_args = 1,
        .max_args = 2};
    return options_parse(&o, argc, argv);
}

/* No world and no model: only the tokenizer is opened, so that a pipe starts at once. */
int cmd_tokenize(int argc, char **argv)
{
    struct tokenize_options e;
    int code = read_options(&e, argc, argv);
    if (code >= 0) return code;
    struct line_stream l = {
        .file = "stdin", .decode = e.decode, .special = e.special, .around = e.around};
    struct opened m = {.t = NULL};
    open_tokenizer(&m, e.args[0], &l.problems);
    if (m.t && e.chat) open_chat(&m, &e.sets, &l.problems);
    const char *file = e.args[1];
    FILE *in = file && strcmp(file, "-") != 0 ? fopen(file, "r") : stdin;
    if (file && in != stdin) l.file = file;
    if (!in) problems_add(&l.problems, l.file, 0, "cannot be read: %s", strerror(errno));
    problems_end_if_any(&l.problems);
    l.t = m.t;
    l.chat = m.chat;
    take_lines(&l, in);
    if (in != stdin) fclose(in);
    conversation_free(&l.conversation);
    free(l.ids);
    free(l.out);
    close_model(&m);
    problems_end_if_any(&l.problems);
    return EXIT_DONE;
}
