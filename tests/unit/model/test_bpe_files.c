/* Files of BPE tokenizers that cannot be run are refused by name; a vocabulary may lack bytes; no
 * bytes crash the reader (P11). */
#include "comm/base/rng.h"
#include "tests/support/golden_bpe.h"

enum { TEXT = 16384 };

/* A family's file with one thing changed: what the message must name. */
static const struct refusal {
    const char *family, *from, *to, *says;
} refusals[] = {
    {"gpt2", "\"truncation\"", "\"truncated\"",
     "the file: has a member that this program does not know: \"truncated\""},
    {"gpt2", "\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}",
     "normalizer: type \"Lowercase\" is not one that this program runs (NFC, Prepend, Replace"},
    {"gpt2", "\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"}",
     "normalizer: its pattern must be a String"},
    {"gpt2", "\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaa\"}",
     "normalizer: Replace makes texts more than 4 times as long"},
    {"gpt2", "\"type\":\"ByteLevel\",\"add_prefix_space\":false", "\"type\":\"Metaspace\"",
     "pre_tokenizer: type \"Metaspace\" is not one that this program runs (Split, Digits, "
     "ByteLevel"},
    {"gpt2", "\"add_prefix_space\":false", "\"split\":false",
     "pre_tokenizer: has a member that this program does not know: \"split\""},
    {"qwen", "\"behavior\":\"Isolated\"", "\"behavior\":\"Alone\"",
     "pre_tokenizer: behavior of Split must be Isolated, Removed, MergedWithPrevious, "
     "MergedWithNext or Contiguous, found \"Alone\""},
    {"qwen",
     "{\"Regex\":", "{\"Glob\":", "pre_tokenizer: its pattern must be a String that is not empty"},
    {"qwen", "(?i:'s", "(?x:'s", "pre_tokenizer.pattern: this group is not supported: \"(?x:'\""},
    {"qwen", "\\\\p{N}|", "\\\\p{Greek}|",
     "pre_tokenizer.pattern: only general categories are supported, not \"\\p{Greek}\""},
    {"qwen", "\\\\p{N}|", "\\\\w|", "pre_tokenizer.pattern: this escape is not supported: \"\\w\""},
    {"qwen", "\\\\p{N}|", "[a&&b]|", "an intersection of classes is not supported: \"&&\""},
    {"qwen", "\\\\p{N}|", "[[:alpha:]]|", "a class within a class is not supported: \"[:alpha:\""},
    {"qwen", "\\\\p{N}|", "[^\\\\S]|", "a negated set within [..] is not supported: \"\\S\""},
    {"qwen", "\\\\p{N}|", "(?:a+)+|", "a group that is repeated is not supported: \")+\""},
    {"qwen", "\\\\p{N}|", "^a|", "anchors are not supported: \"^\""},
    {"qwen", "\\\\p{N}|", "a{2}+|", "this repetition is not supported: \"{2}+\""},
    {"qwen", "\\\\p{N}|", "a*|", "pre_tokenizer.pattern: must not match the empty text"},
    {"qwen", "\\\\p{N}|", "(|", "pre_tokenizer.pattern: missing closing parenthesis"},
    {"llama3", "\"type\":\"TemplateProcessing\"", "\"type\":\"BertProcessing\"",
     "post_processor: type \"BertProcessing\" is not one"},
    {"llama3", "{\"Sequence\":{\"id\":\"A\"", "{\"Sequence\":{\"id\":\"B\"",
     "post_processor: single must hold the Sequence A once, and SpecialTokens"},
    {"llama3", "\"ids\":[421]", "\"ids\":[4210]",
     "post_processor: an id that is no token, of \"<|begin_of_text|>\""},
    {"llama3", "\"ids\":[421]", "\"ids\":[]",
     "post_processor: special_tokens lacks the ids of \"<|begin_of_text|>\""},
    {"gpt2", "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"",
     "decoder: type \"WordPiece\" is not one that this program runs (byte-level BPE: ByteLevel)"},
    {"llama3", "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"CTC\"",
     "decoder: type \"CTC\" is not one"}, /* what was read before must be freed */
    {"llama2", "\"type\":\"ByteFallback\"", "\"type\":\"CTC\"", "decoder: type \"CTC\" is not one"},
    {"llama2", "\"start\":1,\"stop\":0", "\"start\":1,\"stop\":1",
     "decoder: Strip must take at most one ASCII character off the beginning"},
    {"llama2", "\"<0x41>\"", "\"<0x4>\"",
     "model.vocab: byte_fallback needs a token for each byte; lacks \"<0x41>\""},
    {"llama2", "\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}",
     "pre_tokenizer: ByteLevel and byte_fallback exclude each other"},
    {"gpt2", "\"dropout\":null", "\"dropout\":0.1", "model: dropout must be null"},
    {"gpt2", "\"dropout\":null", "\"dropped\":null",
     "model: has a member that this program does not know: \"dropped\""},
    {"gpt2", "\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
     "model: must be null or empty: \"continuing_subword_prefix\""},
    {"gpt2", "\"vocab\":{", "\"vocab\":{\"\":900,", "model.vocab: a token is empty"},
    {"gpt2", "\"vocab\":{", "\"vocab\":{\"zzz\":3,",
     "model.vocab: duplicate id, the second time for"},
    {"gpt2", "\"vocab\":{", "\"vocab\":{\"zzz\":-1,",
     "model.vocab: ids must be integers from 0, below 4194304, with at most 65536 of them not "
     "used; bad id of \"zzz\""},
    {"gpt2", "\"vocab\":{", "\"vocab\":{\"zzz\":4000000,", "bad id of \"zzz\""},
    {"gpt2", "\"merges\":[", "\"merges\":[\"a b c\",",
     "model.merges: must have one space between its two parts: \"\"a b c\"\""},
    {"gpt2", "\"merges\":[", "\"merges\":[\"a zzz\",",
     "model.merges: a part is not in model.vocab: \"\"a zzz\"\""},
    {"gpt2", "\"merges\":[", "\"merges\":[[\"0\",\"Q\"],",
     "model.merges: what it makes is not in model.vocab: \"[\"0\",\"Q\"]\""},
    {"gpt2", "\"merges\":[", "\"merges\":[7,",
     "model.merges: must be \"a b\" or [\"a\", \"b\"] \"7\""},
    {"gpt2", "\"merges\":[", "\"merged\":[",
     "model: has a member that this program does not know: \"merged\""},
    {"gpt2", "{\"id\":420,", "{\"id\":3,",
     "added_tokens: duplicate id, the second time for \"<|endoftext|>\""},
    {"gpt2", "\"content\":\"<left>\"", "\"content\":\"<right>\"",
     "added_tokens: stands there twice: \"<right>\""},
    {"gpt2", "\"content\":\"<left>\"", "\"content\":\"a\"",
     "added_tokens: its id is not that of model.vocab: \"a\""},
    {"gpt2", "\"content\":\"<left>\"", "\"contents\":\"a\"",
     "added_tokens: an entry has no content"},
    {"gpt2", "\"lstrip\":true", "\"lstrip\":1", "added_tokens: must be true or false: \"lstrip\""},
    {"gpt2", "\"lstrip\":true", "\"strip\":true",
     "added_tokens: has a member that this program does not know: \"strip\""},
};

