#!/usr/bin/env python3
"""Chat templates rendered by jinja2, as transformers sets it up, for tests/unit/data/test_jinja.c.

    python3 tests/oracle/chat.py COUNT SEED [NAME=TEMPLATE_FILE ...] >cases.jsonl

A line a case: {"name", "template", "messages", "ask", "no_thinking", "bos", "eos", "text"}; text null:
the template raises an exception. The templates here are ours, written so that they render as the
families do and lean on the constructs that theirs use; those of real models are read from the files
named (a chat_template.jinja). tests/golden/chat.jsonl: COUNT 6, SEED 1. Needs jinja2 (3.1).
"""
import json
import random
import sys

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

CHATML = """{%- for m in messages %}
    {%- if loop.first and m['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

QWEN3 = """{%- if tools %}
    {{- raise_exception('no tools here') }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or loop.first and message.role == 'system' %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

LLAMA3 = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>

'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>

' }}{% endif %}"""

LLAMA32 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{#- the system's words, if it has any #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

DEEPSEEK = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"""

MISTRAL = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""

# Constructs that one or the other template has, with white space that must go as jinja2's does.
ODD = """  {# a comment #}
{% set a = [1, 2, 'x'] %}
   {% for k, v in {'p': 'q', 'r': 3}.items() %}
  {{ k }}={{ v }}{{ "," if not loop.last }}
   {% endfor %}
{%+ if true %} kept {% endif +%}
{{ a | length }} {{ a[-1] ~ a[0] }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 + 3 * 4 - 1 }}
{% set ns = namespace(n=0, t='') %}
{% for m in messages if m.role != 'system' %}
{% if loop.index > 4 %}{% break %}{% endif %}
{% if m.content == '' %}{% continue %}{% endif %}
{% set ns.n = ns.n + 1 %}{% set ns.t = ns.t ~ m.role[0] ~ loop.revindex %}
{%- else %}none{% endfor %}
{{- ns.t -}} {{ ns.n }} {{ messages | tojson }}
{% for m in messages %}{{ m.content.replace('a', 'bb').split('b')[0][:5] }}|{{ m.content[1:3] }}|{{ m.get('name', 'nobody') }};{% endfor %}
{% set block %}in{{ 1 }}{% endset %}{{ block | upper }} {{ 'Ab cD' | title }} {{ missing | default('d') }} {{ none is none }} {{ 'x' in 'xyz' and 2 not in [1] }}
{{ messages | map | list if false else 'plain' }}"""
ODD = ODD.replace("messages | map | list if false else 'plain'", "'yes' if messages else 'no'")

TEMPLATES = {
    "qwen2.5": CHATML, "qwen3": QWEN3, "llama3": LLAMA3, "llama3.2": LLAMA32, "deepseek-r1": DEEPSEEK,
    "mistral": MISTRAL, "odd": ODD,
}
PARTS = ["", " ", "\n", "a", "Hello", "4 + 5", "<|im_end|>", "<think>", "</think>", "\n\n", "é", "日本", "🙂", "'",
         '"', "\\", "{{ x }}", "{% if %}", "<|eot_id|>", "\t", "\u00a0", "\u3000", "<tool_response>", "</tool_response>"]


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def raise_exception(message):
        raise TemplateError(message)

    env.globals["raise_exception"] = raise_exception
    env.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    return env


def conversation(draw):
    def text():
        return "".join(draw.choice(PARTS) for _ in range(draw.randrange(5)))

    messages = []
    if draw.random() < 0.4:
        messages.append({"role": "system", "content": text()})
    for _ in range(draw.randrange(1, 4)):
        messages.append({"role": "user", "content": text()})
        if draw.random() < 0.9:
            reply = {"role": "assistant", "content": text()}
            if draw.random() < 0.3:
                reply["reasoning_content"] = text()
            messages.append(reply)
    return messages


def main():
    count, draw, env = int(sys.argv[1]), random.Random(int(sys.argv[2])), environment()
    templates = dict(TEMPLATES)
    for named in sys.argv[3:]:
        name, path = named.split("=", 1)
        templates[name] = open(path, encoding="utf-8").read()
    for name, text in templates.items():
        compiled = env.from_string(text)
        for _ in range(count):
            case = {"name": name, "template": text, "messages": conversation(draw),
                    "ask": draw.random() < 0.6, "no_thinking": draw.random() < 0.3,
                    "bos": "<s>", "eos": "</s>"}
            values = {"messages": case["messages"], "tools": None, "documents": None,
                      "add_generation_prompt": case["ask"], "bos_token": case["bos"], "eos_token": case["eos"]}
            if case["no_thinking"]:
                values["enable_thinking"] = False
            try:
                case["text"] = compiled.render(**values)
            except TemplateError:
                case["text"] = None
            print(json.dumps(case, ensure_ascii=False))


main()
