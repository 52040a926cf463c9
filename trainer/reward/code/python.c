/* Python. The driver runs inside the sandbox, in the process of whoever is judged, who may do to
 * it what he likes: it knows no expected value. */
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/code/program.h"
#include "trainer/reward/code/value.h"

#define PYTHON "/usr/bin/python3", "-s", "-S", "-P", "-B"
static const char *const run[] = {PYTHON, "main.py", NULL};

/* exit and quit come from a module that costs 4 ms of the 10 of a start. */
#define BUILTINS                                 \
    "import sys, builtins\n"                     \
    "builtins.exit = builtins.quit = sys.exit\n" \
    "sys.path.insert(0, '/tmp')\n"

static const char input_main[] =
    BUILTINS "exec(compile(open('answer.py', 'rb').read(), 'answer.py', 'exec'),\n"
             "     {'__name__': '__main__', '__builtins__': builtins})\n";

/* Results go where nobody prints by accident: standard output is closed to the answer. */
static const char call_main[] = BUILTINS
    "import posix\n"
    "out = posix.dup(1)\n"
    "null = posix.open('/dev/null', posix.O_RDWR)\n"
    "calls = open(0, 'rb', closefd=False).read().decode().split('\\n')[:-1]\n"
    "posix.dup2(null, 0), posix.dup2(null, 1)\n"
    "\n"
    "def read(s, i):\n"
    "    c = s[i]\n"
    "    i += 1\n"
    "    if c in 'ntf': return {'n': None, 't': True, 'f': False}[c], i\n"
    "    if c in '[{':\n"
    "        items, pairs = [], {}\n"
    "        while s[i] not in ']}':\n"
    "            if s[i] == ',': i += 1\n"
    "            item, i = read(s, i)\n"
    "            if c == '{': pairs[item], i = read(s, i + 1)\n"
    "            else: items.append(item)\n"
    "        return (items if c == '[' else pairs), i + 1\n"
    "    e = i\n"
    "    while e < len(s) and s[e] not in ',:]}': e += 1\n"
    "    if c == 'i': return int(s[i:e]), e\n"
    "    if c == 's': return bytes.fromhex(s[i:e]).decode(), e\n"
    "    bits = int(s[i:e], 16)\n"
    "    sign, power, rest = bits >> 63, bits >> 52 & 2047, bits & (1 << 52) - 1\n"
    "    x = float.fromhex('0x%d.%013xp%d' % (power > 0, rest, max(power, 1) - 1023))\n"
    "    return (-x if sign else x), e\n"
    "\n"
    "def bits(x):\n"
    "    if x != x or x in (float('inf'), float('-inf')): return 'x'\n"
    "    head, power = abs(x).hex()[2:].split('p')\n"
    "    first, rest = head.split('.')\n"
    "    power = int(power) + 1023 if first == '1' else 0\n"
    "    return 'd%016x' % ((x < 0) << 63 | power << 52 | int(rest.ljust(13, '0'), 16))\n"
    "\n"
    "def write(x, depth=0):\n"
    "    t = type(x)\n"
    "    if depth > 200: return 'x'\n"
    "    if x is None: return 'n'\n"
    "    if t is bool: return 't' if x else 'f'\n"
    "    if t is int: return 'i%d' % x\n"
    "    if t is float: return bits(x)\n"
    "    if t is str: return 's' + x.encode().hex()\n"
    "    if t is list or t is tuple: return '[' + ','.join(write(y, depth + 1) for y in x) + ']'\n"
    "    if t is dict and all(type(k) is str for k in x):\n"
    "        return '{' + ','.join(k + ':' + v for k, v in sorted(\n"
    "            (write(k), write(v, depth + 1)) for k, v in x.items())) + '}'\n"
    "    return 'x'\n"
    "\n"
    "def main(names={'__name__': 'answer', '__builtins__': builtins}):\n"
    "    exec(compile(open('answer.py', 'rb').read(), 'answer.py', 'exec'), names)\n"
    "    for call in calls:\n"
    "        name, _, args = call.partition(' ')\n"
    "        try: line = write(names[name](*read(args, 0)[0]))\n"
    "        except BaseException: line = 'e'\n"
    "        posix.write(out, (line + '\\n').encode())\n"
    "\n"
    "main()\n";

static struct program_text make_call_main(const json_t *calls)
{
    (void)calls;
    return (struct program_text){strdup(call_main), sizeof call_main - 1};
}

/* A line for each call: name, blank, arguments. */
static struct program_text call_input(const json_t *calls)
{
    struct program_text t = {NULL, 0};
    FILE *f = open_memstream(&t.bytes, &t.n);
    if (!f) return t;
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        fprintf(f, "%s ", json_string_value(json_object_get(call, "function")));
        value_write(f, json_object_get(call, "args"));
        fputc('\n', f);
    }
    fclose(f);
    return t;
}

static const char *refuses(const json_t *call)
{
    (void)call;
    return NULL;
}

const struct program program_python = {.name = "python",
                                       .run = run,
                                       .call = run,
                                       .code_file = "answer.py",
                                       .main_file = "main.py",
                                       .input_main = input_main,
                                       .call_main = make_call_main,
                                       .call_input = call_input,
                                       .refuses = refuses};