START_TEST(refusals_name_the_place)
{
    static char changed[1 << 16];
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct problems p = {0};
        json_t *json = golden_json(refusals[i].family);
        char *text = json_dumps(json, JSON_COMPACT), *at = strstr(text, refusals[i].from);
        ck_assert_msg(at != NULL, "%s is not in the file", refusals[i].from);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, refusals[i].to,
                 at + strlen(refusals[i].from));
        ck_assert_ptr_null(tokenizer_parse(changed, strlen(changed), "t.json", &p));
        ck_assert_msg(p.n >= 1 && strstr(p.text[0], refusals[i].says), "%s: %s", refusals[i].to,
                      p.n ? p.text[0] : "no problem");
        problems_free(&p);
        free(text);
        json_decref(json);
    }
}
END_TEST

START_TEST(limits_of_a_file)
{
    static char deep[200];
    struct problems p = {0};
    memset(deep, '[', sizeof deep);
    ck_assert_ptr_null(tokenizer_parse(deep, sizeof deep, "t.json", &p));
    ck_assert_str_eq(p.text[0], "t.json: has more than 64 levels of arrays and objects");
    ck_assert_ptr_null(tokenizer_parse(deep, (size_t)300 << 20, "t.json", &p));
    ck_assert_str_eq(p.text[1], "t.json: is larger than 256 MiB: no tokenizer.json is");
    problems_free(&p);
}
END_TEST

/* A vocabulary that lacks a byte, as SmolLM2's does: the byte is unknown, and has no id. */
START_TEST(a_byte_may_be_lacking)
{
    json_t *json = golden_json("gpt2"), *model = json_object_get(json, "model");
    int ids[8];
    size_t bytes, n;
    json_object_del(json_object_get(model, "vocab"), "Q");
    struct tokenizer *t = parse_json(json);
    ck_assert_uint_eq(tokenizer_unknown(t, "a Qb", 4, false, 0, &bytes), 2);
    ck_assert_uint_eq(bytes, 1);
    ck_assert_uint_eq(tokenizer_unknown(t, "a Qb", 4, false, 3, &bytes), 4);
    n = tokenizer_encode(t, "Q", 1, false, ids, 8);
    ck_assert_uint_eq(n, 0);
    tokenizer_free(t);
    json_object_set_new(model, "unk_token", json_string("!"));
    t = parse_json(json);
    n = tokenizer_encode(t, "QQ", 2, false, ids, 8);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(ids[0], tokenizer_find(t, "!"));
    tokenizer_free(t);
    json_object_set_new(model, "fuse_unk", json_true());
    t = parse_json(json);
    ck_assert_uint_eq(tokenizer_encode(t, "QQ", 2, false, ids, 8), 1);
    tokenizer_free(t);
    json_decref(json);
}
END_TEST

START_TEST(mutated_files_never_crash)
{
    struct rng_stream rng = {1, {.purpose = RNG_TEST}};
    json_t *json = golden_json(families[_i]);
    char *text = json_dumps(json, JSON_COMPACT), *copy = malloc(strlen(text));
    size_t n = strlen(text);
    int accepted = 0;
    for (int i = 0; i < 300; i++) {
        struct problems p = {0};
        memcpy(copy, text, n);
        for (uint32_t k = 1 + rng_next_below(&rng, 3); k > 0; k--)
            copy[rng_next_below(&rng, (uint32_t)n)] = text[rng_next_below(&rng, (uint32_t)n)];
        struct tokenizer *t = tokenizer_parse(copy, n, "t.json", &p);
        ck_assert((t == NULL) == (p.n > 0));
        int ids[256];
        char back[TEXT];
        if (t) {
            size_t count = tokenizer_encode(t, copy, 200, true, ids, 256);
            tokenizer_decode(t, ids, count < 256 ? count : 256, back, sizeof back);
        }
        accepted += t != NULL;
        tokenizer_free(t);
        problems_free(&p);
    }
    ck_assert_int_gt(accepted, 0);
    ck_assert_int_lt(accepted, 300);
    free(copy);
    free(text);
    json_decref(json);
}
END_TEST

#define TESTS(X)               \
    X(refusals_name_the_place) \
    X(limits_of_a_file)        \
    X(a_byte_may_be_lacking)   \
    X(mutated_files_never_crash, .to = FAMILIES)

UNIT_MAIN("bpe files", .timeout_s = 60)
